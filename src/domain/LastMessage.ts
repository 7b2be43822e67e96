import { Schema } from "effect"
import { StreamId } from "./StreamId.ts"

/** The newest message of a stream that an earlier process committed. */
export const LastMessage = Schema.Struct({
  stream: StreamId,
  exchangeSequenceId: Schema.String,
  /** Receive time, microseconds since the epoch. */
  at: Schema.Number
})
export type LastMessage = typeof LastMessage.Type
