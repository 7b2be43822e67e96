import { Schema } from "effect"
import { unknownShape } from "../../decoding/frames.ts"
import * as Scan from "../../decoding/scan.ts"
import type { Frame } from "../../Exchange.ts"

/** `{"type":"error","message":".."}`: does not say which request it belongs to. */
export const refusal = (frame: Buffer, typeAt: number, messageAt: number): Frame =>
  Scan.stringAt(frame, typeAt) === "error"
    ? {
        _tag: "Refused",
        request: null,
        streams: [],
        reason: Scan.stringAt(frame, messageAt) ?? "error",
        others: "dropped"
      }
    : unknownShape

export const decodeSubscriptions = Schema.decodeUnknownEither(
  Schema.parseJson(
    Schema.Struct({
      events: Schema.Array(
        Schema.Struct({
          subscriptions: Schema.Record({ key: Schema.String, value: Schema.Array(Schema.String) })
        })
      )
    })
  )
)
