import { isUtf8 } from "node:buffer"
import type { Frame, Part } from "./Exchange.ts"
import * as Scan from "./scan.ts"

export const heartbeat: Frame = { _tag: "Heartbeat" }
export const pong: Frame = { _tag: "Pong" }
export const malformed = (reason: string): Frame => ({ _tag: "Malformed", reason })
export const notJson = malformed("not a JSON object")
export const notUtf8 = malformed("not UTF-8")
export const notAskedFor = malformed("of a stream that was not asked for")
export const unknownShape = malformed("of an unknown shape")
export const noSequenceId = malformed("without a sequence id")
export const noSymbol = malformed("without a symbol")

/** For frames of a single stream. */
export const noOthers: ReadonlyArray<Part> = []

/** What is wrong with a frame that should be one JSON object in UTF-8, before anything in it is read. */
export const flawOf = (frame: Buffer): Frame | undefined =>
  !Scan.looksLikeObject(frame) ? notJson : isUtf8(frame) ? undefined : notUtf8
