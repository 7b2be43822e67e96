import { SqlClient } from "@effect/sql"
import { Clock, Effect, Option, Schema, Stream } from "effect"
import { withoutBearing } from "../domain/Coverage.ts"
import {
  advanced,
  CheckpointText,
  type CoverageCheckpoint,
  emptyCheckpoint,
  entryText,
  inNewEpoch,
  shortened
} from "../domain/CoverageCheckpoint.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { decodeEntry, EventJournal, prunedThrough } from "./EventJournal.ts"
import { yieldToEventLoop } from "./eventLoop.ts"

/** The last entry of the archive's checkpoint, and since when, microseconds, the archive has had it; zeros if it has none. */
export const archivedCheckpoint = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ lastId: number; at: number }>`
    SELECT archived_id AS lastId, archived_at AS at FROM checkpoint`
  return row ?? { lastId: 0, at: 0 }
}).pipe(Effect.mapError(DatabaseError.from))

/** Notes that the archive has the checkpoint. */
export const noteArchived = ({ coverage }: CoverageCheckpoint) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const now = (yield* Clock.currentTimeMillis) * 1000
    yield* sql`UPDATE checkpoint SET archived_id = ${coverage.lastId}, archived_at = ${now}`
  }).pipe(Effect.mapError(DatabaseError.from))

/**
 * Advances the checkpoint that the database keeps to the entry `through`; to be called before entries are pruned. Takes about 10
 * microseconds an entry, a page at a time. Without a usable checkpoint a new one is made from what the database has: everything
 * before that was pruned is in doubt.
 */
export const advanceCheckpoint = (
  through: number
): Effect.Effect<KeptCheckpoint, DatabaseError, SqlClient.SqlClient | EventJournal> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const journal = yield* EventJournal
    const id = yield* journal.id
    const epoch = yield* journal.epoch
    const pruned = yield* prunedThrough(sql)

    const go = (from: CoverageCheckpoint, after: number, through: number) =>
      Stream.runFoldEffect(journal.rows(after, through), from, (checkpoint, rows) =>
        Effect.gen(function* () {
          const entries = yield* Effect.forEach(rows, (row) =>
            decodeEntry(row.id <= pruned ? { ...row, isKept: true } : row, withoutBearing)
          )
          yield* yieldToEventLoop
          const last = rows.at(-1)
          return last === undefined ? checkpoint : advanced(checkpoint, entries, entryText(last))
        })
      )

    const kept = yield* keptCheckpoint
    const begin = Option.filter(kept, ({ journal }) => journal === id)
    const before = Option.filter(kept, ({ coverage, journal }) =>
      Option.exists(epoch, ({ after, previous }) => previous === journal && coverage.lastId <= after)
    )
    const reached = yield* Option.match(begin, {
      onSome: (checkpoint) => go(checkpoint, checkpoint.coverage.lastId, through),
      onNone: () =>
        Option.match(epoch, {
          onNone: () => go(emptyCheckpoint(id), 0, through),
          onSome: ({ after, previous }) =>
            Effect.gen(function* () {
              const from = Option.getOrElse(before, () => emptyCheckpoint(previous))
              const copied = yield* go(from, from.coverage.lastId, after)
              return yield* go(inNewEpoch(copied, id, after), after, through)
            })
        })
    })
    const checkpoint = shortened(reached)
    const text = yield* encode(checkpoint)
    yield* sql`
      INSERT INTO checkpoint (only, state, archived_id, archived_at) VALUES (1, ${text}, 0, 0)
      ON CONFLICT (only) DO UPDATE SET state = excluded.state`
    return { checkpoint, text }
  }).pipe(Effect.mapError(DatabaseError.from), Effect.withSpan("journal.checkpoint"))

/** A checkpoint, and its stored form: JSON. */
export interface KeptCheckpoint {
  readonly checkpoint: CoverageCheckpoint
  readonly text: string
}

/** None if there is none that this version can continue from. */
const keptCheckpoint = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ state: string }>`SELECT state FROM checkpoint`
  return row === undefined ? Option.none() : yield* Effect.option(decode(row.state))
})

const decode = Schema.decode(CheckpointText)
const encode = Schema.encode(CheckpointText)
