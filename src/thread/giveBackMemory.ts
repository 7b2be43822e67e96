import { Effect } from "effect"

/**
 * Collects garbage once, a while after a thread has started: loading code leaves a third of its memory behind, and a thread that
 * has little to do would keep that for minutes. It stops the calling thread for about 0.1 s, so it is not for the receiving
 * thread.
 */
export const giveBackMemory: Effect.Effect<void> = Effect.delay(
  Effect.promise(() => import("node:inspector")).pipe(
    Effect.flatMap(({ Session }) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const session = new Session()
          session.connect()
          return session
        }),
        (session) =>
          Effect.async<void>((resume) =>
            session.post("HeapProfiler.collectGarbage", () => resume(Effect.void))
          ),
        (session) => Effect.sync(() => session.disconnect())
      )
    ),
    // Node may have been built without the inspector.
    Effect.catchAllDefect((defect) => Effect.logDebug("garbage collection failed", defect))
  ),
  "2 seconds"
)
