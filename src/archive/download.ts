import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Stream } from "effect"
import { ArchiveStore, type ArchiveStoreError } from "./ArchiveStore.ts"
import { type Digest, digesting } from "./digest.ts"

/** Copies an object into a file. */
export const download = (
  key: string,
  path: string
): Effect.Effect<Digest, ArchiveStoreError | PlatformError, ArchiveStore | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const store = yield* ArchiveStore
    return yield* digesting(store.get(key), (bytes) => Stream.run(bytes, fs.sink(path)))
  })
