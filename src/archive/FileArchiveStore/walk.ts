import { type Dirent, type Stats, statSync } from "node:fs"
import * as NodeFs from "node:fs/promises"
import { Chunk, Effect, Option, Stream } from "effect"
import type { ArchiveStoreError, StoredObject } from "../ArchiveStore.ts"
import { attempt, codeOf, failure, isMissing, obstacle } from "./failure.ts"

/** Temporary files are named after this, and no object's file is. */
export const temporaryPrefix = ".put-"

/**
 * The files below a folder (its path with `/` at the end, or empty) whose keys begin with the prefix, in key order: some
 * hundreds at a time, since there may be very many, and a stream for each folder would take most of the time.
 */
export const walk = (
  root: string,
  folder: string,
  prefix: string
): Stream.Stream<StoredObject, ArchiveStoreError> =>
  Stream.suspend(() => {
    const failed = failure("list", prefix)
    /** What is to come, the next one last. Folders end in `/`. */
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
      // At once: promises would take four times as long. One that was removed meanwhile has no size.
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

/** Keys are ordered by their bytes; a folder counts as its name with the `/` that follows. */
const inKeyOrder = (entries: ReadonlyArray<Dirent>): ReadonlyArray<Dirent> =>
  entries
    .filter((entry) => !entry.name.startsWith(temporaryPrefix))
    .map((entry) => ({ entry, name: Buffer.from(entry.isDirectory() ? `${entry.name}/` : entry.name) }))
    .sort((a, b) => Buffer.compare(a.name, b.name))
    .map(({ entry }) => entry)

/** None if it is not there. */
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
