import { FileSystem, Path } from "@effect/platform"
import { Migrator, SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Data, Effect, Layer, Option } from "effect"
import { DatabaseUnusable } from "../domain/StartupError.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { DatabaseFile, faultText, finishPuttingBack, makeDatabaseFile } from "./DatabaseFile.ts"
import { migrations, migrationsTable, schemaVersion } from "./migrations.ts"
import { lockWaitMillis } from "./transaction.ts"

/**
 * Opens the SQLite file with the newest schema: WAL, and every commit synced, so that what was committed survives a power loss. A
 * file that is not a database or has a newer schema is refused and left unchanged.
 */
export const layer = (path: string) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const unusable = (reason: string) => new DatabaseUnusable({ path, reason })
      yield* Effect.mapError(finishPuttingBack(path), (error) =>
        unusable(`cannot be opened: ${error.message}`)
      )
      yield* checkFile(path)
      const context = yield* Layer.build(SqliteClient.layer({ filename: path, disableWAL: true })).pipe(
        Effect.catchAllDefect((cause) => Effect.fail(new DatabaseError({ cause }))),
        Effect.mapError((error) => unusable(`cannot be opened: ${error.message}`))
      )
      yield* setUp.pipe(
        Effect.catchAllDefect((cause) => Effect.fail(new DatabaseError({ cause }))),
        Effect.catchTag("SqlError", (cause) => Effect.fail(new DatabaseError({ cause }))),
        Effect.catchTags({
          DatabaseError: (error) => Effect.fail(unusable(`cannot be used: ${error.message}`)),
          MigrationError: (error) => Effect.fail(unusable(`cannot be brought up to date: ${error.message}`)),
          SchemaIsNewer: ({ version }) =>
            Effect.fail(
              unusable(
                `was made by a newer version (schema ${version}, this one knows ${schemaVersion}): run that version, or name another file`
              )
            )
        }),
        Effect.provide(context)
      )
      const file = yield* makeDatabaseFile(path, Context.get(context, SqlClient.SqlClient))
      yield* Effect.addFinalizer(() => putBackAtLast(file))
      return Layer.succeedContext(Context.add(context, DatabaseFile, file))
    })
  )

/** Puts the file back once more at the end: if it was removed since the last check, its contents would otherwise be lost. */
const putBackAtLast = (file: DatabaseFile["Type"]) =>
  Effect.flatMap(file.fault, (fault) =>
    Option.isNone(fault)
      ? Effect.void
      : Effect.zipRight(
          Effect.logError(`${faultText[fault.value]} while in use, restoring it as it was`),
          file.putBack(Effect.void)
        )
  ).pipe(
    Effect.catchAll((error) =>
      Effect.logError("could not restore the database file").pipe(
        Effect.annotateLogs({ reason: error.message })
      )
    ),
    Effect.annotateLogs({ module: "storage", path: file.path })
  )

class SchemaIsNewer extends Data.TaggedError("SchemaIsNewer")<{ readonly version: number }> {}

const sqliteHeader = "SQLite format 3\0"

const checkFile = (path: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory((yield* Path.Path).dirname(path), { recursive: true })
    if (!(yield* fs.exists(path))) return
    const info = yield* fs.stat(path)
    if (info.type !== "File") return yield* new DatabaseUnusable({ path, reason: "is not a file" })
    if (info.size === FileSystem.Size(0)) return
    const head = yield* Effect.scoped(
      Effect.flatMap(fs.open(path, { flag: "r" }), (file) => file.readAlloc(sqliteHeader.length))
    )
    const isDatabase = head._tag === "Some" && new TextDecoder().decode(head.value) === sqliteHeader
    if (!isDatabase) {
      return yield* new DatabaseUnusable({ path, reason: "is not an SQLite database, and is left as it is" })
    }
  }).pipe(
    Effect.catchTags({
      BadArgument: (error) =>
        Effect.fail(new DatabaseUnusable({ path, reason: `cannot be opened: ${error.message}` })),
      SystemError: (error) =>
        Effect.fail(new DatabaseUnusable({ path, reason: `cannot be opened: ${error.message}` }))
    })
  )

const setUp = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const pragma = (text: string) => sql.unsafe(`PRAGMA ${text}`)
  yield* pragma(`busy_timeout = ${lockWaitMillis}`)
  yield* refuseNewerSchema
  // Only takes effect in a new file, and only before WAL: large pages suit rows of a few kB.
  yield* pragma("page_size = 16384")
  yield* pragma("journal_mode = WAL")
  yield* pragma("synchronous = FULL")
  // kB: room for a whole batch, so that none of its pages is written twice.
  yield* pragma("cache_size = -32768")
  // Pages, 64 MB: the pages of the index, which every batch changes, go to the database file less often.
  yield* pragma("wal_autocheckpoint = 4000")
  // Bytes; after a burst the WAL shrinks back to this.
  yield* pragma("journal_size_limit = 67108864")
  yield* Migrator.make({})({ loader: migrations, table: migrationsTable })
})

const refuseNewerSchema = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ${migrationsTable}`
  if (tables.length === 0) return
  const rows = yield* sql<{ version: number | null }>`
    SELECT max(migration_id) AS version FROM ${sql(migrationsTable)}`
  const version = rows[0]?.version ?? 0
  if (version > schemaVersion) return yield* new SchemaIsNewer({ version })
})
