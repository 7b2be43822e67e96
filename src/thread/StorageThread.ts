import { randomUUID } from "node:crypto"
import type { Worker } from "@effect/platform"
import { Cause, Clock, Context, Data, Deferred, Effect, Layer, Schema } from "effect"
import { reasonOf } from "../domain/reasonOf.ts"
import { ResourceUnavailable, type StartupError } from "../domain/StartupError.ts"
import type { StorageSettings } from "../domain/StorageSettings.ts"
import { Storage, StorageError } from "../storage/Storage.ts"
import { Start } from "./Start.ts"
import {
  Append,
  GetArchiverCounts,
  GetLastMessages,
  GetView,
  Record,
  RunCycle,
  type StorageRequest,
  WorkerData
} from "./StorageRequest.ts"
import type { EarlyThread } from "./startThread.ts"
import { makeThread } from "./Thread.ts"

/** The storage thread keeps dying: the collector cannot go on. */
export class StorageGaveUp extends Data.TaggedError("StorageGaveUp")<{ readonly deaths: number }> {
  override get message() {
    return `the storage thread died ${this.deaths} times within a minute, the log says why`
  }
}

/** The life of the storage thread. */
export class StorageLife extends Context.Tag("collector/StorageLife")<
  StorageLife,
  {
    /** Waits until the database is open; fails with the cause if the first start does. */
    readonly opened: Effect.Effect<void, StartupError>
    /** Fails when the thread has died too often; otherwise never returns. */
    readonly failure: Effect.Effect<never, StorageGaveUp>
  }
>() {}

const maxDeaths = 5
const deathWindowMillis = 60_000

/** A storage thread that has its settings, and may already have started. */
export interface Begun {
  readonly workerData: unknown
  readonly early: EarlyThread | undefined
}

/**
 * Gives storage its settings; nothing may be received before that. A thread that was started early opens the database at once.
 */
export const begin = (settings: StorageSettings, early?: EarlyThread): Effect.Effect<Begun> =>
  Clock.currentTimeMillis.pipe(
    Effect.flatMap((now) =>
      Schema.encode(WorkerData)({ settings, process: { name: randomUUID(), startedAt: now * 1000 } })
    ),
    Effect.orDie,
    Effect.map((workerData) => {
      early?.tell(workerData)
      return { workerData, early }
    })
  )

/**
 * Runs storage on a thread of its own. Requests wait until the database is open; if it cannot be opened they are interrupted. A
 * thread that dies is restarted and continues from the database; requests that were under way fail, and their batches can be sent
 * again.
 */
export const layer = (
  { early, workerData }: Begun,
  entry: URL = new URL("./storageThread.js", import.meta.url)
): Layer.Layer<Storage | StorageLife> =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const failure = yield* Deferred.make<never, StorageGaveUp>()
      const started = yield* Deferred.make<void, StartupError>()
      const thread = makeThread<StorageRequest>({
        entry,
        workerData: () => workerData,
        early,
        start: { initialMessage: () => new Start() },
        onStarted: () => Deferred.succeed(started, undefined)
      })

      const lives = Effect.gen(function* () {
        let deaths: ReadonlyArray<number> = []
        while (true) {
          const error = yield* Effect.flip(thread.life)
          if (error._tag !== "ThreadDied" && (yield* Deferred.fail(started, error))) return
          const now = yield* Clock.currentTimeMillis
          deaths = [...deaths.filter((at) => now - at < deathWindowMillis), now]
          yield* Effect.logError("storage thread died").pipe(
            Effect.annotateLogs({ module: "storage", reason: error.message, deaths: deaths.length })
          )
          if (deaths.length >= maxDeaths) {
            const gaveUp = new StorageGaveUp({ deaths: deaths.length })
            yield* Deferred.fail(started, new ResourceUnavailable({ reason: gaveUp.message }))
            yield* Deferred.fail(failure, gaveUp)
            return
          }
          // The first restart is immediate: the queue need not hold more than what arrives during it.
          if (deaths.length > 1) yield* Effect.sleep("1 second")
        }
      })
      yield* Effect.forkScoped(Effect.interruptible(lives))

      /** A thread that ends interrupts its requests: to the caller that is a failure like any other. */
      const ask = <A, E, R>(
        request: (worker: Worker.SerializedWorker<StorageRequest>) => Effect.Effect<A, E, R>
      ): Effect.Effect<A, StorageError, R> =>
        Effect.orElse(Deferred.await(started), () => Effect.interrupt).pipe(
          Effect.zipRight(
            Effect.suspend(() => {
              const worker = thread.current()
              return worker === undefined
                ? new StorageError({ reason: "the storage thread is being started again" })
                : Effect.catchAllCause(request(worker), (cause) => asStorageError(Cause.squash(cause)))
            })
          )
        )

      return Context.make(
        Storage,
        Storage.of({
          append: (batch, heard) => ask((worker) => worker.executeEffect(new Append({ batch, heard }))),
          record: (events, aliveAt, heard) =>
            ask((worker) => worker.executeEffect(new Record({ events, aliveAt, heard }))),
          lastMessages: ask((worker) => worker.executeEffect(new GetLastMessages())),
          runCycle: ask((worker) => worker.executeEffect(new RunCycle())),
          archiverCounts: ask((worker) => worker.executeEffect(new GetArchiverCounts())),
          view: ask((worker) => worker.executeEffect(new GetView()))
        })
      ).pipe(
        Context.add(
          StorageLife,
          StorageLife.of({ opened: Deferred.await(started), failure: Deferred.await(failure) })
        )
      )
    })
  )

const asStorageError = (cause: unknown): StorageError =>
  cause instanceof StorageError ? cause : new StorageError({ reason: reasonOf(cause) })
