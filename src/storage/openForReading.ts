import * as Reactivity from "@effect/experimental/Reactivity"
import { FileSystem } from "@effect/platform"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Option, type Scope } from "effect"
import { DatabaseUnusable } from "../domain/StartupError.ts"
import { DatabaseError } from "./DatabaseError.ts"

/**
 * Opens a database that another process may be writing, for the scope, and reads it. None if the file does not exist or is empty.
 */
export const openForReading = <A, E>(
  path: string,
  look: (sql: SqliteClient.SqliteClient) => Effect.Effect<Option.Option<A>, E>
): Effect.Effect<Option.Option<A>, DatabaseUnusable, Scope.Scope | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    if (!(yield* fs.exists(path)) || (yield* fs.stat(path)).size === FileSystem.Size(0)) return Option.none()
    return yield* look(yield* SqliteClient.make({ filename: path, readonly: true, disableWAL: true }))
  }).pipe(
    Effect.provide(Reactivity.layer),
    Effect.catchAllDefect((cause) => Effect.fail(new DatabaseError({ cause }))),
    Effect.mapError(
      (cause) =>
        new DatabaseUnusable({ path, reason: `cannot be read: ${DatabaseError.from(cause).message}` })
    )
  )

/** Reads the database as of one moment; its log is kept from being emptied only while the read takes. */
export const asOfOneMoment = <A, E, R>(sql: SqliteClient.SqliteClient, read: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    sql.unsafe("BEGIN"),
    () => read,
    () => Effect.ignore(sql.unsafe("COMMIT"))
  )
