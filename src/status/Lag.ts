import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks"
import { Effect, Schedule, type Scope } from "effect"

/** Seconds by which the calling thread was late for what was due. */
export interface Lag {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

const resolutionMillis = 20
const window = "30 seconds"

/** Measures the calling thread until the scope closes. The result covers the last 30 to 60 seconds. */
export const measureLag: Effect.Effect<Effect.Effect<Lag>, never, Scope.Scope> = Effect.gen(function* () {
  let newer = start()
  let older = newer
  yield* Effect.addFinalizer(() => Effect.sync(() => stop(newer, older)))
  yield* Effect.sync(() => {
    if (older !== newer) older.disable()
    older = newer
    newer = start()
  }).pipe(Effect.schedule(Schedule.spaced(window)), Effect.interruptible, Effect.forkScoped)
  return Effect.sync(() => ({
    p50: lateness(older.percentile(50)),
    p99: lateness(older.percentile(99)),
    max: lateness(older.max)
  }))
})

const start = () => {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMillis })
  histogram.enable()
  return histogram
}

const stop = (...histograms: ReadonlyArray<IntervalHistogram>) => {
  for (const histogram of histograms) histogram.disable()
}

/** Lateness in seconds: the monitor measures the time between two ticks in nanoseconds, including the interval between them. */
const lateness = (nanos: number): number =>
  Number.isNaN(nanos) ? 0 : Math.max(0, nanos / 1e9 - resolutionMillis / 1000)
