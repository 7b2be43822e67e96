import { Effect, Schedule } from "effect"
import { ClockStepped } from "../domain/JournalEvent.ts"
import { bothClocks } from "./bothClocks.ts"

/**
 * Once a second, forever: notices that this process did not run, because it was stopped or had no processor. Messages that came
 * meanwhile carry the time of the resumption, and a connection that the exchange closed meanwhile looks alive until then: the
 * stop is reported as a time that the clock passed over.
 */
export const watchStops = (tell: (stop: typeof ClockStepped.Type) => void): Effect.Effect<never> =>
  Effect.gen(function* () {
    let before = yield* bothClocks
    const look = Effect.gen(function* () {
      const { monotonic, wall } = before
      before = yield* bothClocks
      if (before.monotonic - monotonic < stoppedMillis) return
      const [from, to] = [wall * 1000, before.wall * 1000]
      tell(ClockStepped.make({ at: to, from, to }))
      yield* Effect.logWarning("process was not running for a while: stopped, or starved of CPU").pipe(
        Effect.annotateLogs({ module: "exchange", seconds: (before.monotonic - monotonic) / 1000 })
      )
    })
    return yield* Effect.zipRight(Effect.schedule(look, Schedule.spaced("1 second")), Effect.never)
  })

/** A shorter stop may just be a busy machine, and no exchange closes a connection because of it. */
const stoppedMillis = 5000
