import { isUtf8 } from "node:buffer"
import { Either, Schema } from "effect"
import type { StreamId } from "../domain/StreamId.ts"
import type { Frame, Part } from "./Exchange.ts"
import * as Scan from "./scan.ts"

type Malformed = Extract<Frame, { readonly _tag: "Malformed" }>

export const heartbeat: Frame = { _tag: "Heartbeat" }
export const pong: Frame = { _tag: "Pong" }
const malformed = (reason: string): Malformed => ({ _tag: "Malformed", reason })
export const notJson = malformed("not a JSON object")
const notUtf8 = malformed("not UTF-8")
export const notAskedFor = malformed("of a stream that was not asked for")
export const unknownShape = malformed("of an unknown shape")
export const noSequenceId = malformed("without a sequence id")
export const noSymbol = malformed("without a symbol")

/** For frames of a single stream. */
export const noOthers: ReadonlyArray<Part> = []

/** What is wrong with a frame that should be one JSON object in UTF-8, before anything in it is read. */
export const flawOf = (frame: Buffer): Frame | undefined =>
  !Scan.looksLikeObject(frame) ? notJson : isUtf8(frame) ? undefined : notUtf8

/** Reads a frame that is one object as `Scan.readObject` does; or says that it is none. */
export const readMembers = (
  frame: Buffer,
  keys: ReadonlyArray<string>,
  values: Int32Array,
  member: Scan.Member
): Frame | undefined => {
  const end = Scan.readObject(frame, Scan.skipSpace(frame, 0), keys, values, member)
  return end >= 0 && Scan.skipSpace(frame, end) === frame.length ? undefined : notJson
}

/** Reads answers to requests, which are rare and short, as a whole. What is longer than `maxBytes` is none. */
export const answerReader = <A, I>(
  schema: Schema.Schema<A, I>,
  frameOf: (answer: A, streams: ReadonlyMap<string, StreamId>) => Frame,
  maxBytes = 10_000
) => {
  const decode = Schema.decodeUnknownEither(Schema.parseJson(schema))
  return (frame: Buffer, streams: ReadonlyMap<string, StreamId>): Frame =>
    frame.length > maxBytes
      ? unknownShape
      : Either.match(decode(frame.toString()), {
          onLeft: () => unknownShape,
          onRight: (answer) => frameOf(answer, streams)
        })
}
