import { Duration, Effect, Queue } from "effect"
import { monotonicMillis } from "../monotonicMillis.ts"
import type { Quota } from "./Exchange.ts"

/** Lets attempts begin so that no quota is exceeded, whatever moment of an attempt the other side counts. */
export interface AttemptLimiter {
  /** Waits for its turn, then makes the attempt. */
  readonly admit: <A, E, R>(attempt: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** An attempt counts from its beginning until the time of a quota has passed since its end, however long it took. */
export const makeAttemptLimiter = (quotas: ReadonlyArray<Quota>): Effect.Effect<AttemptLimiter> =>
  Effect.map(Effect.forEach(quotas, makeLimit), (limits) => ({
    admit: (attempt) => limits.reduce((admitted, limit) => limit(admitted), attempt)
  }))

/** Has a place for each attempt that a quota allows: the time, in milliseconds, from when on it can be taken. */
const makeLimit = ({ count, per }: Quota) =>
  Effect.gen(function* () {
    const places = yield* Queue.bounded<number>(count)
    yield* Queue.offerAll(places, new Array<number>(count).fill(0))
    return <A, E, R>(attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.acquireUseRelease(
        Effect.interruptible(Queue.take(places)),
        (freeAt) =>
          monotonicMillis.pipe(
            Effect.flatMap((now) => Effect.sleep(freeAt - now)),
            Effect.zipRight(attempt)
          ),
        () =>
          Effect.flatMap(monotonicMillis, (now) =>
            Queue.offer(places, now + Duration.toMillis(per) + clockToleranceMillis)
          )
      )
  })

/** The clocks of both sides do not run alike. */
const clockToleranceMillis = 50
