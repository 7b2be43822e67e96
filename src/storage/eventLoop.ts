import { Effect } from "effect"

/**
 * Gives everything that waits for the event loop its turn. Long work on the storage thread is divided by this, so that commits
 * come in between.
 */
export const yieldToEventLoop = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
