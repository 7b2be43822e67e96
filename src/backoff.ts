import { type Duration, Schedule } from "effect"

/** Pauses that double from one to another, each between 80 and 120 % of that. */
export const backoff = (from: Duration.DurationInput, cap: Duration.DurationInput) =>
  Schedule.exponential(from).pipe(Schedule.either(Schedule.spaced(cap)), Schedule.jittered)
