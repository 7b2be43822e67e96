import { randomUUID } from "node:crypto"
import type { FileSystem, Path } from "@effect/platform"
import { Effect, Layer, Schedule } from "effect"
import { Archiver } from "../archive/Archiver.ts"
import { archiveStoreOf } from "../archive/archiveStoreOf.ts"
import * as HyparquetWriter from "../archive/HyparquetWriter.ts"
import { DatabaseUnusable, type StartupError } from "../domain/StartupError.ts"
import { defaultMinFreeDisk, type StorageSettings } from "../domain/StorageSettings.ts"
import { answerRequests } from "../storage/ArchiveRequests.ts"
import * as Database from "../storage/Database.ts"
import * as DatabaseLock from "../storage/DatabaseLock.ts"
import { watchDisk } from "../storage/DiskWatch.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import * as ProcessLife from "../storage/ProcessLife.ts"
import { SnapshotRepo } from "../storage/SnapshotRepo.ts"
import { supervise } from "../supervise.ts"
import * as LocalStorage from "./LocalStorage.ts"
import type { Storage } from "./Storage.ts"

/**
 * Storage with all that it consists of, archiving included, on the calling thread. Fails if another process uses the
 * database. `process` names the process for the journal.
 */
export const layer = (
  settings: StorageSettings,
  process: string = randomUUID()
): Layer.Layer<Storage, StartupError, FileSystem.FileSystem | Path.Path> =>
  Layer.mergeAll(
    LocalStorage.layer,
    archiving(settings),
    ProcessLife.layer({ process, server: settings.serverName })
  ).pipe(
    Layer.provide(archiver(settings)),
    Layer.provide(SnapshotRepo.layer),
    Layer.provide(EventJournal.layer),
    Layer.provide(Database.layer(settings.databasePath)),
    Layer.provide(DatabaseLock.layer(settings.databasePath)),
    Layer.mapError((error) =>
      error._tag === "DatabaseError"
        ? new DatabaseUnusable({
            path: settings.databasePath,
            reason: `its journal cannot be read: ${error.message}`
          })
        : error
    )
  )

/** A cycle at the start, every interval, when another process asks for it, and when the disk is nearly full. */
const archiving = ({ databasePath, minFreeDisk }: StorageSettings) =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const archiver = yield* Archiver
      yield* Effect.forkScoped(
        supervise("watching the disk")(
          watchDisk({ databasePath, minFree: minFreeDisk ?? defaultMinFreeDisk, archive: archiver.runCycle })
        )
      )
      yield* Effect.forkScoped(supervise("archiving")(archiver.run))
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

/** Archiving on a database and to the store of the settings. */
export const archiver = (settings: StorageSettings) =>
  Archiver.layer({
    serverName: settings.serverName,
    outboxDirectory: settings.outboxDirectory,
    interval: settings.archiveInterval
  }).pipe(Layer.provide(HyparquetWriter.layer()), Layer.provide(archiveStoreOf(settings.archiveStore)))
