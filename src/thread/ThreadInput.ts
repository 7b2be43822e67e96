import { MessagePort } from "node:worker_threads"
import { Deferred, Effect, FiberId } from "effect"

/** What a thread is given by the thread that started it. */
export interface ThreadInput {
  /** What the thread is to do. */
  readonly data: Effect.Effect<unknown>
  /** Waits until somebody listens to the thread's messages. */
  readonly heard: Effect.Effect<void>
}

/**
 * Reads what the thread itself was given from its `workerData`: a thread that was started early receives it through a port, which
 * closes once somebody listens.
 */
export const threadInput = (workerData: unknown): ThreadInput => {
  if (!(workerData instanceof MessagePort)) return { data: Effect.succeed(workerData), heard: Effect.void }
  const data = Deferred.unsafeMake<unknown>(FiberId.none)
  const heard = Deferred.unsafeMake<void>(FiberId.none)
  workerData.on("message", (told: unknown) => Deferred.unsafeDone(data, Effect.succeed(told)))
  workerData.once("close", () => Deferred.unsafeDone(heard, Effect.void))
  return { data: Deferred.await(data), heard: Deferred.await(heard) }
}
