import { FileSystem, type Path } from "@effect/platform"
import { Context, Effect, Layer, type Scope, Stream } from "effect"
import { ArchiveStore } from "../archive/ArchiveStore.ts"
import { archiveStoreOf } from "../archive/archiveStoreOf.ts"
import * as HyparquetReader from "../archive/HyparquetReader.ts"
import { ParquetReader } from "../archive/ParquetReader.ts"
import { withoutSdkWarning } from "../archive/s3/sdkWarning.ts"
import { loadSettings, type Settings } from "../Config.ts"
import type { StartupError } from "../domain/StartupError.ts"
import { exchanges } from "../exchange/registry.ts"

/** What a read-only command works with. */
export interface Reading {
  readonly settings: Settings
  readonly services: Context.Context<ArchiveStore | ParquetReader>
  /** Holds one file at a time. Removed with the scope. */
  readonly folder: string
}

/** Loads the collector's settings, and its archive, which is not changed. A missing folder is an empty archive. */
export const loadReading: Effect.Effect<
  Reading,
  StartupError,
  Scope.Scope | FileSystem.FileSystem | Path.Path
> = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  yield* withoutSdkWarning
  const settings = yield* loadSettings(exchanges)
  const isThere =
    settings.archiveStore._tag === "S3" || (yield* Effect.orDie(fs.exists(settings.archiveStore.directory)))
  const store = isThere ? archiveStoreOf(settings.archiveStore, { readOnly: true }) : emptyStore
  const services = yield* Layer.build(Layer.merge(store, HyparquetReader.layer))
  const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "crypto-collector-" }))
  return { settings, services: Context.pick(ArchiveStore, ParquetReader)(services), folder }
})

const emptyStore = Layer.succeed(
  ArchiveStore,
  ArchiveStore.of({
    put: () => Effect.dieMessage("not for reading"),
    head: () => Effect.succeedNone,
    get: () => Stream.empty,
    list: () => Stream.empty
  })
)
