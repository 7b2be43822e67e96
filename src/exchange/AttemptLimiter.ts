import { Duration, Effect, Queue } from "effect"
import { monotonicMillis } from "../monotonicMillis.ts"
import type { Quota } from "./Exchange.ts"

/** Starts attempts so that no quota is exceeded, whichever moment of an attempt the other side counts. */
export interface AttemptLimiter {
  /** Waits for its turn, then makes the attempt. */
  readonly admit: <A, E, R>(attempt: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Starts no attempt for this many milliseconds. */
  readonly hold: (millis: number) => Effect.Effect<void>
}

/**
 * Makes a limiter for quotas.
 *
 * An attempt counts from its start until the period of the quota has passed since its end, however long it took. Only half of a
 * large quota can be used at once, the other half is spread evenly over the period, so that no burst leaves a lost connection
 * without an attempt for minutes.
 */
export const makeAttemptLimiter = (quotas: ReadonlyArray<Quota>): Effect.Effect<AttemptLimiter> =>
  Effect.map(
    Effect.all([
      ...quotas.map(makeLimit),
      ...quotas
        .filter(({ count }) => count >= largeCount)
        .map((quota) => Effect.sync(() => makeSpacing(quota)))
    ]),
    (limits) => {
      let heldUntil = Number.NEGATIVE_INFINITY
      const isHeld = Effect.map(monotonicMillis, (now) => heldUntil - now)
      const wait: Effect.Effect<void> = Effect.flatMap(isHeld, (millis) =>
        millis > 0 ? Effect.zipRight(Effect.sleep(millis), wait) : Effect.void
      )
      return {
        admit: (attempt) =>
          limits.reduce((admitted, limit) => limit(admitted), Effect.zipRight(wait, attempt)),
        hold: (millis) =>
          Effect.map(monotonicMillis, (now) => {
            heldUntil = Math.max(heldUntil, now + millis)
          })
      }
    }
  )

const largeCount = 20

/** Admits half of the quota at once, and the rest one after the other. */
const makeSpacing = ({ count, per }: Quota) => {
  const atOnce = Math.floor(count / 2)
  const spacing = Duration.toMillis(per) / (count - atOnce)
  /** When the whole half can be used again. */
  let restedAt = Number.NEGATIVE_INFINITY
  return <A, E, R>(attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(monotonicMillis, (now) => {
      restedAt = Math.max(restedAt, now) + spacing
      return Effect.delay(attempt, Duration.millis(Math.max(0, restedAt - atOnce * spacing - now)))
    })
}

/** Keeps a slot for each attempt that the quota allows: the time in milliseconds from which it can be taken. */
const makeLimit = ({ count, per }: Quota): Effect.Effect<AttemptLimiter["admit"]> =>
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

/** The clocks of the two sides do not run at the same rate. */
const clockToleranceMillis = 50
