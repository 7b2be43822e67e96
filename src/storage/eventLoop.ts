import { Effect } from "effect"

/**
 * Lets everything that waits for the event loop have its turn. Long work on the storage thread is cut by this, so that
 * commits come in between.
 */
export const yieldToEventLoop = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})
