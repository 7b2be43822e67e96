import type { Place } from "./Continuity.ts"

/** The first message of a stream since the process started. `at` is its receive time, microseconds since the epoch. */
export interface FirstMessage extends Place {
  readonly at: number
  /** When the exchange accepted the stream. */
  readonly since: number
}
