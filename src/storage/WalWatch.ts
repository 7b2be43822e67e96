import { SqlClient } from "@effect/sql"
import { Clock, Duration, Effect, Schedule } from "effect"
import { fileSize } from "./diskSpace.ts"
import { StorageFaults } from "./StorageFaults.ts"

/** Twice the size that the log should ever reach, bytes: see `wal_autocheckpoint` and `journal_size_limit` in Database.ts. */
export const walLimit = 134_217_728

/**
 * Watches the size of the write-ahead log. It is regularly emptied into the database, except for what another connection still
 * reads: a program that holds a read transaction makes it grow without end. If it has been above `limit` bytes for `patience` and
 * cannot be emptied, a warning is logged once a minute, and /health is degraded.
 */
export const watchWal = (options: {
  readonly databasePath: string
  readonly limit?: number
  readonly patience?: Duration.Duration
}): Effect.Effect<never, never, SqlClient.SqlClient | StorageFaults> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const faults = yield* StorageFaults
    const { databasePath, limit = walLimit, patience = Duration.minutes(1) } = options
    let since: number | undefined
    let warnedAt = Number.NEGATIVE_INFINITY

    const look = Effect.gen(function* () {
      const bytes = yield* fileSize(`${databasePath}-wal`)
      const now = yield* Clock.currentTimeMillis
      if (bytes <= limit) {
        since = undefined
        return
      }
      since ??= now
      if (now - since < Duration.toMillis(patience)) return
      const [result] = yield* sql<{ log: number; checkpointed: number }>`PRAGMA wal_checkpoint(PASSIVE)`
      // The rest of the file is reused from its start.
      if (result === undefined || result.checkpointed >= result.log) return
      yield* faults.tell({
        what: "wal",
        severity: "degraded",
        reason: `the write-ahead log has ${Math.floor(bytes / 1024 ** 2)} MiB, another program keeps reading the database`
      })
      if (now - warnedAt < millisBetweenWarnings) return
      warnedAt = now
      yield* Effect.logWarning(
        "write-ahead log stays large, another program keeps reading the database"
      ).pipe(Effect.annotateLogs({ bytes, limit }))
    }).pipe(Effect.ignore, Effect.annotateLogs({ module: "storage" }))

    return yield* Effect.zipRight(Effect.repeat(look, Schedule.spaced("5 seconds")), Effect.never)
  })

const millisBetweenWarnings = 60_000
