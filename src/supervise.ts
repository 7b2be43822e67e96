import { Cause, Effect } from "effect"

/**
 * Keeps a loop running that must never stop: an error that it cannot handle itself is a defect of ours, which is logged, and the
 * loop restarts a second later.
 */
export const supervise =
  (name: string) =>
  <R>(loop: Effect.Effect<unknown, never, R>): Effect.Effect<never, never, R> =>
    loop.pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.failCause(cause)
          : Effect.logError(`${name} failed, restarting it`, cause)
      ),
      Effect.zipRight(Effect.sleep("1 second")),
      Effect.forever
    )
