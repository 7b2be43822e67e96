import { SqlClient, type SqlConnection, SqlError } from "@effect/sql"
import { Effect, Schedule, Scope } from "effect"
import { codeOf } from "../domain/codeOf.ts"
import { DatabaseError } from "./DatabaseError.ts"

/** How long a statement waits for another process's lock, milliseconds. */
export const lockWaitMillis = 2000

/** How often a transaction that waits for the lock tries to take it, milliseconds. */
const lockRetryMillis = 20

/**
 * Runs an effect in one transaction, all of it or nothing. Waits for a transaction that is under way. A failed commit is an error
 * too, and leaves no open transaction behind. Within a transaction it becomes part of that one.
 *
 * It takes the write lock before anything else: a transaction that read first and then found that another process had written
 * meanwhile could only fail, with SQLITE_BUSY_SNAPSHOT, however long it waited. It waits at most `waitMillis` for that lock, and
 * leaves the thread free meanwhile.
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

/**
 * Like `SqlClient.withTransaction`, except for its first statement. The waiting for the lock is not left to SQLite: a thread that
 * is ended while a native call waits takes the whole process with it (V8 aborts where better-sqlite3 throws the error).
 */
const immediately = (sql: SqlClient.SqlClient, waitMillis: number) => {
  // An error thrown before a statement has started, for example by a closed database, would keep the connection for ever.
  const run = (statement: string) => (connection: SqlConnection.Connection) =>
    Effect.suspend(() => connection.executeUnprepared(statement, [], undefined)).pipe(
      Effect.catchAllDefect((cause) =>
        Effect.fail(new SqlError.SqlError({ cause, message: `${statement} failed` }))
      )
    )
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
    // If it never began, or SQLite has already rolled it back, there is nothing left to roll back.
    rollback: (connection) => Effect.ignore(run("ROLLBACK")(connection)),
    rollbackSavepoint: (connection, id) => run(`ROLLBACK TO SAVEPOINT nested_${id}`)(connection)
  })
}

const isSqlError = (error: unknown): error is SqlError.SqlError => error instanceof SqlError.SqlError

/** Whether another connection held the lock. */
const isBusy = ({ cause }: SqlError.SqlError) => codeOf(cause)?.startsWith("SQLITE_BUSY") === true
