import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import * as NodeFs from "node:fs/promises"
import * as NodePath from "node:path"
import { Effect } from "effect"
import { codeOf } from "../../domain/codeOf.ts"
import { ArchiveStoreError, type LocalObject } from "../ArchiveStore.ts"
import { fileDigest, sameDigest, sha256Hex } from "../digest.ts"
import { syncDirectory, syncFile } from "../syncToDisk.ts"
import { attempt, Conflicting, conflict, failure, type Obstacle, obstacle } from "./failure.ts"
import { temporaryPrefix } from "./walk.ts"

export const put = (
  target: string,
  root: string,
  object: LocalObject
): Effect.Effect<void, ArchiveStoreError> =>
  Effect.gen(function* () {
    const failed = failure("put", object.key)
    const local = yield* fileDigest(object.path, failed)
    if (!sameDigest(local, object)) {
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

/** Creates the missing folders below the root. A root that is gone is not recreated. */
const makeBelow = async (root: string, directory: string): Promise<void> => {
  if (directory === root) return
  await makeBelow(root, NodePath.dirname(directory))
  await NodeFs.mkdir(directory).catch((cause) => {
    if (codeOf(cause) !== "EEXIST") throw cause
  })
}

/** Gives the file a second name, atomically, unless the name is taken (EEXIST). */
const publish = (source: string, target: string): Effect.Effect<void, Obstacle> =>
  attempt(() => NodeFs.link(source, target), obstacle)

/** Copies to the target's file system first. A copy left behind by a crash is removed by the next attempt. */
const copyIn = (source: string, target: string, key: string): Effect.Effect<void, Obstacle> => {
  const directory = NodePath.dirname(target)
  const prefix = `${temporaryPrefix}${sha256Hex(key).slice(0, 16)}-`
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

export const compare = (target: string, object: LocalObject): Effect.Effect<void, Obstacle> =>
  Effect.flatMap(fileDigest(target, obstacle), (stored) =>
    sameDigest(stored, object)
      ? Effect.void
      : Effect.fail<Obstacle>({ code: conflict, cause: new Conflicting() })
  )

/** Makes the name durable, along with the directories created for it. */
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
