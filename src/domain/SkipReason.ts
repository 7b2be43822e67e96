import { Schema } from "effect"

/** Why a frame could not be used. */
export const SkipReason = Schema.Literal(
  /** Bytes that are not text. */
  "not UTF-8",
  /** Bytes that are not text, in a compression format: gzip, zlib or zstd. */
  "compressed",
  "not a JSON object",
  /** A JSON object whose members are not the known ones, or are of another kind, such as an array where an object was. */
  "of an unknown shape",
  /** It names a kind of data, or a symbol, that the exchange is not known to have. */
  "of an unknown channel",
  "without a symbol",
  "without a sequence id",
  /** It names another stream, as the exchange spells it, and so belongs to none of the connection's streams. */
  "of a stream that was not asked for"
)
export type SkipReason = typeof SkipReason.Type

/** Formats a reason as a label of metrics and a key of logs. */
export const labelOf = (reason: SkipReason): string => reason.replaceAll(" ", "_")
