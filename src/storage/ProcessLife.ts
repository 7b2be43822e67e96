import { SqlClient } from "@effect/sql"
import { Effect, Layer, Option, Schema } from "effect"
import { Heard, ProcessStarted, ProcessStopped } from "../domain/JournalEvent.ts"
import type { ProcessId } from "../domain/ProcessId.ts"
import { version } from "../version.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { EventJournal } from "./EventJournal.ts"
import { transaction } from "./transaction.ts"
import { unsettledNow } from "./unsettled.ts"

/**
 * Journals when this process started and when it ended, and its last sign of life: nothing is said of the time after that,
 * however orderly the end. In between there are signs of life in the table `collector`, so that the next process can journal up
 * to when a killed process had committed what it received. A storage thread that replaces a dead one of the same process
 * continues its life.
 */
export const layer = (options: {
  readonly process: ProcessId
  readonly server: string
}): Layer.Layer<never, DatabaseError, SqlClient.SqlClient | EventJournal> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const journal = yield* EventJournal
      const inTransaction = transaction(sql)
      const { name, startedAt } = options.process

      const start = Effect.gen(function* () {
        const last = Option.getOrUndefined(yield* notedLife(sql))
        if (last?.process === name) return
        const previous =
          last === undefined
            ? null
            : { ...last, lastSeen: last.lastSeen ?? 0, unsettled: yield* unsettledNow(sql) }
        yield* journal.append(
          ProcessStarted.make({ at: startedAt, process: name, server: options.server, version, previous })
        )
        // What it has received since is not committed yet.
        yield* sql`UPDATE collector SET process = ${name}, last_seen = ${startedAt}, heard = NULL`
      }).pipe(inTransaction)

      const stop = Effect.gen(function* () {
        const life = Option.getOrUndefined(yield* notedLife(sql))
        yield* journal.append(
          ProcessStopped.make({
            ...life,
            process: name,
            lastSeen: life?.lastSeen ?? 0,
            unsettled: yield* unsettledNow(sql)
          })
        )
        yield* sql`UPDATE collector SET process = NULL`
      }).pipe(transaction(sql, stopWithinMillis))

      yield* Effect.acquireRelease(Effect.mapError(start, DatabaseError.from), () =>
        Effect.catchAll(stop, (error) =>
          Effect.logWarning("could not journal the end of the process").pipe(
            Effect.annotateLogs({ module: "storage", reason: error.message })
          )
        )
      )
    })
  )

/** Notes that the process is alive and has committed everything that it received up to this time, microseconds. */
export const heartbeat = (sql: SqlClient.SqlClient, at: number) =>
  sql`UPDATE collector SET last_seen = max(last_seen, ${at}) WHERE process IS NOT NULL`

/** Notes when each open connection was last heard. */
export const noteHeard = (sql: SqlClient.SqlClient, heard: Heard) =>
  sql`UPDATE collector SET heard = ${encodeHeard(heard)} WHERE process IS NOT NULL`

/** What the process that uses a database noted of its life there. */
export interface NotedLife {
  readonly process: string
  /** The time, microseconds, up to which it has committed what it received; null if it noted none. */
  readonly lastSeen: number | null
  /** When it had last heard each of its connections by then; absent if it noted none. */
  readonly heard?: Heard
}

/** Reads it, also from a database of an older version or on a read-only connection; none if no process uses the database. */
export const notedLife = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    // An older version has fewer columns.
    const [row] = yield* sql<{ process: string | null; last_seen: number | null; heard?: string | null }>`
      SELECT * FROM collector`
    if (row === undefined || row.process === null) return Option.none()
    const heard = row.heard ?? null
    return Option.some<NotedLife>({
      process: row.process,
      lastSeen: row.last_seen,
      ...(heard === null ? {} : { heard: yield* decodeHeard(heard) })
    })
  })

const encodeHeard = Schema.encodeSync(Schema.parseJson(Heard))
const decodeHeard = Schema.decodeUnknown(Schema.parseJson(Heard))

/** How long the final entry waits for another process's lock: it is of no use to a process that is killed while waiting. */
const stopWithinMillis = 500
