import type { FileSystem, Path } from "@effect/platform"
import { Effect, Layer } from "effect"
import { Archiver } from "./archive/Archiver.ts"
import * as FileArchiveStore from "./archive/FileArchiveStore.ts"
import * as HyparquetWriter from "./archive/HyparquetWriter.ts"
import * as S3ArchiveStore from "./archive/S3ArchiveStore.ts"
import type { ArchiveStoreSettings, Settings } from "./Config.ts"
import { DatabaseUnusable, type StartupError } from "./domain/StartupError.ts"
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
import * as Database from "./storage/Database.ts"
import { EventJournal } from "./storage/EventJournal.ts"
import { SnapshotRepo } from "./storage/SnapshotRepo.ts"

/**
 * The whole collector. Building it may fail with a StartupError; after that nothing in it fails. When it is closed it
 * stops receiving, commits what is queued, and then lets go of the database.
 */
export const layer = (
  settings: Settings
): Layer.Layer<Archiver | Batcher | SnapshotQueue, StartupError, FileSystem.FileSystem | Path.Path> =>
  Layer.mergeAll(
    receiving,
    actor(
      "archiving",
      Effect.flatMap(Archiver, (archiver) => archiver.run)
    ),
    actor("liveness report", reportLiveness),
    actor("drop report", reportDrops)
  ).pipe(
    Layer.provideMerge(Batcher.layer({ interval: settings.batchInterval })),
    Layer.provideMerge(
      Layer.mergeAll(
        SnapshotQueue.layer({ capacity: settings.queueCapacity }),
        exchangeStream(settings),
        archiver(settings)
      )
    ),
    Layer.provideMerge(storage(settings)),
    Layer.provide(LogJanitor.layer({ directory: settings.logDirectory, retention: settings.logRetention })),
    Layer.provide(Logging.layer({ directives: settings.logDirectives, directory: settings.logDirectory }))
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

const archiver = (settings: Settings) =>
  Archiver.layer({
    serverName: settings.serverName,
    outboxDirectory: settings.outboxDirectory,
    interval: settings.archiveInterval
  }).pipe(
    Layer.provide(HyparquetWriter.layer()),
    Layer.provide(archiveStore(settings.archiveStore)),
    Layer.mapError((error) =>
      error._tag === "DatabaseError"
        ? new DatabaseUnusable({
            path: settings.databasePath,
            reason: `its journal cannot be read: ${error.message}`
          })
        : error
    )
  )

const archiveStore = (settings: ArchiveStoreSettings) =>
  settings._tag === "S3"
    ? S3ArchiveStore.layer(settings)
    : FileArchiveStore.layer({ directory: settings.directory })

const storage = (settings: Settings) =>
  SnapshotRepo.layer.pipe(
    Layer.provideMerge(EventJournal.layer),
    Layer.provide(Database.layer(settings.databasePath))
  )
