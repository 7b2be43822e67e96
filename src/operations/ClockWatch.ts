import { Effect, Metric, Option, Schedule } from "effect"
import { ClockMeasured } from "../domain/JournalEvent.ts"
import { bothClocks } from "./bothClocks.ts"
import { askChrony, type ClockEstimate } from "./clock/chrony.ts"

/**
 * Once a minute, forever: measures how far the wall clock has drifted, since the last time, from where the monotonic clock says
 * it should be, asks this machine's time daemon, if there is one, how far it is from the true time, and reports both.
 */
export const watchClock = (
  tell: (measured: typeof ClockMeasured.Type) => void,
  estimate: Effect.Effect<Option.Option<ClockEstimate>> = askChrony()
): Effect.Effect<never> =>
  Effect.gen(function* () {
    let before = yield* bothClocks
    yield* Metric.set(driftSeconds, 0)
    yield* show(unknown)
    const measure = Effect.gen(function* () {
      const now = yield* bothClocks
      const drift = now.wall - before.wall - (now.monotonic - before.monotonic)
      before = now
      const estimated = yield* estimate
      yield* Metric.set(driftSeconds, drift / 1000)
      yield* show(Option.getOrElse(estimated, () => unknown))
      tell(
        ClockMeasured.make({
          at: now.wall * 1000,
          drift: drift * 1000,
          offset: Option.getOrNull(Option.map(estimated, ({ offset }) => micros(offset))),
          bound: Option.getOrNull(Option.map(estimated, ({ bound }) => micros(bound))),
          source: Option.isSome(estimated) ? "chrony" : "unknown"
        })
      )
    })
    return yield* Effect.zipRight(Effect.schedule(measure, Schedule.spaced("1 minute")), Effect.never)
  })

const unknown: ClockEstimate = { offset: Number.NaN, bound: Number.NaN }

const micros = (seconds: number): number => Math.round(seconds * 1_000_000)

const driftSeconds = Metric.gauge("collector_clock_drift_seconds", {
  description:
    "How far the wall clock went, over the last minute, from where the monotonic clock says it should be."
})

const offsetSeconds = Metric.gauge("collector_clock_offset_seconds", {
  description:
    "How far the wall clock is ahead of the true time, as the time daemon estimates; NaN if that is unknown."
})

const boundSeconds = Metric.gauge("collector_clock_error_bound_seconds", {
  description: "Error bound of the clock's estimated offset; NaN if unknown."
})

const show = ({ bound, offset }: ClockEstimate) =>
  Effect.zipRight(Metric.set(offsetSeconds, offset), Metric.set(boundSeconds, bound))
