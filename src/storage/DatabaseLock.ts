import * as Reactivity from "@effect/experimental/Reactivity"
import { FileSystem, Path } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer, Option, type Scope } from "effect"
import { DatabaseUnusable, ResourceUnavailable } from "../domain/StartupError.ts"
import { DatabaseError } from "./DatabaseError.ts"

/**
 * Makes this process the only one that writes and archives a database: an exclusive lock on the file `<path>.lock`, beside the
 * file that a symbolic link leads to. The operating system releases it when the process ends, however it ends. Fails if another
 * process has it.
 */
export const layer = (
  path: string
): Layer.Layer<never, DatabaseUnusable | ResourceUnavailable, FileSystem.FileSystem | Path.Path> =>
  Layer.scopedDiscard(lock(path))

/** Takes the same lock for a scope. */
export const lock = (
  path: string
): Effect.Effect<
  void,
  DatabaseUnusable | ResourceUnavailable,
  Scope.Scope | FileSystem.FileSystem | Path.Path
> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory((yield* Path.Path).dirname(path), { recursive: true })
    const file = yield* SqliteClient.make({ filename: `${yield* realPath(path)}.lock`, disableWAL: true })
    yield* file.unsafe(`PRAGMA busy_timeout = ${waitMillis}`)
    yield* Effect.acquireRelease(file.unsafe("BEGIN EXCLUSIVE"), () => Effect.ignore(file.unsafe("ROLLBACK")))
  }).pipe(
    Effect.provide(Reactivity.layer),
    Effect.catchAllDefect((cause) => Effect.fail(new DatabaseError({ cause }))),
    Effect.mapError((cause) => {
      const error = DatabaseError.from(cause)
      return error.code.startsWith("SQLITE_BUSY")
        ? new ResourceUnavailable({
            reason: `DATABASE_PATH=${path}: another collector is using this database`
          })
        : new DatabaseUnusable({ path, reason: `cannot be locked by ${path}.lock: ${error.message}` })
    })
  )

/** Resolves where the file is, or will be: a link may lead to a file that does not exist yet. */
const realPath = (path: string): Effect.Effect<string, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { basename, dirname, join, resolve } = yield* Path.Path
    const toBeMade = Effect.flatMap(Effect.option(fs.readLink(path)), (target) =>
      Option.isSome(target)
        ? realPath(resolve(dirname(path), target.value))
        : Effect.map(fs.realPath(dirname(path)), (folder) => join(folder, basename(path)))
    )
    return yield* Effect.catchIf(fs.realPath(path), isNotFound, () => toBeMade)
  })

const isNotFound = (error: PlatformError): boolean =>
  error._tag === "SystemError" && error.reason === "NotFound"

/** A process that has just been killed may take a moment to disappear. */
const waitMillis = 1000
