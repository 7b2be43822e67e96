import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Effect, Layer } from "effect"
import * as FileArchiveStore from "../../src/archive/FileArchiveStore.ts"
import * as HyparquetReader from "../../src/archive/HyparquetReader.ts"
import * as HyparquetWriter from "../../src/archive/HyparquetWriter.ts"
import * as Database from "../../src/storage/Database.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"

/** A folder that is removed with the scope. */
export const temporaryFolder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

/** An archive in a folder, and what reads and writes its files. */
export const fileArchive = (directory: string) =>
  Layer.mergeAll(FileArchiveStore.layer({ directory }), HyparquetReader.layer, HyparquetWriter.layer())

/** The storage services on a database file. */
export const storageOn = (path: string) =>
  SnapshotRepo.layer.pipe(
    Layer.provideMerge(EventJournal.layer),
    Layer.provideMerge(Database.layer(path)),
    Layer.provideMerge(NodeContext.layer)
  )

/** The storage services on a new database file. */
export const storage = Layer.unwrapScoped(
  Effect.map(temporaryFolder, (folder) => storageOn(`${folder}/collector.db`))
).pipe(Layer.provide(NodeContext.layer))
