import { Schema } from "effect"

/** A process that collects. */
export const ProcessId = Schema.Struct({
  /** No other process has it. */
  name: Schema.String,
  /** A time before it received anything, microseconds since the epoch. */
  startedAt: Schema.Number
})
export type ProcessId = typeof ProcessId.Type
