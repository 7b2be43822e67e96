import { FileSystem, Path } from "@effect/platform"
import { Migrator, SqlClient, type SqlConnection, SqlError } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Context, Data, Effect, Layer, Option, Predicate, Schedule, Scope } from "effect"
import { DatabaseUnusable } from "../domain/StartupError.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { DatabaseFile, faultText, finishPuttingBack, makeDatabaseFile } from "./DatabaseFile.ts"
import { migrations, migrationsTable, schemaVersion } from "./migrations.ts"

/**
 * The SQLite file with the newest schema: WAL, and every commit synced, so that what was committed survives a power loss.
 * A file that is no database or has a newer schema is refused and left as it is.
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

/**
 * Runs an effect in one transaction: all of it or nothing. Waits for a transaction that is under way. A commit that fails is
 * an error too, and leaves no open transaction behind. Within a transaction it is a part of that one.
 *
 * It takes the write lock before anything else. One that read first and then found that another process had written
 * meanwhile could only fail, with SQLITE_BUSY_SNAPSHOT, however long it waited. It waits `waitMillis` for that lock at most,
 * and leaves the thread free meanwhile.
 */
export const transaction = (sql: SqlClient.SqlClient, waitMillis: number = lockWaitMillis) => {
  const inTransaction = immediately(sql, waitMillis)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | DatabaseError, R> =>
    inTransaction(effect).pipe(
      Effect.catchAllDefect((cause) =>
        Effect.zipRight(Effect.exit(sql.unsafe("ROLLBACK")), Effect.fail(new DatabaseError({ cause })))
      ),
      Effect.catchIf(isSqlError, (cause) => Effect.fail(new DatabaseError({ cause })))
    )
}

/** What was removed since it was last looked at would be lost with the end. */
const putBackAtLast = (file: DatabaseFile["Type"]) =>
  Effect.flatMap(file.fault, (fault) =>
    Option.isNone(fault)
      ? Effect.void
      : Effect.zipRight(
          Effect.logError(`${faultText[fault.value]} while it was in use: it is put back as it was`),
          file.putBack(Effect.void)
        )
  ).pipe(
    Effect.catchAll((error) =>
      Effect.logError("the database's file could not be put back").pipe(
        Effect.annotateLogs({ reason: error.message })
      )
    ),
    Effect.annotateLogs({ module: "storage", path: file.path })
  )

/**
 * As `SqlClient.withTransaction`, but for its first statement. It is not SQLite that waits for the lock: a thread that is
 * ended while a native call waits takes the whole process with it (V8 aborts where better-sqlite3 throws the error).
 */
const immediately = (sql: SqlClient.SqlClient, waitMillis: number) => {
  const run = (statement: string) => (connection: SqlConnection.Connection) =>
    connection.executeUnprepared(statement, [], undefined)
  return SqlClient.makeWithTransaction({
    transactionTag: SqlClient.TransactionConnection,
    spanAttributes: [],
    acquireConnection: Effect.flatMap(Scope.make(), (scope) =>
      Effect.map(Scope.extend(sql.reserve, scope), (connection) => [scope, connection] as const)
    ),
    begin: (connection) =>
      run("PRAGMA busy_timeout = 0")(connection).pipe(
        Effect.zipRight(run("BEGIN IMMEDIATE")(connection)),
        Effect.ensuring(Effect.ignore(run(`PRAGMA busy_timeout = ${lockWaitMillis}`)(connection))),
        Effect.retry({
          while: isBusy,
          schedule: Schedule.upTo(Schedule.spaced(lockRetryMillis), waitMillis)
        })
      ),
    savepoint: (connection, id) => run(`SAVEPOINT nested_${id}`)(connection),
    commit: run("COMMIT"),
    // Where it did not begin, or SQLite has rolled it back by itself, there is nothing left to roll back.
    rollback: (connection) => Effect.ignore(run("ROLLBACK")(connection)),
    rollbackSavepoint: (connection, id) => run(`ROLLBACK TO SAVEPOINT nested_${id}`)(connection)
  })
}

class SchemaIsNewer extends Data.TaggedError("SchemaIsNewer")<{ readonly version: number }> {}

const sqliteHeader = "SQLite format 3\0"

/** How long a statement waits for another process's lock, milliseconds. */
const lockWaitMillis = 2000

/** How often a transaction that waits for the lock tries to take it, milliseconds. */
const lockRetryMillis = 20

const checkFile = (path: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory((yield* Path.Path).dirname(path), { recursive: true })
    if (!(yield* fs.exists(path))) return
    const info = yield* fs.stat(path)
    if (info.type !== "File") return yield* new DatabaseUnusable({ path, reason: "is no file" })
    if (info.size === FileSystem.Size(0)) return
    const head = yield* Effect.scoped(
      Effect.flatMap(fs.open(path, { flag: "r" }), (file) => file.readAlloc(sqliteHeader.length))
    )
    const isDatabase = head._tag === "Some" && new TextDecoder().decode(head.value) === sqliteHeader
    if (!isDatabase) {
      return yield* new DatabaseUnusable({ path, reason: "is no SQLite database, and is left as it is" })
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
  // kB: a batch has room, so that none of its pages is written twice.
  yield* pragma("cache_size = -32768")
  // Pages, 64 MB: the pages of the index, which every batch changes, go to the database file less often.
  yield* pragma("wal_autocheckpoint = 4000")
  // After a burst the WAL shrinks back to this, bytes.
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

const isSqlError = (error: unknown): error is SqlError.SqlError => error instanceof SqlError.SqlError

/** Whether another connection held the lock. */
const isBusy = ({ cause }: SqlError.SqlError) =>
  Predicate.hasProperty(cause, "code") &&
  Predicate.isString(cause.code) &&
  cause.code.startsWith("SQLITE_BUSY")
