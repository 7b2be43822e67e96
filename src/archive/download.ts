import { createHash } from "node:crypto"
import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Stream } from "effect"
import { ArchiveStore, type ArchiveStoreError } from "./ArchiveStore.ts"

/** Copies an object into a file; returns its length in bytes and its SHA-256. */
export const download = (
  key: string,
  path: string
): Effect.Effect<
  { readonly size: number; readonly sha256: string },
  ArchiveStoreError | PlatformError,
  ArchiveStore | FileSystem.FileSystem
> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const store = yield* ArchiveStore
    const hash = createHash("sha256")
    let size = 0
    yield* store.get(key).pipe(
      Stream.tap((bytes) =>
        Effect.sync(() => {
          hash.update(bytes)
          size += bytes.length
        })
      ),
      Stream.run(fs.sink(path))
    )
    return { size, sha256: hash.digest("hex") }
  })
