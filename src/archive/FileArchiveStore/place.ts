import { randomBytes } from "node:crypto"
import * as NodeFs from "node:fs/promises"
import * as NodePath from "node:path"
import { Effect, Option, Stream } from "effect"
import { reasonOf } from "../../domain/reasonOf.ts"
import { ArchiveStoreUnusable } from "../../domain/StartupError.ts"
import { ArchiveStoreError, type StoredObject } from "../ArchiveStore.ts"
import { syncDirectory } from "../syncToDisk.ts"
import { attempt } from "./failure.ts"
import { entriesOf, stat, temporaryPrefix, walk } from "./walk.ts"

export const proveWritable = (root: string, given: string): Effect.Effect<void, ArchiveStoreUnusable> => {
  const failed = (cause: unknown) =>
    new ArchiveStoreUnusable({
      reason: `ARCHIVE_DIR=${given}: the folder cannot be written: ${reasonOf(cause)}`
    })
  return attempt(() => NodeFs.mkdir(root, { recursive: true }), failed).pipe(
    Effect.zipRight(writeAndRemove(root, new Uint8Array(), failed)),
    Effect.zipRight(syncDirectory(root, failed)),
    Effect.uninterruptible
  )
}

/** The free space a disk needs to be usable, bytes. */
export const probeBytes = 65_536

export const writeAndRemove = <E>(
  root: string,
  bytes: Uint8Array,
  failed: (cause: unknown) => E
): Effect.Effect<void, E> => {
  const probe = NodePath.join(root, `${temporaryPrefix}${randomBytes(8).toString("hex")}`)
  return attempt(() => NodeFs.writeFile(probe, bytes, { flag: "wx" }), failed).pipe(
    Effect.zipRight(attempt(() => NodeFs.unlink(probe), failed)),
    Effect.onError(() => Effect.ignore(attempt(() => NodeFs.rm(probe, { force: true }), failed))),
    Effect.uninterruptible
  )
}

/** The directory in which the store was opened. */
interface ArchiveFolder {
  /** Fails while the directory is missing or another one is in its place. */
  readonly isOpen: (
    operation: ArchiveStoreError["operation"],
    key: string
  ) => Effect.Effect<void, ArchiveStoreError>
  /** Remembers the object by which the directory is recognized. */
  readonly hasNow: (object: KnownObject) => Effect.Effect<void>
}

type KnownObject = Pick<StoredObject, "key" | "size">

/** For readers: accepts any directory. */
export const anyPlace: ArchiveFolder = { isOpen: () => Effect.void, hasNow: () => Effect.void }

/**
 * Opens the directory as it is now. It is recognized later by its device and inode, and, since a disk that is remounted can get
 * another device, by an object in it. If a disk was mounted on it, an empty disk can take its place.
 */
export const openPlace = (root: string, given: string): Effect.Effect<ArchiveFolder, ArchiveStoreUnusable> =>
  Effect.gen(function* () {
    let opened = yield* Effect.mapError(
      identify(root, reasonOf),
      (reason) => new ArchiveStoreUnusable({ reason: `ARCHIVE_DIR=${given}: cannot be used: ${reason}` })
    )
    let known: KnownObject | undefined = Option.getOrUndefined(
      yield* Effect.orElseSucceed(Stream.runHead(walk(root, "", "")), Option.none)
    )

    const isOpen: ArchiveFolder["isOpen"] = (operation, key) => {
      const failed = (reason: string) =>
        new ArchiveStoreError({ operation, key, kind: "Failed", reason: `ARCHIVE_DIR=${given}: ${reason}` })
      return Effect.gen(function* () {
        const now = yield* identify(root, (cause) =>
          failed(`the folder is not there any more, is its disk mounted? ${reasonOf(cause)}`)
        )
        if (now.device === opened.device && now.inode === opened.inode) return
        const isKnown =
          known !== undefined && (yield* hasObject(root, known).pipe(Effect.orElseSucceed(() => false)))
        if (!isKnown) {
          const isEmpty = yield* Effect.map(
            attempt(
              () => entriesOf(root),
              (cause) => failed(reasonOf(cause))
            ),
            (entries) => entries.every(({ name }) => name === "lost+found")
          )
          if (!opened.isMounted || !now.isMounted || !isEmpty) {
            return yield* failed(
              "another folder is in its place, is its disk mounted? A restart begins a new archive there"
            )
          }
          yield* Effect.logWarning(
            "an empty disk was mounted at ARCHIVE_DIR, archiving continues there"
          ).pipe(Effect.annotateLogs({ directory: root }))
        }
        opened = now
      })
    }
    const hasNow: ArchiveFolder["hasNow"] = (object) =>
      Effect.sync(() => {
        known = object
      })
    return { isOpen, hasNow }
  })

interface Identity {
  readonly device: bigint
  readonly inode: bigint
  /** Whether a separate disk is mounted on it. */
  readonly isMounted: boolean
}

const identify = <E>(path: string, failed: (cause: unknown) => E): Effect.Effect<Identity, E> =>
  attempt(async () => {
    const [own, above] = await Promise.all(
      [path, NodePath.dirname(path)].map((each) => NodeFs.stat(each, { bigint: true }))
    )
    if (own === undefined || !own.isDirectory()) throw new Error("not a folder")
    return { device: own.dev, inode: own.ino, isMounted: own.dev !== above?.dev }
  }, failed)

const hasObject = (root: string, { key, size }: KnownObject) =>
  Effect.map(stat(NodePath.join(root, key), reasonOf), (found) =>
    Option.exists(found, (stats) => stats.isFile() && stats.size === size)
  )
