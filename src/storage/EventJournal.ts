import { SqlClient, type Statement } from "@effect/sql"
import { Clock, Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { dateOf, microsOf } from "../domain/Archive.ts"
import { type JournalEntry, JournalEpochBegan, JournalEvent, streamKeyOf } from "../domain/JournalEvent.ts"
import { entryOf, type JournalText } from "../domain/JournalText.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { pagesAfter } from "./pagesAfter.ts"
import { transaction } from "./transaction.ts"

/** An entry as it is stored, with the key of the stream that it is about. */
export interface JournalRow extends JournalText {
  readonly stream: string | null
}

/**
 * The append-only record of what the collector did and saw. It is in the same database as the Snapshots, so that an event and
 * what it describes are committed together.
 *
 * SqlEventJournal of @effect/sql is not used: it has its own table layout, opens a transaction and creates entries one by one,
 * publishes each before the outer transaction has committed, and reads all entries into memory at once.
 */
export class EventJournal extends Context.Tag("collector/EventJournal")<
  EventJournal,
  {
    /**
     * Names this journal: its ids are unique within it. Created with the database, and again when that was restored from a copy.
     */
    readonly id: Effect.Effect<string, DatabaseError>
    /** The current epoch, if the journal was restarted under another name. */
    readonly epoch: Effect.Effect<Option.Option<JournalEpoch>, DatabaseError>
    /** Gives the journal another name: what comes after the entry `after` is not what was archived under the previous name. */
    readonly beginEpoch: (after: number) => Effect.Effect<void, DatabaseError>
    /** Appends events, in the calling fiber's open transaction, otherwise in one of their own. */
    readonly append: (...events: ReadonlyArray<JournalEvent>) => Effect.Effect<void, DatabaseError>
    /** The same for any number of events: JavaScript takes at most about 120,000 arguments. */
    readonly appendAll: (events: ReadonlyArray<JournalEvent>) => Effect.Effect<void, DatabaseError>
    /** The same for events that are about a stream without naming it. */
    readonly appendOf: (
      stream: StreamId | undefined,
      ...events: ReadonlyArray<JournalEvent>
    ) => Effect.Effect<void, DatabaseError>
    /** All entries in order, read in pages. */
    readonly entries: Stream.Stream<JournalEntry, DatabaseError>
    /** The entries with one of these tags, which a partial index holds in this order. */
    readonly entriesOf: (
      tags: ReadonlyArray<JournalEvent["_tag"]>
    ) => Stream.Stream<JournalEntry, DatabaseError>
    /** The highest id that any entry ever had; 0 if there were none. */
    readonly lastId: Effect.Effect<number, DatabaseError>
    /** The entries with ids in (after, through] as they are stored, read in pages. */
    readonly rows: (after: number, through: number) => Stream.Stream<ReadonlyArray<JournalRow>, DatabaseError>
    /**
     * The entries with ids in (after, through] that make up the next part of the journal to archive, at most `maxEntries`: from
     * the first entry to the last one of its date, including what lies between. None if nothing but the archiving of the journal
     * itself has happened.
     */
    readonly nextSegment: (options: {
      readonly after: number
      /** No upper bound if absent. */
      readonly through?: number
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

/** Where a journal continues another one, of which its database was a copy. */
export type JournalEpoch = Pick<typeof JournalEpochBegan.Type, "previous" | "after">

/** Reads the latest epoch of a journal; also works on a read-only connection. */
export const epochOf = (sql: SqlClient.SqlClient) =>
  Effect.flatMap(
    sql<{ payload: string }>`
      SELECT payload FROM journal WHERE tag = 'JournalEpochBegan' ORDER BY id DESC LIMIT 1`,
    ([row]) => (row === undefined ? Effect.succeedNone : Effect.asSome(decodeEpoch(row.payload)))
  )

/** Reads the id up to which entries have left a journal, with a few exceptions; 0 if none has. */
export const prunedThrough = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ through: number }>`
      SELECT json_extract(payload, '$.throughId') AS through FROM journal
      WHERE tag = 'JournalPruned' ORDER BY id DESC LIMIT 1`,
    ([row]) => row?.through ?? 0
  )

/** Decodes a stored entry: see `entryOf`. */
export const decodeEntry = (
  row: JournalText,
  skip?: ReadonlySet<string>
): Effect.Effect<JournalEntry, DatabaseError> => Effect.mapError(entryOf(row, skip), DatabaseError.from)

/** Reads the entries of a journal with ids in (after, through], in pages; also works on a read-only connection. */
export const readRows = (
  sql: SqlClient.SqlClient,
  after: number,
  through: number
): Stream.Stream<ReadonlyArray<JournalRow>, DatabaseError> => pagesWhere(sql, after, sql`id <= ${through}`)

/** Reads the entries of a journal with one of these tags, in pages; also works on a read-only connection. */
export const readRowsOf = (
  sql: SqlClient.SqlClient,
  tags: ReadonlyArray<JournalEvent["_tag"]>
): Stream.Stream<ReadonlyArray<JournalRow>, DatabaseError> => {
  // Spelled exactly as in the partial index, which matches no other spelling.
  return pagesWhere(sql, 0, sql.literal(`tag IN (${tags.map((tag) => `'${tag}'`).join(", ")})`))
}

const pagesWhere = (
  sql: SqlClient.SqlClient,
  after: number,
  condition: Statement.Fragment
): Stream.Stream<ReadonlyArray<JournalRow>, DatabaseError> =>
  pagesAfter({
    start: after,
    limit: entriesPerPage,
    page: (after) =>
      Effect.mapError(
        sql<JournalRow>`
          SELECT id, at, tag, stream, payload FROM journal
          WHERE id > ${after} AND ${condition} ORDER BY id LIMIT ${entriesPerPage}`,
        DatabaseError.from
      ),
    keyOf: ({ id }) => id
  })

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const id = sql<{ journal: string }>`SELECT journal FROM collector`.pipe(
    Effect.map(([collector]) => collector?.journal ?? ""),
    Effect.mapError(DatabaseError.from)
  )

  const appendAll = Effect.fn("journal.append")(
    function* (events: ReadonlyArray<JournalEvent>, stream?: StreamId) {
      const now = (yield* Clock.currentTimeMillis) * 1000
      const given = stream === undefined ? null : streamKey(stream)
      for (const event of events) {
        const at = "at" in event && event.at !== undefined ? Math.round(event.at) : now
        yield* sql`
          INSERT INTO journal (at, tag, stream, payload)
          VALUES (${at}, ${event._tag}, ${streamKeyOf(event) ?? given}, ${encode(event)})`
      }
    },
    transaction(sql),
    Effect.mapError(DatabaseError.from)
  )

  const entries = readRows(sql, 0, Number.MAX_SAFE_INTEGER).pipe(
    Stream.flattenIterables,
    Stream.mapEffect((row) => decodeEntry(row))
  )

  const entriesOf: EventJournal["Type"]["entriesOf"] = (tags) =>
    readRowsOf(sql, tags).pipe(
      Stream.flattenIterables,
      Stream.mapEffect((row) => decodeEntry(row))
    )

  const lastId = sql<{ seq: number }>`SELECT seq FROM sqlite_sequence WHERE name = 'journal'`.pipe(
    Effect.map((rows) => rows[0]?.seq ?? 0),
    Effect.mapError(DatabaseError.from)
  )

  const nextSegment: EventJournal["Type"]["nextSegment"] = ({
    after,
    maxEntries,
    through = Number.MAX_SAFE_INTEGER
  }) =>
    Effect.gen(function* () {
      const [news] = yield* sql`
        SELECT 1 FROM journal WHERE id > ${after} AND id <= ${through}
          AND tag NOT IN ('JournalSegmentPlanned', 'JournalSegmentArchived', 'JournalPruned', 'ProcessAlive')
          AND NOT (stream IS NULL AND tag IN ('ArchiveWritten', 'ArchiveUploaded', 'ArchiveVerified', 'ArchiveFailed'))
        LIMIT 1`
      if (news === undefined) return Option.none()
      const page = yield* sql<{ id: number; at: number }>`
        SELECT id, at FROM journal WHERE id > ${after} AND id <= ${through} ORDER BY id LIMIT ${maxEntries}`
      const first = page[0]
      if (first === undefined) return Option.none()
      // Times need not grow with the ids: where dates alternate, cutting at each change would make a part of each entry.
      const date = dateOf(first.at)
      const { end, start } = microsOf(date)
      const last = page.findLast(({ at }) => at >= start && at < end) ?? first
      return Option.some({ date, firstId: first.id, lastId: last.id })
    }).pipe(Effect.mapError(DatabaseError.from))

  const beginEpoch = (after: number) =>
    Effect.gen(function* () {
      const previous = yield* id
      yield* sql`UPDATE collector SET journal = lower(hex(randomblob(8)))`
      yield* appendAll([JournalEpochBegan.make({ previous, after })])
    }).pipe(transaction(sql), Effect.mapError(DatabaseError.from))

  return EventJournal.of({
    id,
    epoch: Effect.mapError(epochOf(sql), DatabaseError.from),
    beginEpoch,
    append: (...events) => appendAll(events),
    appendAll: (events) => appendAll(events),
    appendOf: (stream, ...events) => appendAll(events, stream),
    entries,
    entriesOf,
    lastId,
    rows: (after, through) => readRows(sql, after, through),
    nextSegment
  })
})

const entriesPerPage = 1000
const encode = Schema.encodeSync(Schema.parseJson(JournalEvent))
/** Encodes the payload of an event. */
export const encodeEvent: (event: JournalEvent) => string = encode
const decodeEpoch = Schema.decode(Schema.parseJson(JournalEpochBegan))
