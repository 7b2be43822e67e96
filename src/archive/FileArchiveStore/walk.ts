import { type Dirent, type Stats, statSync } from "node:fs"
import * as NodeFs from "node:fs/promises"
import { Chunk, Effect, Option, Stream } from "effect"
import { codeOf } from "../../domain/codeOf.ts"
import type { ArchiveStoreError, StoredObject } from "../ArchiveStore.ts"
import { attempt, failure, isMissing, obstacle } from "./failure.ts"

/** Prefix of temporary files; no object's file starts with it. */
export const temporaryPrefix = ".put-"

/**
 * The files below a folder (its path with `/` at the end, or empty) whose keys start with the prefix, in key order. They come
 * some hundreds at a time, since there can be very many, and a stream for each folder would take most of the time.
 */
export const walk = (
  root: string,
  folder: string,
  prefix: string
): Stream.Stream<StoredObject, ArchiveStoreError> =>
  Stream.suspend(() => {
    const failed = failure("list", prefix)
    /** What is still to be visited, the next one last. Folders end in `/`. */
    const waiting = [folder]

    const open = async (folder: string) => {
      for (const entry of inKeyOrder(await entriesOf(`${root}/${folder}`)).toReversed()) {
        const key = `${folder}${entry.name}`
        if (!entry.isDirectory()) {
          if (entry.isFile() && key.startsWith(prefix)) waiting.push(key)
        } else if (`${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`)) waiting.push(`${key}/`)
      }
    }

    const next = async (): Promise<ReadonlyArray<StoredObject> | undefined> => {
      const files: Array<string> = []
      while (files.length < filesAtOnce) {
        const key = waiting.pop()
        if (key === undefined) break
        if (key === "" || key.endsWith("/")) await open(key)
        else files.push(key)
      }
      if (files.length === 0) return undefined
      // Synchronous: promises would take four times as long. A file removed meanwhile has no size.
      return files.flatMap((key): ReadonlyArray<StoredObject> => {
        const size = statSync(`${root}/${key}`, { throwIfNoEntry: false })?.size
        return size === undefined ? [] : [{ key, size, sha256: Option.none() }]
      })
    }

    return Stream.repeatEffectChunkOption(
      Effect.flatMap(Effect.mapError(attempt(next, failed), Option.some), (objects) =>
        objects === undefined ? Effect.fail(Option.none()) : Effect.succeed(Chunk.unsafeFromArray(objects))
      )
    )
  })

const filesAtOnce = 256

/** Orders keys by their bytes; a folder counts as its name followed by `/`. */
const inKeyOrder = (entries: ReadonlyArray<Dirent>): ReadonlyArray<Dirent> =>
  entries
    .filter((entry) => !entry.name.startsWith(temporaryPrefix))
    .map((entry) => ({ entry, name: Buffer.from(entry.isDirectory() ? `${entry.name}/` : entry.name) }))
    .sort((a, b) => Buffer.compare(a.name, b.name))
    .map(({ entry }) => entry)

/** The entries of a folder; none if it does not exist. */
export const entriesOf = (path: string): Promise<ReadonlyArray<Dirent>> =>
  NodeFs.readdir(path, { withFileTypes: true }).catch((cause) => {
    if (isMissing(codeOf(cause))) return []
    throw cause
  })

export const stat = <E>(
  path: string,
  failed: (cause: unknown) => E
): Effect.Effect<Option.Option<Stats>, E> =>
  attempt(() => NodeFs.stat(path), obstacle).pipe(
    Effect.asSome,
    Effect.catchIf(
      (error) => isMissing(error.code),
      () => Effect.succeedNone
    ),
    Effect.mapError(({ cause }) => failed(cause))
  )
