import type { FileSystem } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Option, type Scope, Stream } from "effect"
import { type Heard, ProcessAlive } from "../domain/JournalEvent.ts"
import type { JournalBegin, JournalTail, JournalText } from "../domain/JournalText.ts"
import type { DatabaseUnusable } from "../domain/StartupError.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { encodeEvent, epochOf, prunedThrough } from "./EventJournal.ts"
import { openCounts } from "./MessageCounts.ts"
import { asOfOneMoment, openForReading } from "./openForReading.ts"
import { notedLife } from "./ProcessLife.ts"
import { pagesAfter } from "./pagesAfter.ts"
import { unsettledNow } from "./unsettled.ts"

/** The journal of a database that another process may be writing, as of one moment. */
export interface LiveJournal extends JournalTail<DatabaseError> {
  /** Names the journal. */
  readonly id: string
  readonly begin: JournalBegin
  /**
   * The entries above an id, in order; then what is counted and not in the journal yet, and the last sign of life of the process
   * that uses the database, as entries with the id 0.
   */
  readonly rowsAfter: (after: number) => Stream.Stream<JournalText, DatabaseError>
  /**
   * The time, microseconds, up to which the process that uses the database has committed what it received; 0 if there is none.
   */
  readonly lastSeen: number
  /** When it had last heard each of its connections by then; none if no process uses it, or one of an older version. */
  readonly heard: Heard | undefined
}

/**
 * Reads the entries above `after` of a database for the scope, as it is at this moment. None if the file does not exist or is
 * empty. They are copied in one short transaction, into a file of this connection: a transaction that lasted as long as the
 * reader would keep the collector's WAL from being emptied, and it would grow meanwhile.
 */
export const openLiveJournal = (
  path: string,
  after = 0
): Effect.Effect<Option.Option<LiveJournal>, DatabaseUnusable, Scope.Scope | FileSystem.FileSystem> =>
  // What a commit moves from the counts into the journal is seen only once.
  openForReading(path, (sql) =>
    Effect.zipRight(sql`PRAGMA temp_store = FILE`, asOfOneMoment(sql, copyJournal(sql, after)))
  )

const copyJournal = (sql: SqliteClient.SqliteClient, after: number) =>
  Effect.gen(function* () {
    const tables = yield* sql`SELECT 1 FROM sqlite_master WHERE name = 'collector'`
    if (tables.length === 0) return Option.none()
    const [collector] = yield* sql<{ journal: string }>`SELECT journal FROM collector`
    if (collector === undefined) return Option.none()
    const life = yield* notedLife(sql)
    const [newest] = yield* sql<{ id: number | null }>`SELECT max(id) AS id FROM journal`
    const pruned = yield* prunedThrough(sql)
    const epoch = yield* epochOf(sql)
    const counts = yield* Effect.provideService(openCounts, SqlClient.SqlClient, sql)
    yield* sql`CREATE TEMP TABLE entries AS SELECT id, at, tag, payload FROM journal WHERE id > ${after}`
    yield* sql`CREATE UNIQUE INDEX temp.entries_by_id ON entries (id)`
    const rowsAfter = (above: number) =>
      pagesAfter({
        start: above,
        limit: entriesPerPage,
        page: (above) =>
          Effect.mapError(
            sql<JournalText>`
              SELECT id, at, tag, payload FROM temp.entries WHERE id > ${above} ORDER BY id LIMIT ${entriesPerPage}`,
            DatabaseError.from
          ),
        keyOf: ({ id }) => id
      }).pipe(
        Stream.map((page) => page.map((row) => (row.id <= pruned ? { ...row, isKept: true } : row))),
        Stream.flattenIterables
      )
    const noted = Option.getOrUndefined(life)
    const alive =
      noted === undefined || noted.lastSeen === null
        ? []
        : [ProcessAlive.make({ ...noted, lastSeen: noted.lastSeen, unsettled: yield* unsettledNow(sql) })]
    const uncounted = [
      ...counts.map((event) => ({ at: event.first, event })),
      ...alive.map((event) => ({ at: event.lastSeen, event }))
    ].map(({ at, event }): JournalText => ({ id: 0, at, tag: event._tag, payload: encodeEvent(event) }))
    return Option.some<LiveJournal>({
      id: collector.journal,
      begin: {
        after: Option.match(epoch, { onNone: () => 0, onSome: ({ after }) => after }),
        previous: Option.map(epoch, ({ previous }) => previous)
      },
      lastId: newest?.id ?? 0,
      rowsAfter: (above) => Stream.concat(rowsAfter(above), Stream.fromIterable(uncounted)),
      lastSeen: Option.match(life, { onNone: () => 0, onSome: ({ lastSeen }) => lastSeen ?? 0 }),
      heard: noted?.heard
    })
  })

const entriesPerPage = 1000
