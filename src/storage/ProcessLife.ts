import { SqlClient } from "@effect/sql"
import { Effect, Layer, Schema } from "effect"
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
        const [last] = yield* sql<{ process: string | null; last_seen: number | null; heard: string | null }>`
          SELECT process, last_seen, heard FROM collector`
        if (last?.process === name) return
        const previous =
          last === undefined || last.process === null
            ? null
            : {
                process: last.process,
                lastSeen: last.last_seen ?? 0,
                ...(yield* heardIn(last)),
                unsettled: yield* unsettledNow(sql)
              }
        yield* journal.append(
          ProcessStarted.make({ at: startedAt, process: name, server: options.server, version, previous })
        )
        // What it has received since is not committed yet.
        yield* sql`UPDATE collector SET process = ${name}, last_seen = ${startedAt}, heard = NULL`
      }).pipe(inTransaction)

      const stop = Effect.gen(function* () {
        const [life] = yield* sql<{ last_seen: number; heard: string | null }>`
          SELECT last_seen, heard FROM collector`
        yield* journal.append(
          ProcessStopped.make({
            process: name,
            lastSeen: life?.last_seen ?? 0,
            ...(yield* heardIn(life ?? { heard: null })),
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

/** Returns what was noted, for an event; an empty object if nothing was. */
export const heardIn = ({ heard }: { readonly heard: string | null }) =>
  heard === null ? Effect.succeed({}) : Effect.map(decodeHeard(heard), (heard) => ({ heard }))

const encodeHeard = Schema.encodeSync(Schema.parseJson(Heard))
const decodeHeard = Schema.decodeUnknown(Schema.parseJson(Heard))

/** How long the final entry waits for another process's lock: it is of no use to a process that is killed while waiting. */
const stopWithinMillis = 500
