import { createHash, randomBytes } from "node:crypto"
import { constants, createReadStream, type Dirent, type Stats, statSync } from "node:fs"
import * as NodeFs from "node:fs/promises"
import * as NodePath from "node:path"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Chunk, Effect, Layer, Option, Predicate, Stream } from "effect"
import { ArchiveStoreUnusable } from "../domain/StartupError.ts"
import { ArchiveStore, ArchiveStoreError, type LocalObject, type StoredObject } from "./ArchiveStore.ts"
import { syncDirectory, syncFile } from "./durable.ts"
import { fileDigest } from "./fileDigest.ts"
import { checkKey, checkPrefix } from "./objectKey.ts"

/**
 * Objects as files below a directory, under their keys. Building it creates the directory and proves that it can be
 * written. Objects share the disk space of the local file where both lie on one file system (hard links). The directory is
 * not made anew later: while another one is in its place, as below the mount point of a disk that is gone, nothing is put.
 */
export const layer = (options: {
  readonly directory: string
  /** Leaves the directory as it is, and does not ask whether it can be written. */
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

const proveWritable = (root: string, given: string): Effect.Effect<void, ArchiveStoreUnusable> => {
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

/** What a disk must have room for to be of use, bytes. */
const probeBytes = 65_536

const writeAndRemove = <E>(
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

/** The directory that the store was opened in. */
interface Place {
  /** Fails while it is not there, or another one is in its place. */
  readonly isOpen: (
    operation: ArchiveStoreError["operation"],
    key: string
  ) => Effect.Effect<void, ArchiveStoreError>
  /** By this object the directory is known again. */
  readonly hasNow: (object: KnownObject) => Effect.Effect<void>
}

type KnownObject = Pick<StoredObject, "key" | "size">

/** For who only reads. */
const anyPlace: Place = { isOpen: () => Effect.void, hasNow: () => Effect.void }

/**
 * Takes the directory as it is now. It is known again by its device and inode, and, since a disk that is mounted again may
 * get another device, by an object that it has. Where a disk was mounted on it, an empty disk may take its place.
 */
const openPlace = (root: string, given: string): Effect.Effect<Place, ArchiveStoreUnusable> =>
  Effect.gen(function* () {
    let opened = yield* Effect.mapError(
      identify(root, reasonOf),
      (reason) => new ArchiveStoreUnusable({ reason: `ARCHIVE_DIR=${given}: cannot be used: ${reason}` })
    )
    let known: KnownObject | undefined = Option.getOrUndefined(
      yield* Effect.orElseSucceed(Stream.runHead(walk(root, "", "")), Option.none)
    )

    const isOpen: Place["isOpen"] = (operation, key) => {
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
          yield* Effect.logWarning("an empty disk is mounted on ARCHIVE_DIR: the archive goes on there").pipe(
            Effect.annotateLogs({ directory: root })
          )
        }
        opened = now
      })
    }
    const hasNow: Place["hasNow"] = (object) =>
      Effect.sync(() => {
        known = object
      })
    return { isOpen, hasNow }
  })

interface Identity {
  readonly device: bigint
  readonly inode: bigint
  /** A disk of its own is mounted on it. */
  readonly isMounted: boolean
}

const identify = <E>(path: string, failed: (cause: unknown) => E): Effect.Effect<Identity, E> =>
  attempt(async () => {
    const [own, above] = await Promise.all(
      [path, NodePath.dirname(path)].map((one) => NodeFs.stat(one, { bigint: true }))
    )
    if (own === undefined || !own.isDirectory()) throw new Error("it is no folder")
    return { device: own.dev, inode: own.ino, isMounted: own.dev !== above?.dev }
  }, failed)

const hasObject = (root: string, { key, size }: KnownObject) =>
  Effect.map(stat(NodePath.join(root, key), reasonOf), (found) =>
    Option.exists(found, (stats) => stats.isFile() && stats.size === size)
  )

/** Temporary files are named after this, and no object's file is. */
const temporaryPrefix = ".put-"

const checkFileKey = (operation: ArchiveStoreError["operation"], key: string) =>
  Effect.zipRight(
    checkKey(operation, key),
    key.split("/").some((segment) => segment.startsWith(temporaryPrefix))
      ? new ArchiveStoreError({ operation, key, kind: "Refused", reason: "the key is reserved" })
      : Effect.void
  )

const put = (target: string, root: string, object: LocalObject): Effect.Effect<void, ArchiveStoreError> =>
  Effect.gen(function* () {
    const failed = failure("put", object.key)
    const local = yield* fileDigest(object.path, failed)
    if (local.size !== object.size || local.sha256 !== object.sha256) {
      return yield* new ArchiveStoreError({
        operation: "put",
        key: object.key,
        kind: "Refused",
        reason: `the local file is not what it should be: ${local.size} bytes, expected ${object.size}, or of other content`
      })
    }
    const directory = NodePath.dirname(target)
    yield* attempt(() => makeBelow(root, directory), failed)
    yield* syncFile(object.path, failed)
    yield* publish(object.path, target).pipe(
      Effect.catchIf(
        (error) => error.code === "EXDEV" || noHardLinks(error.code),
        () => copyIn(object.path, target, object.key)
      ),
      Effect.catchIf(
        (error) => error.code === "EEXIST",
        () => compare(target, object)
      ),
      Effect.mapError(({ cause }) => failed(cause))
    )
    yield* syncUpwards(directory, root, failed)
  })

/** Makes the folders below the root that are missing. A root that is gone is not made anew. */
const makeBelow = async (root: string, directory: string): Promise<void> => {
  if (directory === root) return
  await makeBelow(root, NodePath.dirname(directory))
  await NodeFs.mkdir(directory).catch((cause) => {
    if (codeOf(cause) !== "EEXIST") throw cause
  })
}

/** What an attempt to publish failed with: the operating system's code decides what is tried next. */
interface Obstacle {
  readonly code: string | undefined
  readonly cause: unknown
}

const obstacle = (cause: unknown): Obstacle => ({ code: codeOf(cause), cause })

/** Gives the file a second name, all at once, unless the name is taken (EEXIST). */
const publish = (source: string, target: string): Effect.Effect<void, Obstacle> =>
  attempt(() => NodeFs.link(source, target), obstacle)

/** Copies to the target's file system first. A copy that a crash left there is removed by the next attempt. */
const copyIn = (source: string, target: string, key: string): Effect.Effect<void, Obstacle> => {
  const directory = NodePath.dirname(target)
  const prefix = `${temporaryPrefix}${createHash("sha256").update(key).digest("hex").slice(0, 16)}-`
  const temporary = NodePath.join(directory, `${prefix}${randomBytes(8).toString("hex")}`)
  const removeOld = attempt(async () => {
    for (const name of await NodeFs.readdir(directory)) {
      if (!name.startsWith(prefix)) continue
      const left = NodePath.join(directory, name)
      if (Date.now() - (await NodeFs.stat(left)).mtimeMs > leftoverMillis) await NodeFs.unlink(left)
    }
  }, obstacle)
  return Effect.acquireUseRelease(
    Effect.ignore(removeOld),
    () =>
      attempt(() => NodeFs.copyFile(source, temporary, constants.COPYFILE_EXCL), obstacle).pipe(
        Effect.zipRight(syncFile(temporary, obstacle)),
        Effect.zipRight(publish(temporary, target)),
        Effect.catchIf(
          (error) => noHardLinks(error.code),
          () => renameIfFree(temporary, target)
        ),
        Effect.uninterruptible
      ),
    () => Effect.ignore(attempt(() => NodeFs.rm(temporary, { force: true }), obstacle))
  )
}

/** For file systems without hard links. */
const renameIfFree = (temporary: string, target: string): Effect.Effect<void, Obstacle> =>
  attempt(() => NodeFs.lstat(target), obstacle).pipe(
    Effect.matchEffect({
      onSuccess: () =>
        Effect.fail<Obstacle>({ code: "EEXIST", cause: new Error("the file is there already") }),
      onFailure: (error) =>
        error.code === "ENOENT"
          ? attempt(() => NodeFs.rename(temporary, target), obstacle)
          : Effect.fail(error)
    })
  )

const leftoverMillis = 3_600_000

const noHardLinks = (code: string | undefined): boolean =>
  code === "EPERM" || code === "EMLINK" || code === "ENOSYS" || code === "ENOTSUP" || code === "EOPNOTSUPP"

const compare = (target: string, object: LocalObject): Effect.Effect<void, Obstacle> =>
  Effect.flatMap(fileDigest(target, obstacle), (stored) =>
    stored.size === object.size && stored.sha256 === object.sha256
      ? Effect.void
      : Effect.fail<Obstacle>({ code: conflict, cause: new Conflicting() })
  )

const conflict = "CONFLICT"

class Conflicting extends Error {
  readonly code = conflict
  override readonly message = "another object has this key"
}

/** Makes the name last, and the directories that were made for it. */
const syncUpwards = <E>(
  directory: string,
  root: string,
  failed: (cause: unknown) => E
): Effect.Effect<void, E> =>
  Effect.zipRight(
    syncDirectory(directory, failed),
    directory === root
      ? Effect.void
      : Effect.suspend(() => syncUpwards(NodePath.dirname(directory), root, failed))
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

/**
 * The files below a folder (its path with `/` at the end, or empty) whose keys begin with the prefix, in key order: some
 * hundreds at a time, since there may be very many, and a stream for each folder would take most of the time.
 */
const walk = (root: string, folder: string, prefix: string): Stream.Stream<StoredObject, ArchiveStoreError> =>
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
const entriesOf = (path: string): Promise<ReadonlyArray<Dirent>> =>
  NodeFs.readdir(path, { withFileTypes: true }).catch((cause) => {
    if (isMissing(codeOf(cause))) return []
    throw cause
  })

const stat = <E>(path: string, failed: (cause: unknown) => E): Effect.Effect<Option.Option<Stats>, E> =>
  attempt(() => NodeFs.stat(path), obstacle).pipe(
    Effect.asSome,
    Effect.catchIf(
      (error) => isMissing(error.code),
      () => Effect.succeedNone
    ),
    Effect.mapError(({ cause }) => failed(cause))
  )

const attempt = <A, E>(evaluate: () => Promise<A>, failed: (cause: unknown) => E): Effect.Effect<A, E> =>
  Effect.tryPromise({ try: evaluate, catch: failed })

const failure =
  (operation: ArchiveStoreError["operation"], key: string) =>
  (cause: unknown): ArchiveStoreError =>
    new ArchiveStoreError({ operation, key, kind: kindOf(codeOf(cause)), reason: reasonOf(cause), cause })

/** A full disk may have room again; a missing permission or file will not come by itself. */
const kindOf = (code: string | undefined): ArchiveStoreError["kind"] => {
  if (code === conflict) return "Conflict"
  return code !== undefined && hopeless.has(code) ? "Refused" : "Failed"
}

const hopeless = new Set([
  "EACCES",
  "EISDIR",
  "ELOOP",
  "ENAMETOOLONG",
  "ENOENT",
  "ENOTDIR",
  "EEXIST",
  "EPERM",
  "EROFS"
])

const isMissing = (code: string | undefined): boolean => code === "ENOENT" || code === "ENOTDIR"

const codeOf = (cause: unknown): string | undefined =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
