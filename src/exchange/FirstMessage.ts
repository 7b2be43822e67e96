import type { Place } from "./Continuity.ts"

/** The first message of a stream since the process began. `at` is when it was received, microseconds since the epoch. */
export interface FirstMessage extends Place {
  readonly at: number
  /** When the exchange had taken the stream. */
  readonly since: number
}
