import { Schema } from "effect"

/** Why a frame could not be used. */
export const SkipReason = Schema.Literal(
  /** Bytes that are no text. */
  "not UTF-8",
  /** The same, in a format that compresses: gzip, zlib or zstd. */
  "compressed",
  "not a JSON object",
  /** A JSON object whose members are not those that are known, or of another kind: an array where an object was. */
  "of an unknown shape",
  /** It names a kind of data, or a symbol, that the exchange is not known to have. */
  "of an unknown channel",
  "without a symbol",
  "without a sequence id",
  /** It names another stream, as the exchange spells it, and so it belongs to none of the connection's. */
  "of a stream that was not asked for"
)
export type SkipReason = typeof SkipReason.Type

/** A reason as a label of metrics and a key of logs. */
export const labelOf = (reason: SkipReason): string => reason.replaceAll(" ", "_")
