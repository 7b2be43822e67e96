import { Worker as NodeThread, type WorkerOptions } from "node:worker_threads"
import { Worker, type WorkerError } from "@effect/platform"
import { NodeWorker } from "@effect/platform-node"
import { Data, Deferred, Effect, Option, type ParseResult, Schema } from "effect"
import { StartupError } from "../domain/StartupError.ts"

/** A thread ended, or cannot be talked to. */
export class ThreadDied extends Data.TaggedError("ThreadDied")<{ readonly reason: string }> {
  override get message() {
    return this.reason
  }
}

/** A thread that answers requests, and may be started again and again. */
export interface Thread<Request extends Schema.TaggedRequest.All> {
  /** One life of it, from its start to its death; a start that fails says what is wrong. */
  readonly life: Effect.Effect<never, StartupError | ThreadDied>
  /** Undefined while it does not live. */
  readonly current: () => Worker.SerializedWorker<Request> | undefined
}

export const makeThread = <Request extends Schema.TaggedRequest.All>(options: {
  readonly entry: URL
  readonly workerData: unknown
  readonly resourceLimits?: NonNullable<WorkerOptions["resourceLimits"]>
  /** Its first request: the thread lives once it has answered it. */
  readonly start: Worker.SerializedWorker.Options<Request>
  readonly onStarted: (
    worker: Worker.SerializedWorker<Request>
  ) => Effect.Effect<unknown, WorkerError.WorkerError | ParseResult.ParseError>
}): Thread<Request> => {
  const { entry, onStarted, start, ...given } = options
  let current: Worker.SerializedWorker<Request> | undefined

  const life = Effect.gen(function* () {
    const died = yield* Deferred.make<never, ThreadDied>()
    let spawned: NodeThread | undefined
    const spawn = () => {
      const thread = new NodeThread(entry, { ...given, env: environment })
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
      // A thread that did not start has nothing to close: left to itself it may take seconds to end.
      Effect.onError(() =>
        current === undefined ? Effect.promise(async () => spawned?.terminate()) : Effect.void
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

/** The AWS SDK announces on stderr that it will want a newer Node one day. */
const environment = { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" }

const decodeStartupError = Schema.decodeUnknownOption(StartupError)

/** A first request that fails comes wrapped and encoded. */
const failureOf = (error: WorkerError.WorkerError | ParseResult.ParseError): StartupError | ThreadDied =>
  Option.getOrElse(decodeStartupError(error.cause), () => new ThreadDied({ reason: error.message }))
