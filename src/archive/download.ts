import { createHash } from "node:crypto"
import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Stream } from "effect"
import { ArchiveStore, type ArchiveStoreError } from "./ArchiveStore.ts"

/** Identifies bytes by length and hash. */
interface Digest {
  readonly size: number
  /** Lower-case hex. */
  readonly sha256: string
}

/** Copies an object into a file. Returns its length in bytes and its SHA-256. */
export const download = (
  key: string,
  path: string
): Effect.Effect<Digest, ArchiveStoreError | PlatformError, ArchiveStore | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const store = yield* ArchiveStore
    return yield* digesting(store.get(key), (bytes) => Stream.run(bytes, fs.sink(path)))
  })

/** Reads bytes to their end without keeping them. */
export const streamDigest = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Effect.Effect<Digest, E, R> =>
  digesting(bytes, Stream.runDrain)

const digesting = <E, R, E2, R2>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  consume: (bytes: Stream.Stream<Uint8Array, E, R>) => Effect.Effect<void, E2, R2>
): Effect.Effect<Digest, E2, R2> =>
  Effect.suspend(() => {
    const hash = createHash("sha256")
    let size = 0
    const tapped = Stream.tap(bytes, (chunk) =>
      Effect.sync(() => {
        hash.update(chunk)
        size += chunk.length
      })
    )
    return Effect.map(consume(tapped), () => ({ size, sha256: hash.digest("hex") }))
  })
