import { SqlClient } from "@effect/sql"
import { Clock, Effect, Option, Stream } from "effect"
import { JournalPruned, ProcessAlive } from "../domain/JournalEvent.ts"
import { applyToNeeded, neededIds, noneNeeded } from "../domain/NeededEntries.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { EventJournal } from "./EventJournal.ts"
import { yieldToEventLoop } from "./eventLoop.ts"
import { type CountPlace, countsAfter, countsBegin } from "./MessageCounts.ts"
import { notedLife } from "./ProcessLife.ts"
import { transaction } from "./transaction.ts"
import { unsettledNow } from "./unsettled.ts"

/** How long archived entries stay in the database. */
export interface JournalLimits {
  readonly millis: number
  readonly entries: number
}

export const journalLimits: JournalLimits = { millis: 86_400_000, entries: 20_000 }

/**
 * Journals what has been counted since the last call, a little at a time, so that commits come in between. What these add to
 * counts that were already journalled is left to the next call.
 */
export const journalCounts: Effect.Effect<void, DatabaseError, SqlClient.SqlClient | EventJournal> =
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const journal = yield* EventJournal
    let place: CountPlace | undefined = countsBegin
    while (place !== undefined) {
      const after: CountPlace = place
      place = yield* Effect.gen(function* () {
        const { events, last } = yield* countsAfter(after, countsPerTransaction)
        if (last === undefined) return undefined
        yield* journal.appendAll(events)
        yield* sql`
          DELETE FROM message_counts
          WHERE (stream, hour) > (${after.number}, ${after.hour}) AND (stream, hour) <= (${last.number}, ${last.hour})`
        return events.length < countsPerTransaction ? undefined : last
      }).pipe(transaction(sql))
      yield* yieldToEventLoop
    }
  }).pipe(Effect.mapError(DatabaseError.from), Effect.withSpan("journal.counts"))

const countsPerTransaction = 1000

/**
 * Returns the last sign of life, for readers that have only the archived parts of the journal. Must be read before the counts are
 * journalled: what is claimed is then counted, so that `merge` sees whether it has it.
 */
export const lastLife: Effect.Effect<
  Option.Option<typeof ProcessAlive.Type>,
  DatabaseError,
  SqlClient.SqlClient
> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const life = Option.getOrUndefined(yield* notedLife(sql))
  if (life === undefined || life.lastSeen === null) return Option.none()
  const [oldest] = yield* sql<{ at: number }>`SELECT timestamp AS at FROM snapshots ORDER BY id LIMIT 1`
  return Option.some(
    ProcessAlive.make({
      ...life,
      lastSeen: life.lastSeen,
      archivedBefore: Math.min(life.lastSeen, oldest?.at ?? life.lastSeen),
      unsettled: yield* unsettledNow(sql)
    })
  )
}).pipe(Effect.mapError(DatabaseError.from))

/**
 * Returns the id up to which the entries that are in verified objects are old: by their time, or because there are enough newer
 * ones.
 */
export const prunableThrough = (
  archivedThrough: number,
  limits: JournalLimits
): Effect.Effect<
  { readonly through: number; readonly isWorthIt: boolean },
  DatabaseError,
  SqlClient.SqlClient
> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const now = (yield* Clock.currentTimeMillis) * 1000
    const [bounds] = yield* sql<{ newest: number | null; young: number | null }>`
      SELECT max(id) AS newest,
        (SELECT id FROM journal WHERE at >= ${now - limits.millis * 1000} ORDER BY id LIMIT 1) AS young
      FROM journal`
    const newest = bounds?.newest ?? 0
    const old = Math.max((bounds?.young ?? newest + 1) - 1, newest - limits.entries)
    const through = Math.min(archivedThrough, old)
    const [prunable] = yield* sql<{ n: number }>`SELECT count(*) AS n FROM journal WHERE id <= ${through}`
    return { through, isWorthIt: (prunable?.n ?? 0) > limits.entries / 20 }
  }).pipe(Effect.mapError(DatabaseError.from))

/** The ids of the entries that must stay: only a fold over the whole journal knows them. */
export const neededNow: Effect.Effect<ReadonlySet<number>, DatabaseError, EventJournal> = Effect.flatMap(
  EventJournal,
  ({ entries }) => Effect.map(Stream.runFold(entries, noneNeeded, applyToNeeded), neededIds)
)

/** Removes the entries up to an id, except those in `needed`. */
export const pruneJournal = (
  through: number,
  needed: ReadonlySet<number>
): Effect.Effect<void, DatabaseError, SqlClient.SqlClient | EventJournal> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const journal = yield* EventJournal
    yield* sql`CREATE TEMP TABLE IF NOT EXISTS needed_entries (id INTEGER PRIMARY KEY)`
    yield* sql`DELETE FROM temp.needed_entries`
    for (const id of needed) yield* sql`INSERT INTO temp.needed_entries VALUES (${id})`
    while (true) {
      const removed = yield* Effect.gen(function* () {
        const gone = yield* sql<{ id: number }>`
          DELETE FROM journal WHERE id IN (
            SELECT id FROM journal WHERE id <= ${through} AND id NOT IN (SELECT id FROM temp.needed_entries)
            ORDER BY id LIMIT ${entriesPerTransaction})
          RETURNING id`
        if (gone.length > 0) {
          yield* journal.append(JournalPruned.make({ throughId: through, entries: gone.length }))
        }
        return gone.length
      }).pipe(transaction(sql))
      if (removed < entriesPerTransaction) return
      yield* yieldToEventLoop
    }
  }).pipe(Effect.mapError(DatabaseError.from), Effect.withSpan("journal.prune"))

const entriesPerTransaction = 5000
