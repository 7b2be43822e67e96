import type { FileSystem, Path } from "@effect/platform"
import { Effect, Layer } from "effect"
import { Archiver } from "../archive/Archiver.ts"
import * as FileArchiveStore from "../archive/FileArchiveStore.ts"
import * as HyparquetWriter from "../archive/HyparquetWriter.ts"
import * as S3ArchiveStore from "../archive/S3ArchiveStore.ts"
import { DatabaseUnusable, type StartupError } from "../domain/StartupError.ts"
import type { ArchiveStoreSettings, StorageSettings } from "../domain/StorageSettings.ts"
import { supervise } from "../operations/supervise.ts"
import * as Database from "../storage/Database.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import { SnapshotRepo } from "../storage/SnapshotRepo.ts"
import { Storage } from "./Storage.ts"

/** Storage with all that it consists of, archiving included, on the calling thread. */
export const layer = (
  settings: StorageSettings
): Layer.Layer<Storage, StartupError, FileSystem.FileSystem | Path.Path> =>
  Layer.merge(Storage.layer, archiving).pipe(
    Layer.provide(archiver(settings)),
    Layer.provide(SnapshotRepo.layer),
    Layer.provide(EventJournal.layer),
    Layer.provide(Database.layer(settings.databasePath))
  )

const archiving = Layer.scopedDiscard(
  Effect.flatMap(Archiver, (archiver) => Effect.forkScoped(supervise("archiving")(archiver.run)))
)

const archiver = (settings: StorageSettings) =>
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
