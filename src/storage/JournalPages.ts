import type { FileSystem } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Option, type Scope } from "effect"
import type { Heard, JournalEntry } from "../domain/JournalEvent.ts"
import type { JournalText } from "../domain/JournalText.ts"
import type { DatabaseUnusable } from "../domain/StartupError.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { epochOf, type JournalEpoch } from "./EventJournal.ts"
import { openCounts } from "./MessageCounts.ts"
import { asOfOneMoment, openForReading } from "./openForReading.ts"
import { notedLife } from "./ProcessLife.ts"

/** The journal of a database that another process may be writing, one page at a time: each page is as of one moment. */
export interface JournalPages {
  /** Names the journal. */
  readonly id: string
  /** Where it continues another one, if it does; scans all entries. */
  readonly epoch: Effect.Effect<Option.Option<JournalEpoch>, DatabaseError>
  readonly lastId: number
  /** The entries up to this one have left the database, with a few exceptions. */
  readonly prunedThrough: Effect.Effect<number, DatabaseError>
  /** The stored fold over the entries that have left, as `CheckpointText`. */
  readonly checkpoint: Effect.Effect<Option.Option<string>, DatabaseError>
  /** An entry, if it exists. */
  readonly entry: (id: number) => Effect.Effect<Option.Option<JournalText>, DatabaseError>
  /** The next entries above an id, in order. */
  readonly after: (id: number) => Effect.Effect<JournalPage, DatabaseError>
}

export interface JournalPage {
  readonly rows: ReadonlyArray<JournalText>
  /** Present if nothing follows this page: the state of the running process at that moment. */
  readonly end: Option.Option<JournalEnd>
}

export interface JournalEnd {
  /** What is counted and not in the journal yet, as entries with the id 0. */
  readonly counted: ReadonlyArray<JournalEntry>
  /**
   * The time, microseconds, up to which the process that uses the database has committed what it received; 0 if there is none.
   */
  readonly lastSeen: number
  /** When it had last heard each of its connections by then, if known. */
  readonly heard: Heard | undefined
}

/**
 * Opens the database for the scope. None if the file does not exist or is empty. No transaction lasts longer than reading a page.
 */
export const openJournalPages = (
  path: string
): Effect.Effect<Option.Option<JournalPages>, DatabaseUnusable, Scope.Scope | FileSystem.FileSystem> =>
  openForReading(path, (sql) => asOfOneMoment(sql, look(sql)))

const look = (sql: SqliteClient.SqliteClient) =>
  Effect.gen(function* () {
    const tables = yield* sql<{
      name: string
    }>`SELECT name FROM sqlite_master WHERE name IN ('collector', 'checkpoint')`
    if (!tables.some(({ name }) => name === "collector")) return Option.none()
    const hasCheckpoint = tables.some(({ name }) => name === "checkpoint")
    const [collector] = yield* sql<{ journal: string }>`SELECT journal FROM collector`
    if (collector === undefined) return Option.none()
    const [last] = yield* sql<{ id: number | null }>`SELECT max(id) AS id FROM journal`
    const checkpoint = hasCheckpoint
      ? Effect.map(sql<{ state: string }>`SELECT state FROM checkpoint`, ([row]) =>
          Option.map(Option.fromNullable(row), ({ state }) => state)
        )
      : Effect.succeedNone
    return Option.some<JournalPages>({
      id: collector.journal,
      epoch: Effect.mapError(epochOf(sql), DatabaseError.from),
      lastId: last?.id ?? 0,
      prunedThrough: Effect.mapError(prunedThrough(sql), DatabaseError.from),
      checkpoint: Effect.mapError(checkpoint, DatabaseError.from),
      entry: (id) =>
        sql<JournalText>`SELECT id, at, tag, payload FROM journal WHERE id = ${id}`.pipe(
          Effect.map(([row]) => Option.fromNullable(row)),
          Effect.mapError(DatabaseError.from)
        ),
      after: (id) => Effect.mapError(asOfOneMoment(sql, pageAfter(sql, id)), DatabaseError.from)
    })
  })

const pageAfter = (sql: SqliteClient.SqliteClient, id: number) =>
  Effect.gen(function* () {
    const rows = yield* sql<JournalText>`
      SELECT id, at, tag, payload FROM journal WHERE id > ${id} ORDER BY id LIMIT ${entriesPerPage}`
    const isWhole = (rows.at(-1)?.id ?? id) === id + rows.length
    const pruned = isWhole ? 0 : yield* prunedThrough(sql)
    return {
      rows: isWhole ? rows : rows.map((row) => (row.id <= pruned ? { ...row, isKept: true } : row)),
      end: rows.length < entriesPerPage ? Option.some(yield* endOf(sql)) : Option.none()
    } satisfies JournalPage
  })

/** What a commit moves from the counts into the journal is seen only once. */
const endOf = (sql: SqliteClient.SqliteClient) =>
  Effect.gen(function* () {
    const life = yield* notedLife(sql)
    const counts = yield* Effect.provideService(openCounts, SqlClient.SqlClient, sql)
    return {
      counted: counts.map((event): JournalEntry => ({ id: 0, at: event.first, event })),
      lastSeen: Option.match(life, { onNone: () => 0, onSome: ({ lastSeen }) => lastSeen ?? 0 }),
      heard: Option.getOrUndefined(life)?.heard
    } satisfies JournalEnd
  })

/** Searches from the end for the newest of these entries, and only if the first entry is gone. */
const prunedThrough = (sql: SqliteClient.SqliteClient) =>
  Effect.map(
    sql<{ pruned: number }>`
      SELECT json_extract(payload, '$.throughId') AS pruned FROM journal
      WHERE tag = 'JournalPruned' AND (SELECT min(id) FROM journal) > 1
      ORDER BY id DESC LIMIT 1`,
    ([row]) => row?.pruned ?? 0
  )

const entriesPerPage = 1000
