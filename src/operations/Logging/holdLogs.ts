import { Effect, FiberRef, HashSet, Logger } from "effect"

/**
 * Holds back what an effect logs until `ready` succeeds, and logs it then, with the original times; if `ready` never succeeds,
 * none of it is logged. Keeps a limited number of entries, the oldest.
 */
export const holdLogsUntil =
  (ready: Effect.Effect<void, unknown>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.gen(function* () {
      const loggers = yield* FiberRef.get(FiberRef.currentLoggers)
      const held: Array<Logger.Logger.Options<unknown>> = []
      let isReady = false
      const say = (entry: Logger.Logger.Options<unknown>) => {
        for (const logger of loggers) logger.log(entry)
      }
      const holding = Logger.make<unknown, void>((entry) => {
        if (isReady) say(entry)
        else if (held.length < maxHeld) held.push(entry)
      })
      const release = Effect.sync(() => {
        isReady = true
        for (const entry of held.splice(0)) say(entry)
      })
      yield* Effect.fork(Effect.ignore(Effect.zipRight(ready, release)))
      return yield* Effect.locally(effect, FiberRef.currentLoggers, HashSet.make(holding))
    })

const maxHeld = 1000
