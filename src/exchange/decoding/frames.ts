import { isUtf8 } from "node:buffer"
import { Either, Schema } from "effect"
import { maxDigits } from "../../domain/Integer.ts"
import type { MarketStream } from "../../domain/StreamId.ts"
import type { Exchange, Frame, Part } from "../Exchange.ts"
import * as Scan from "./scan.ts"

/** An unusable frame. */
export type Malformed = Extract<Frame, { readonly _tag: "Malformed" }>
export type Unreadable = Exclude<Malformed, { readonly channel: string }>

export const heartbeat: Frame = { _tag: "Heartbeat" }
export const pong: Frame = { _tag: "Pong" }
const malformed = (reason: Unreadable["reason"]): Unreadable => ({ _tag: "Malformed", reason })
export const notJson = malformed("not a JSON object")
const notUtf8 = malformed("not UTF-8")
const compressed = malformed("compressed")
export const unknownShape = malformed("of an unknown shape")
export const unknownChannel = malformed("of an unknown channel")
export const noSequenceId = malformed("without a sequence id")
export const noSymbol = malformed("without a symbol")

/** Whether digits are a number that an exchange can count with: anything with more digits is something else. */
export const isNumber = (digits: string): boolean => digits.length <= maxDigits

/** The same flaw for a frame that names its stream. */
export const ofStream = (flaw: Unreadable, stream: MarketStream): Unreadable => ({ ...flaw, stream })

/** A frame of a stream that is not on its connection. */
export const notAskedFor = (channel: string): Malformed => ({
  _tag: "Malformed",
  reason: "of a stream that was not asked for",
  channel
})

/**
 * A frame that names no stream of its connection. It belongs to another stream only if the name is one that the exchange gives
 * to a stream; otherwise it can belong to any stream, under a new name.
 */
export const ofNobody = (exchange: Exchange, channel: string, symbol: string): Malformed => {
  const isOther =
    Either.getOrUndefined(exchange.parseSymbol(symbol)) === symbol &&
    exchange.dataTypes.some(
      (dataType) => exchange.channelOf({ exchange: exchange.name, symbol, dataType }) === channel
    )
  return isOther ? notAskedFor(channel) : unknownChannel
}

/** Whether it can belong to a stream of the connection. */
export const isAnybodys = (frame: Malformed): frame is Unreadable => !("channel" in frame)

/** For frames of a single stream. */
export const noOthers: ReadonlyArray<Part> = []

/** Returns what is wrong with a frame that should be one JSON object in UTF-8, before anything in it is read. */
export const flawOf = (frame: Buffer): Frame | undefined =>
  !isUtf8(frame)
    ? isCompressed(frame)
      ? compressed
      : notUtf8
    : Scan.looksLikeObject(frame)
      ? undefined
      : notJson

/** Recognises gzip, zlib and zstd by their first bytes. */
const isCompressed = (frame: Buffer): boolean =>
  (frame[0] === 0x1f && frame[1] === 0x8b) ||
  (frame[0] === 0x78 && frame.length > 1 && frame.readUInt16BE(0) % 31 === 0) ||
  (frame.length > 3 && frame.readUInt32LE(0) === 0xfd2fb528)

/** Reads a frame that is one object, as `Scan.readObject` does. Returns a flaw if it is not one. */
export const readMembers = (
  frame: Buffer,
  keys: ReadonlyArray<string>,
  values: Int32Array,
  member: Scan.Member
): Frame | undefined => {
  const end = Scan.readObject(frame, Scan.skipSpace(frame, 0), keys, values, member)
  return end >= 0 && Scan.skipSpace(frame, end) === frame.length ? undefined : notJson
}

/**
 * Makes a reader for answers to requests, which are rare and short, and parsed as a whole. Anything longer than `maxBytes` is
 * not an answer.
 */
export const answerReader = <A, I>(
  schema: Schema.Schema<A, I>,
  frameOf: (answer: A, streams: ReadonlyMap<string, MarketStream>) => Frame,
  maxBytes = 10_000
) => {
  const decode = Schema.decodeUnknownEither(Schema.parseJson(schema))
  return (frame: Buffer, streams: ReadonlyMap<string, MarketStream>): Frame =>
    frame.length > maxBytes
      ? unknownShape
      : Either.match(decode(frame.toString()), {
          onLeft: () => unknownShape,
          onRight: (answer) => frameOf(answer, streams)
        })
}

/** The id of a request as repeated in answers: a string or a number, or missing. */
export const RequestId = Schema.optional(Schema.NullOr(Schema.Union(Schema.String, Schema.Number)))

/** Returns the id as it was sent; null if there is none. */
export const requestOf = (id: string | number | null | undefined): string | null =>
  id === undefined || id === null || id === "" ? null : String(id)
