import { Clock, Effect } from "effect"
import { monotonicMillis } from "../monotonicMillis.ts"

/** The wall clock, and the clock that is never set, milliseconds. */
export const bothClocks = Effect.all({ wall: Clock.currentTimeMillis, monotonic: monotonicMillis })
