import type { FileSystem, Path } from "@effect/platform"
import { Effect, Layer, Schedule } from "effect"
import { Archiver } from "../archive/Archiver.ts"
import { archiveStoreOf } from "../archive/archiveStoreOf.ts"
import * as HyparquetWriter from "../archive/HyparquetWriter.ts"
import type { ProcessId } from "../domain/ProcessId.ts"
import { DatabaseUnusable, type StartupError } from "../domain/StartupError.ts"
import { defaultMinFreeDisk, type StorageSettings } from "../domain/StorageSettings.ts"
import { answerRequests } from "../storage/ArchiveRequests.ts"
import * as Database from "../storage/Database.ts"
import { watchDatabaseFile } from "../storage/DatabaseFile.ts"
import * as DatabaseLock from "../storage/DatabaseLock.ts"
import { DiskReserve } from "../storage/DiskReserve.ts"
import { watchDisk } from "../storage/DiskWatch.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import * as ProcessLife from "../storage/ProcessLife.ts"
import { SnapshotRepo } from "../storage/SnapshotRepo.ts"
import type { Storage } from "../storage/Storage.ts"
import { StorageFaults } from "../storage/StorageFaults.ts"
import { watchWal } from "../storage/WalWatch.ts"
import { supervise } from "../supervise.ts"
import * as LocalStorage from "./LocalStorage.ts"

/**
 * The storing side, all on the calling thread: `Storage` is what receiving talks to; behind it are `SnapshotRepo` and
 * `EventJournal` on one database, and the `Archiver` with its `ParquetWriter` and `ArchiveStore`. Fails if another process uses
 * the database. `restart` ends it at once, so that it is built again.
 */
export const layer = (
  settings: StorageSettings,
  process: ProcessId,
  restart: Effect.Effect<never>
): Layer.Layer<Storage, StartupError, FileSystem.FileSystem | Path.Path> =>
  Layer.mergeAll(
    LocalStorage.layer,
    archiving(settings),
    Layer.scopedDiscard(
      Effect.forkScoped(supervise("watching the database's file")(watchDatabaseFile(restart)))
    ),
    ProcessLife.layer({ process, server: settings.serverName })
  ).pipe(
    Layer.provide(archiver(settings)),
    Layer.provide(reserve(settings)),
    Layer.provide(SnapshotRepo.layer),
    Layer.provide(EventJournal.layer),
    Layer.provide(StorageFaults.layer),
    // Both at once: each waits for its disk.
    Layer.provide(Layer.merge(archiveTarget(settings), database(settings))),
    Layer.mapError((error) =>
      error._tag === "DatabaseError"
        ? new DatabaseUnusable({
            path: settings.databasePath,
            reason: `its journal cannot be read: ${error.message}`
          })
        : error
    )
  )

/** Runs a cycle at the start, every interval, when another process requests one, and when the disk is nearly full. */
const archiving = ({ databasePath, minFreeDisk }: StorageSettings) =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const archiver = yield* Archiver
      const faults = yield* StorageFaults
      yield* Effect.forkScoped(
        supervise("watching the disk")(
          watchDisk({ databasePath, minFree: minFreeDisk ?? defaultMinFreeDisk, archive: archiver.runCycle })
        )
      )
      yield* Effect.forkScoped(supervise("watching the write-ahead log")(watchWal({ databasePath })))
      yield* Effect.forkScoped(supervise("archiving")(archiver.run))
      yield* Effect.forkScoped(
        supervise("watching the archive store")(
          archiver.watchStore((reason) =>
            faults.tell({ what: "the archive store", severity: "degraded", reason })
          )
        )
      )
      yield* Effect.forkScoped(
        supervise("answering requests for archives")(
          answerRequests(archiver.runCycle).pipe(
            Effect.ignore,
            Effect.schedule(Schedule.spaced("500 millis"))
          )
        )
      )
    })
  )

/** Archiving on a database. */
export const archiver = (settings: StorageSettings) =>
  Layer.unwrapEffect(
    Effect.map(DiskReserve, ({ rowsPerArchive }) =>
      Archiver.layer({
        serverName: settings.serverName,
        outboxDirectory: settings.outboxDirectory,
        interval: settings.archiveInterval,
        rowsThatFit: rowsPerArchive
      })
    )
  ).pipe(Layer.provide(reserve(settings)))

const reserve = ({ databasePath, minFreeDisk }: StorageSettings) =>
  DiskReserve.layer({ databasePath, minFree: minFreeDisk ?? defaultMinFreeDisk })

/** The Parquet writer and the store of the archives. */
export const archiveTarget = ({ archiveStore }: StorageSettings) =>
  Layer.merge(HyparquetWriter.layer(), archiveStoreOf(archiveStore))

/** The database, locked against other processes. */
const database = ({ databasePath }: StorageSettings) =>
  Layer.provide(Database.layer(databasePath), DatabaseLock.layer(databasePath))
