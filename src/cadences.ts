import { Duration, Effect, Schedule } from "effect"

/** Pauses that double from `from` up to `cap`. */
const doubling = (from: Duration.DurationInput, cap: Duration.DurationInput) =>
  Schedule.either(Schedule.exponential(from), Schedule.spaced(cap))

/** The same, each randomized to between 80 and 120 %. */
export const backoff = (from: Duration.DurationInput, cap: Duration.DurationInput) =>
  Schedule.jittered(doubling(from, cap))

/** Before a connection is made again. */
export const reconnecting = backoff("1 second", "60 seconds")

/** Before an exchange's list of instruments is requested again. */
export const askingForInstruments = backoff("1 second", "5 minutes")

/** Before the next batch is taken: the interval, or less if the queue is half full before that. */
export const batching = (interval: Duration.Duration, halfFull: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.raceFirst(Effect.sleep(interval), halfFull)

/** Before a batch that could not be committed is retried, from the second time on: up to the batch interval. */
export const committingAgain = (interval: Duration.Duration) =>
  Schedule.exponential("250 millis", 1.5).pipe(
    Schedule.jittered,
    // Timers have no fractions of a millisecond, and neither does a test's clock.
    Schedule.modifyDelay((_, pause) =>
      Duration.millis(Math.round(Duration.toMillis(Duration.min(pause, interval))))
    )
  )

/** The same at the end of the process, which does not wait for long. */
export const committingAtTheEnd = Schedule.spaced("250 millis")

/** Archive cycles: at the start and every interval; one that takes longer is followed by the next at once. */
export const archiveCycles = (interval: Duration.Duration) => Schedule.fixed(interval)

/** Before an upload is retried within a cycle, after 1, 2, 4 and 8 s: five attempts in all. */
export const uploadingAgain = Schedule.intersect(doubling("1 second", "30 seconds"), Schedule.recurs(4))

/** Sweeps of the log files: at the start and every day. */
export const sweepingLogs = Schedule.fixed("24 hours")
