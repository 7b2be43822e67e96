import { Clock, Effect } from "effect"

/** Milliseconds of the clock that nobody sets: for intervals. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(Clock.currentTimeNanos, (nanos) =>
  Number(nanos / 1_000_000n)
)
