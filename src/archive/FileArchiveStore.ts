import { createReadStream } from "node:fs"
import * as NodePath from "node:path"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Layer, Option, Stream } from "effect"
import type { ArchiveStoreUnusable } from "../domain/StartupError.ts"
import { ArchiveStore, ArchiveStoreError, type StoredObject } from "./ArchiveStore.ts"
import { fileDigest } from "./digest.ts"
import { failure } from "./FileArchiveStore/failure.ts"
import { anyPlace, openPlace, probeBytes, proveWritable, writeAndRemove } from "./FileArchiveStore/place.ts"
import { put } from "./FileArchiveStore/put.ts"
import { stat, temporaryPrefix, walk } from "./FileArchiveStore/walk.ts"
import { checkKey, checkPrefix } from "./objectKey.ts"

/**
 * Stores objects as files below a directory, under their keys. Building the layer creates the directory and proves that it is
 * writable. Objects share the disk space of the local file if both are on one file system (hard links). The directory is not
 * recreated later: nothing is put while another one is in its place, such as the folder below the mount point of a disk that is
 * gone.
 */
export const layer = (options: {
  readonly directory: string
  /** Leaves the directory as it is, and does not check that it is writable. */
  readonly readOnly?: boolean
}): Layer.Layer<ArchiveStore, ArchiveStoreUnusable> =>
  Layer.effect(
    ArchiveStore,
    Effect.gen(function* () {
      const root = NodePath.resolve(options.directory)
      if (options.readOnly !== true) yield* proveWritable(root, options.directory)
      const place = options.readOnly === true ? anyPlace : yield* openPlace(root, options.directory)

      return ArchiveStore.of({
        look: place.isOpen("head", ""),
        tryOut: Effect.zipRight(
          place.isOpen("put", ""),
          writeAndRemove(root, Buffer.alloc(probeBytes), (cause) =>
            failure("put", `ARCHIVE_DIR=${options.directory}`)(cause)
          )
        ),
        put: (object) =>
          checkFileKey("put", object.key).pipe(
            Effect.zipRight(place.isOpen("put", object.key)),
            Effect.zipRight(put(NodePath.join(root, object.key), root, object)),
            Effect.tapBoth({
              onFailure: () => place.isOpen("put", object.key),
              onSuccess: () => place.isOpen("put", object.key)
            }),
            Effect.zipRight(place.hasNow(object))
          ),
        head: (key) =>
          checkFileKey("head", key).pipe(
            Effect.zipRight(place.isOpen("head", key)),
            Effect.zipRight(head(NodePath.join(root, key), key))
          ),
        get: (key) =>
          Stream.unwrap(
            checkFileKey("get", key).pipe(
              Effect.zipRight(place.isOpen("get", key)),
              Effect.as(read(NodePath.join(root, key), failure("get", key)))
            )
          ),
        list: (prefix) =>
          Stream.unwrap(
            checkPrefix(prefix).pipe(
              Effect.zipRight(place.isOpen("list", prefix)),
              Effect.as(walk(root, prefix.slice(0, prefix.lastIndexOf("/") + 1), prefix))
            )
          )
      })
    })
  )

const checkFileKey = (operation: ArchiveStoreError["operation"], key: string) =>
  Effect.zipRight(
    checkKey(operation, key),
    key.split("/").some((segment) => segment.startsWith(temporaryPrefix))
      ? new ArchiveStoreError({ operation, key, kind: "Refused", reason: "the key is reserved" })
      : Effect.void
  )

const head = (path: string, key: string): Effect.Effect<Option.Option<StoredObject>, ArchiveStoreError> =>
  Effect.flatMap(stat(path, failure("head", key)), (stats) =>
    Option.isSome(stats) && stats.value.isFile()
      ? Effect.map(fileDigest(path, failure("head", key)), ({ sha256, size }) =>
          Option.some({ key, size, sha256: Option.some(sha256) })
        )
      : Effect.succeedNone
  )

const read = (
  path: string,
  failed: (cause: unknown) => ArchiveStoreError
): Stream.Stream<Uint8Array, ArchiveStoreError> =>
  NodeStream.fromReadable<ArchiveStoreError, Uint8Array>(() => createReadStream(path), failed)
