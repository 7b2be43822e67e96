import type { FileSystem, Path } from "@effect/platform"
import { Context, Effect, Layer } from "effect"
import type { Settings } from "./Config.ts"
import type { StartupError } from "./domain/StartupError.ts"
import { ExchangeStream } from "./exchange/ExchangeStream.ts"
import { ReceiveClock } from "./exchange/ReceiveClock.ts"
import { exchanges } from "./exchange/registry.ts"
import { Batcher } from "./ingest/Batcher.ts"
import { reportDrops } from "./ingest/reportDrops.ts"
import { SnapshotQueue } from "./ingest/SnapshotQueue.ts"
import { reportLiveness } from "./operations/Liveness.ts"
import * as Logging from "./operations/Logging.ts"
import * as LogJanitor from "./operations/LogJanitor.ts"
import { supervise } from "./operations/supervise.ts"
import type { Storage } from "./thread/Storage.ts"
import * as StorageThread from "./thread/StorageThread.ts"

/**
 * The whole collector. Building it may fail with a StartupError; after that nothing in it fails but
 * `StorageFailure.await`, when the storage thread dies again and again. When it is closed it stops receiving, commits
 * what is queued, and then lets go of the database.
 */
export const layer = (
  settings: Settings
): Layer.Layer<
  Batcher | SnapshotQueue | Storage | StorageThread.StorageFailure,
  StartupError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.mergeAll(receiving, actor("liveness report", reportLiveness), actor("drop report", reportDrops)).pipe(
    Layer.provideMerge(Batcher.layer({ interval: settings.batchInterval })),
    Layer.provideMerge(
      Layer.mergeAll(
        SnapshotQueue.layer({ capacity: settings.queueCapacity }),
        exchangeStream(settings),
        StorageThread.layer(settings)
      )
    ),
    Layer.provide(LogJanitor.layer({ directory: settings.logDirectory, retention: settings.logRetention })),
    Layer.provide(Logging.layer({ directives: settings.logDirectives, directory: settings.logDirectory }))
  )

/** Runs the collector until it is interrupted, or cannot go on. */
export const run = (settings: Settings) =>
  Effect.scoped(
    Effect.flatMap(
      Layer.build(layer(settings)),
      (services) => Context.get(services, StorageThread.StorageFailure).await
    )
  )

/** A loop that runs as long as the collector does. */
const actor = <R>(name: string, loop: Effect.Effect<unknown, never, R>) =>
  Layer.scopedDiscard(Effect.forkScoped(supervise(name)(loop)))

/** Requires the Batcher, so that it stops before the last batch is committed. */
const receiving = actor(
  "receiving",
  Effect.gen(function* () {
    yield* Batcher
    const queue = yield* SnapshotQueue
    const stream = yield* ExchangeStream
    return yield* stream.runForEach(queue.unsafeOffer)
  })
)

const exchangeStream = ({ endpoints, silenceTimeout, streams }: Settings) =>
  Layer.provide(ExchangeStream.layer({ exchanges, streams, endpoints, silenceTimeout }), ReceiveClock.layer)
