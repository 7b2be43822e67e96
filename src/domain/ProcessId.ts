import { Schema } from "effect"

/** A collecting process. */
export const ProcessId = Schema.Struct({
  /** Unique among all processes. */
  name: Schema.String,
  /** A time before it received anything, microseconds since the epoch. */
  startedAt: Schema.Number
})
export type ProcessId = typeof ProcessId.Type
