import { Clock, Effect, Schedule } from "effect"
import { ClockStepped } from "../domain/JournalEvent.ts"
import { monotonicMillis } from "../monotonicMillis.ts"

/**
 * Once a second, for ever: notices that this process did not run, since it was stopped or had no processor. What came meanwhile has
 * the time at which it went on, and a connection that the exchange closed meanwhile looks alive until then: it tells of that
 * time as of one that the clock passed over.
 */
export const watchStops = (tell: (stop: typeof ClockStepped.Type) => void): Effect.Effect<never> =>
  Effect.gen(function* () {
    let before = yield* readBoth
    const look = Effect.gen(function* () {
      const { monotonic, wall } = before
      before = yield* readBoth
      if (before.monotonic - monotonic < stoppedMillis) return
      const [from, to] = [wall * 1000, before.wall * 1000]
      tell(ClockStepped.make({ at: to, from, to }))
      yield* Effect.logWarning("process was not running for a while: stopped, or starved of CPU").pipe(
        Effect.annotateLogs({ module: "exchange", seconds: (before.monotonic - monotonic) / 1000 })
      )
    })
    return yield* Effect.zipRight(Effect.schedule(look, Schedule.spaced("1 second")), Effect.never)
  })

const readBoth = Effect.all({ wall: Clock.currentTimeMillis, monotonic: monotonicMillis })

/** Shorter than that it may be a busy machine, and no exchange closes a connection for it. */
const stoppedMillis = 5000
