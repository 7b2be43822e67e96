import { SqlClient } from "@effect/sql"
import { Chunk, Clock, Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { dateOf } from "../domain/Archive.ts"
import { type JournalEntry, JournalEvent, streamOf } from "../domain/JournalEvent.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import { transaction } from "./Database.ts"
import { DatabaseError } from "./DatabaseError.ts"

/** An entry as it is stored. */
export interface JournalRow {
  readonly id: number
  /** Microseconds since the epoch. */
  readonly at: number
  readonly tag: string
  /** The key of the stream that it is about. */
  readonly stream: string | null
  /** JSON of a JournalEvent. */
  readonly payload: string
}

/**
 * The append-only record of what the collector did and saw. It lives in the same database as the Snapshots, so that an
 * event and what it tells of are committed together.
 *
 * SqlEventJournal of @effect/sql is not used: it has a table of its own shape, opens a transaction and makes an entry one
 * by one, publishes it before the outer transaction has committed, and reads all entries into memory at once.
 */
export class EventJournal extends Context.Tag("collector/EventJournal")<
  EventJournal,
  {
    /** Names this journal: its ids are unique within it. Made with the database. */
    readonly id: string
    /** Appends events, in the transaction that is open in the calling fiber, else in one of their own. */
    readonly append: (...events: ReadonlyArray<JournalEvent>) => Effect.Effect<void, DatabaseError>
    /** The same for events that are about a stream without naming it. */
    readonly appendOf: (
      stream: StreamId | undefined,
      ...events: ReadonlyArray<JournalEvent>
    ) => Effect.Effect<void, DatabaseError>
    /** All entries in order, read in pages. */
    readonly entries: Stream.Stream<JournalEntry, DatabaseError>
    /** The entries with ids in (after, through] as they are stored, read in pages. */
    readonly rows: (after: number, through: number) => Stream.Stream<ReadonlyArray<JournalRow>, DatabaseError>
    /**
     * The entries after `after` that make up the next part of the journal to archive: those of one date, `maxEntries` at
     * most. None if nothing but the archiving of the journal itself has happened.
     */
    readonly nextSegment: (options: {
      readonly after: number
      readonly maxEntries: number
    }) => Effect.Effect<
      Option.Option<{ readonly date: string; readonly firstId: number; readonly lastId: number }>,
      DatabaseError
    >
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.suspend(() => make)
  )
}

/** An entry as it is stored, decoded. */
export const decodeEntry = (row: JournalRow): Effect.Effect<JournalEntry, DatabaseError> =>
  decode(row.payload).pipe(
    Effect.map((event): JournalEntry => ({ id: row.id, at: row.at, event })),
    Effect.mapError(DatabaseError.from)
  )

/** The entries of a journal with ids in (after, through], in pages; for a connection that may only read, too. */
export const readRows = (
  sql: SqlClient.SqlClient,
  after: number,
  through: number
): Stream.Stream<ReadonlyArray<JournalRow>, DatabaseError> =>
  Stream.paginateChunkEffect(after, (after) =>
    sql<JournalRow>`
      SELECT id, at, tag, stream, payload FROM journal
      WHERE id > ${after} AND id <= ${through} ORDER BY id LIMIT ${entriesPerPage}`.pipe(
      Effect.mapError(DatabaseError.from),
      Effect.map((page) => [
        page.length === 0 ? Chunk.empty() : Chunk.of(page),
        Option.map(Option.fromNullable(page[entriesPerPage - 1]), (last) => last.id)
      ])
    )
  )

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [collector] = yield* Effect.mapError(
    sql<{ journal: string }>`SELECT journal FROM collector`,
    DatabaseError.from
  )

  const appendOf = (stream: StreamId | undefined, ...events: ReadonlyArray<JournalEvent>) =>
    Effect.gen(function* () {
      const now = (yield* Clock.currentTimeMillis) * 1000
      const of = stream === undefined ? null : streamKey(stream)
      for (const event of events) {
        const at = "at" in event && event.at !== undefined ? Math.round(event.at) : now
        yield* sql`
          INSERT INTO journal (at, tag, stream, payload)
          VALUES (${at}, ${event._tag}, ${streamOf(event) ?? of}, ${encode(event)})`
      }
    }).pipe(transaction(sql), Effect.mapError(DatabaseError.from))

  const entries = readRows(sql, 0, Number.MAX_SAFE_INTEGER).pipe(
    Stream.flattenIterables,
    Stream.mapEffect(decodeEntry)
  )

  const nextSegment = (options: { readonly after: number; readonly maxEntries: number }) =>
    Effect.gen(function* () {
      const [news] = yield* sql`
        SELECT 1 FROM journal WHERE id > ${options.after}
          AND tag NOT IN ('JournalSegmentPlanned', 'JournalSegmentArchived', 'JournalPruned', 'ProcessAlive')
          AND NOT (stream IS NULL AND tag IN ('ArchiveWritten', 'ArchiveUploaded', 'ArchiveVerified', 'ArchiveFailed'))
        LIMIT 1`
      if (news === undefined) return Option.none()
      const page = yield* sql<{ id: number; at: number }>`
        SELECT id, at FROM journal WHERE id > ${options.after} ORDER BY id LIMIT ${options.maxEntries}`
      const first = page[0]
      if (first === undefined) return Option.none()
      const date = dateOf(first.at)
      const other = page.findIndex((entry) => dateOf(entry.at) !== date)
      const last = page[(other === -1 ? page.length : other) - 1] ?? first
      return Option.some({ date, firstId: first.id, lastId: last.id })
    }).pipe(Effect.mapError(DatabaseError.from))

  return EventJournal.of({
    id: collector?.journal ?? "",
    append: (...events) => appendOf(undefined, ...events),
    appendOf,
    entries,
    rows: (after, through) => readRows(sql, after, through),
    nextSegment
  })
})

const entriesPerPage = 1000
const encode = Schema.encodeSync(Schema.parseJson(JournalEvent))
const decode = Schema.decodeUnknown(Schema.parseJson(JournalEvent))
