import type { Worker as NodeThread, WorkerOptions } from "node:worker_threads"
import { Worker, type WorkerError } from "@effect/platform"
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import { Data, Deferred, Effect, Option, type ParseResult, Schema } from "effect"
import { StartupError } from "../domain/StartupError.ts"
import { type EarlyThread, startThread } from "./startThread.ts"

/** A thread ended, or cannot be reached. */
export class ThreadDied extends Data.TaggedError("ThreadDied")<{ readonly reason: string }> {
  override get message() {
    return this.reason
  }
}

/** A thread that answers requests, and can be started again and again. */
export interface Thread<Request extends Schema.TaggedRequest.All> {
  /** One life of the thread, from its start to its death; fails with the cause if the start does. */
  readonly life: Effect.Effect<never, StartupError | ThreadDied>
  /** Undefined while the thread is not alive. */
  readonly current: () => Worker.SerializedWorker<Request> | undefined
}

export const makeThread = <Request extends Schema.TaggedRequest.All>(options: {
  readonly entry: URL
  /** Called at each start. */
  readonly workerData: () => unknown
  /** Its first life, if the thread was started early and has received `workerData`. */
  readonly early?: EarlyThread | undefined
  readonly resourceLimits?: NonNullable<WorkerOptions["resourceLimits"]>
  /** Whether its life ends when it has closed everything it has open, or at once. */
  readonly atEnd?: "close" | "terminate"
  /** Its first request: the thread is alive once it has answered it. */
  readonly start: Worker.SerializedWorker.Options<Request>
  readonly onStarted: (
    worker: Worker.SerializedWorker<Request>
  ) => Effect.Effect<unknown, WorkerError.WorkerError | ParseResult.ParseError>
}): Thread<Request> => {
  const { atEnd = "close", early, entry, onStarted, resourceLimits, start, workerData } = options
  let waiting = early
  let current: Worker.SerializedWorker<Request> | undefined

  const life = Effect.gen(function* () {
    const died = yield* Deferred.make<never, ThreadDied>()
    let spawned: NodeThread | undefined
    const spawn = () => {
      const thread = waiting?.worker ?? startThread(entry, { workerData: workerData(), resourceLimits })
      waiting = undefined
      spawned = thread
      thread.once("exit", (code) =>
        Deferred.unsafeDone(died, new ThreadDied({ reason: `it ended with code ${code}` }))
      )
      return thread
    }
    const work = Effect.gen(function* () {
      const worker = yield* Worker.makeSerialized<Request>(start).pipe(
        Effect.provide(NodeWorker.layer(spawn))
      )
      current = worker
      yield* onStarted(worker)
      return yield* Effect.never
    })
    return yield* Effect.raceFirst(Effect.mapError(work, failureOf), Deferred.await(died)).pipe(
      // A thread that did not start has nothing to close: left alone it may take seconds to end.
      Effect.onError(() =>
        current === undefined || atEnd === "terminate"
          ? Effect.promise(async () => spawned?.terminate())
          : Effect.void
      )
    )
  }).pipe(
    Effect.scoped,
    Effect.onExit(() =>
      Effect.sync(() => {
        current = undefined
      })
    )
  )

  return { life, current: () => current }
}

const decodeStartupError = Schema.decodeUnknownOption(StartupError)

/** A first request that fails comes wrapped and encoded. */
const failureOf = (error: WorkerError.WorkerError | ParseResult.ParseError): StartupError | ThreadDied =>
  Option.getOrElse(decodeStartupError(error.cause), () => new ThreadDied({ reason: error.message }))
