import { SqlClient } from "@effect/sql"
import { Chunk, Context, Data, Effect, Layer, Option, Schema, Stream } from "effect"
import { type ArchivePlan, dateOf, microsOf } from "../domain/Archive.ts"
import { Discontinuity } from "../domain/ExchangeEvent.ts"
import { ArchivePurged, ArchiveRowsPurged, type Heard } from "../domain/JournalEvent.ts"
import type { Snapshot } from "../domain/Snapshot.ts"
import { type SnapshotBatch, snapshotsOf } from "../domain/SnapshotBatch.ts"
import type { Appended } from "../domain/StorageReport.ts"
import { StreamId, streamKey } from "../domain/StreamId.ts"
import { type ArchivedIdsLimits, archivedIdsLimits, makeArchivedIds } from "./ArchivedIds.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { EventJournal } from "./EventJournal.ts"
import { yieldToEventLoop } from "./eventLoop.ts"
import { exceptionsOf } from "./exceptions.ts"
import { rememberLast } from "./LastMessages.ts"
import { addCounts, countRowsAfter, countsOf } from "./MessageCounts.ts"
import { noteHeard, signOfLife } from "./ProcessLife.ts"
import { findStored, reuseIn, underOwnId } from "./ReusedIds.ts"
import { makeStreamNumbers, type StreamNumber } from "./StreamNumbers.ts"
import { transaction } from "./transaction.ts"

/** A row on its way into an archive. */
export interface ArchiveRow {
  readonly id: number
  readonly exchangeSequenceId: string
  /** Microseconds since the epoch. */
  readonly timestamp: number
  readonly exchangeTimestamp: number | null
  /** UTF-8. */
  readonly data: Uint8Array
}

/** A run of rows that may become an archive: see `ArchivePlan`. */
export interface RowRange {
  readonly date: string
  readonly firstId: number
  readonly lastId: number
  /** Receive time of the first row, microseconds. */
  readonly firstTimestamp: number
}

/** The rows that wait to be archived. */
export class SnapshotRepo extends Context.Tag("collector/SnapshotRepo")<
  SnapshotRepo,
  {
    /**
     * Commits a batch in one transaction, and with it what is noted of its time: see `Storage`. Fails as a whole, and then
     * nothing of it is stored.
     */
    readonly append: (batch: SnapshotBatch, heard?: Heard) => Effect.Effect<Appended, DatabaseError>
    /** The streams that have rows. */
    readonly streams: Effect.Effect<ReadonlyArray<StreamId>, DatabaseError>
    /** The highest id of all rows; 0 if there are none. */
    readonly lastId: Effect.Effect<number, DatabaseError>
    /**
     * The first run of rows of a stream, with ids in (after, through], that lie on one date: from the first such row on to
     * the last one before the date changes, at most `maxRows`, and at most `maxBytes` of data if there are several. None if
     * there are no such rows.
     */
    readonly nextRange: (options: {
      readonly stream: StreamId
      readonly after: number
      readonly through: number
      readonly maxRows: number
      readonly maxBytes?: number
    }) => Effect.Effect<Option.Option<RowRange>, DatabaseError>
    /** The rows of an archive in id order, in pages of bounded bytes: a row that is larger has one of its own. */
    readonly rows: (plan: ArchivePlan) => Stream.Stream<ReadonlyArray<ArchiveRow>, DatabaseError>
    /**
     * Deletes the rows of an archive and no others, some at a time, each time in one transaction with the journal's
     * entry and with what knows them again. Fails and deletes nothing if there are not just as many as `expected`. Returns
     * how many it deleted. Can be repeated with what is left.
     */
    readonly purge: (plan: ArchivePlan, expected: number) => Effect.Effect<number, DatabaseError | RowsDiffer>
    /** Forgets purged rows that need not be known again any more. */
    readonly forget: Effect.Effect<void, DatabaseError>
  }
>() {
  static readonly layerWith = (limits: ArchivedIdsLimits) =>
    Layer.effect(
      this,
      Effect.suspend(() => make(limits))
    )

  static readonly layer = this.layerWith(archivedIdsLimits)
}

/** The database has not the rows of an archive that it should have: somebody else changed it. */
export class RowsDiffer extends Data.TaggedError("RowsDiffer")<{
  readonly expected: number
  readonly found: number
}> {
  override get message() {
    return `the database has ${this.found} rows of the archive where there should be ${this.expected}: none is deleted`
  }
}

/** Rows per statement: 7 values each, well below SQLite's 32,766. */
const rowsPerInsert = 400
/** Rows per page of an archive, and bytes of their data. */
const pageLimits: Limits = { rows: 2000, bytes: 8 * 1024 * 1024 }
const idsPerChunk = 50_000
/** Rows that are deleted in one transaction, and bytes of their data, which is hashed. */
const purgeLimits: Limits = { rows: 5000, bytes: 16 * 1024 * 1024 }
/** Rows per statement that only counts, or adds up. */
const rowsPerCount = 5000

const make = (limits: ArchivedIdsLimits) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const journal = yield* EventJournal
    const archivedIds = yield* makeArchivedIds(limits)
    const numbersOf = yield* makeStreamNumbers
    const inTransaction = transaction(sql)

    const insert = (values: ReadonlyArray<unknown>, rows: number) =>
      Effect.map(sql.unsafe(insertStatement(rows), values).raw, changesOf)

    /** One by one, because one of them is refused. */
    const insertSingly = (values: ReadonlyArray<unknown>, rows: number) =>
      Effect.gen(function* () {
        let inserted = 0
        const rejected: Array<Rejected> = []
        for (let row = 0; row < rows; row++) {
          const one = values.slice(row * 7, row * 7 + 7)
          yield* insert(one, 1).pipe(
            Effect.tap((changes) => Effect.sync(() => (inserted += changes))),
            Effect.catchIf(isRowError, (error) => {
              const { message } = DatabaseError.from(error)
              rejected.push({
                stream: one.slice(0, 3).join(":"),
                exchangeSequenceId: String(one[3]),
                reason: message
              })
              return Effect.void
            })
          )
        }
        return { inserted, rejected }
      })

    const append = (batch: SnapshotBatch, heard?: Heard) =>
      Effect.flatMap(numbersOf(batch.streams), (numbers) => appendIn(batch, numbers, heard)).pipe(
        Effect.flatMap(([appended, whenCommitted]) => Effect.as(whenCommitted, appended)),
        Effect.mapError(DatabaseError.from)
      )

    const appendIn = (batch: SnapshotBatch, numbers: ReadonlyArray<number>, heard: Heard | undefined) =>
      Effect.gen(function* () {
        const archived = yield* archivedIds.among(batch, numbers)
        const before = yield* highestId
        /** The messages that are stored already, by their positions in the batch. */
        const stored = new Set(archived.same)
        const reused = new Set<number>()
        let inserted = 0
        const rejected: Array<Rejected> = []
        /** The highest id before the messages that wait to be inserted. */
        let highest = before
        let waiting: Array<Waiting> = []

        const insertAll = (messages: ReadonlyArray<Waiting>) => {
          if (messages.length === 0) return Effect.succeed({ inserted: 0, rejected: noneRejected })
          const values: Array<unknown> = []
          for (const { message } of messages) {
            const { data, exchangeSequenceId, exchangeTimestamp, stream, timestamp } = message
            const { dataType, exchange, symbol } = stream
            values.push(exchange, symbol, dataType, exchangeSequenceId, timestamp, exchangeTimestamp, data)
          }
          return insert(values, messages.length).pipe(
            Effect.map((changes) => ({ inserted: changes, rejected: noneRejected })),
            Effect.catchIf(isRowError, () => insertSingly(values, messages.length))
          )
        }

        /** Those that have another message's id, under ids of their own; none of those that are stored under it already. */
        const withOwnIds = (messages: ReadonlyArray<Waiting>) =>
          Effect.gen(function* () {
            const others = messages.map(({ message, row }) => ({ message: underOwnId(message), row }))
            const found = yield* findStored(others.map(({ message }) => message))
            return others.filter(({ row }, i) => {
              if (found.has(i)) stored.add(row)
              else reused.add(row)
              return !found.has(i)
            })
          })

        const flush = Effect.gen(function* () {
          const messages = waiting
          waiting = []
          let result = yield* insertAll(messages)
          if (result.inserted < messages.length) {
            const found = yield* findStored(messages.map(({ message }) => message))
            const others = messages.filter((_, i) => found.get(i) === false)
            if (others.length > 0) {
              // Again from the begin, in order.
              yield* sql`DELETE FROM snapshots WHERE id > ${highest}`
              const own = new Map((yield* withOwnIds(others)).map((each) => [each.row, each]))
              const rows = new Set(others.map(({ row }) => row))
              result = yield* insertAll(
                messages.flatMap((each) => (rows.has(each.row) ? (own.get(each.row) ?? []) : each))
              )
            }
            highest = yield* highestId
          } else highest += messages.length
          inserted += result.inserted
          for (const each of result.rejected) rejected.push(each)
        })

        let row = -1
        for (const message of snapshotsOf(batch)) {
          row++
          if (stored.has(row)) continue
          if (archived.reused.has(row))
            for (const own of yield* withOwnIds([{ message, row }])) waiting.push(own)
          else waiting.push({ message, row })
          if (waiting.length === rowsPerInsert) yield* flush
        }
        if (waiting.length > 0) yield* flush
        const isWhole = inserted === batch.length - stored.size
        const counts = isWhole ? countsOf(batch, numbers, stored) : yield* countRowsAfter(before)
        const told = yield* tellOfReuse(batch, numbers, reused)
        yield* addCounts(counts)
        yield* rememberLast(batch, numbers)
        if (heard !== undefined) yield* noteHeard(sql, heard)
        if (counts.length > 0) {
          yield* signOfLife(sql, counts.reduce((latest, { last }) => Math.max(latest, last), 0) + 1)
        }
        const rejectedOf = new Map<string, number>()
        for (const { stream } of rejected) rejectedOf.set(stream, (rejectedOf.get(stream) ?? 0) + 1)
        if (rejected.length > 0) {
          yield* Effect.logWarning("the database refused messages, they are skipped").pipe(
            Effect.annotateLogs({ module: "storage", messages: rejected.length, ...rejected[0] })
          )
        }
        const appended: Appended = {
          inserted,
          duplicates: batch.length - inserted - rejected.length,
          rejected: rejected.length,
          ...(inserted === batch.length
            ? {}
            : { exceptions: exceptionsOf(batch, numbers, counts, rejectedOf) })
        }
        return [appended, told] as const
      }).pipe(Effect.provideService(SqlClient.SqlClient, sql), inTransaction)

    /** The streams that had ids again in their latest batches. */
    let reusing: ReadonlySet<StreamNumber> = new Set()

    /**
     * Journals where ids of a stream begin to be used again, once for an exchange that counts anew. Returns what to note when
     * that is committed.
     */
    const tellOfReuse = (
      batch: SnapshotBatch,
      numbers: ReadonlyArray<StreamNumber>,
      reused: ReadonlySet<number>
    ) =>
      Effect.gen(function* () {
        if (reused.size === 0 && reusing.size === 0) return Effect.void
        const now = new Set(reusing)
        for (const { first, position } of reuseIn(batch, reused)) {
          const number = numbers[position] ?? 0
          if (first === undefined) now.delete(number)
          else now.add(number)
          const stream = batch.streams[position]
          if (first === undefined || stream === undefined || reusing.has(number)) continue
          const { dataType, exchange, symbol } = stream
          const [last] = yield* sql<{ at: number | null }>`
            SELECT last_at AS at FROM streams WHERE number = ${number}`
          yield* journal.append(
            Discontinuity.make({
              at: first.at,
              stream: { exchange, symbol, dataType },
              reason: "id reused",
              after: first.after ?? last?.at ?? null,
              before: first.at
            })
          )
          yield* Effect.logWarning(
            "an exchange gave a message an id that another one had, it is kept under an id of its own"
          ).pipe(Effect.annotateLogs({ module: "storage", stream: streamKey(stream) }))
        }
        return Effect.sync(() => {
          reusing = now
        })
      })

    const highestId = Effect.map(
      sql<{ seq: number }>`SELECT seq FROM sqlite_sequence WHERE name = 'snapshots'`,
      (rows) => rows[0]?.seq ?? 0
    )

    // Of a comparison of all three columns at once SQLite serves only the first by the index.
    const streams = sql<{ exchange: string; symbol: string; data_type: string }>`
    WITH RECURSIVE found (exchange, symbol, data_type) AS (
      SELECT * FROM (SELECT exchange, symbol, data_type FROM snapshots ORDER BY 1, 2, 3 LIMIT 1)
      UNION ALL
      SELECT next.exchange, next.symbol, next.data_type
      FROM found, snapshots AS next
      WHERE next.rowid = coalesce(
        (SELECT rowid FROM snapshots
         WHERE exchange = found.exchange AND symbol = found.symbol AND data_type > found.data_type
         ORDER BY data_type LIMIT 1),
        (SELECT rowid FROM snapshots
         WHERE exchange = found.exchange AND symbol > found.symbol
         ORDER BY symbol, data_type LIMIT 1),
        (SELECT rowid FROM snapshots
         WHERE exchange > found.exchange
         ORDER BY exchange, symbol, data_type LIMIT 1)
      )
    )
    SELECT * FROM found`.pipe(
      Effect.flatMap(
        Effect.forEach((row) =>
          decodeStream({ exchange: row.exchange, symbol: row.symbol, dataType: row.data_type })
        )
      ),
      Effect.mapError(DatabaseError.from)
    )

    // In a transaction of its own: another's rows that are not committed yet may vanish, and their ids be used again.
    const lastId = sql<{ id: number | null }>`SELECT max(id) AS id FROM snapshots`.pipe(
      Effect.map((rows) => rows[0]?.id ?? 0),
      inTransaction,
      Effect.mapError(DatabaseError.from)
    )

    /** Who uses the table of ids: one call at a time. */
    const oneByOne = (yield* Effect.makeSemaphore(1)).withPermits(1)

    /** What the table of ids holds; none while it is being filled, or if that is not certain. */
    let collected: Collected | undefined

    /**
     * Puts the ids of a stream's rows in [from, through] into a table of this connection, in id order. The index that keeps
     * out duplicates finds them; going through it in chunks keeps each statement short.
     */
    const collectIds = (stream: StreamId, from: number, through: number) =>
      Effect.gen(function* () {
        collected = undefined
        // Above this rows may still come; in a transaction of its own, like `lastId`.
        const highest = Math.min(through, yield* inTransaction(highestId))
        yield* sql`CREATE TEMP TABLE IF NOT EXISTS archive_rows (id INTEGER PRIMARY KEY)`
        yield* sql`DELETE FROM temp.archive_rows`
        const { dataType, exchange, symbol } = stream
        let after = ""
        let above = ">="
        while (true) {
          const bounds: ReadonlyArray<{ last: string }> = yield* sql.unsafe<{ last: string }>(
            `SELECT exchange_sequence_id AS last FROM snapshots
             WHERE exchange = ? AND symbol = ? AND data_type = ? AND exchange_sequence_id ${above} ?
             ORDER BY exchange_sequence_id LIMIT 1 OFFSET ${idsPerChunk - 1}`,
            [exchange, symbol, dataType, after]
          )
          const last = bounds[0]?.last
          yield* sql.unsafe(
            `INSERT INTO temp.archive_rows
           SELECT id FROM snapshots INDEXED BY sqlite_autoindex_snapshots_1
           WHERE exchange = ? AND symbol = ? AND data_type = ? AND id BETWEEN ? AND ?
             AND exchange_sequence_id ${above} ? ${last === undefined ? "" : "AND exchange_sequence_id <= ?"}`,
            [exchange, symbol, dataType, from, through, after, ...(last === undefined ? [] : [last])]
          )
          yield* yieldToEventLoop
          if (last === undefined) break
          after = last
          above = ">"
        }
        collected = { key: streamKey(stream), from, through: highest }
      })

    /**
     * Collects the ids of a plan's rows, unless they are among those that were collected last: no row comes in between
     * later, as ids only grow, and the table is not relied on any more once a purge has begun.
     */
    const collectIdsOf = ({ firstId, lastId, stream }: ArchivePlan) =>
      Effect.suspend(() =>
        collected !== undefined &&
        collected.key === streamKey(stream) &&
        collected.from <= firstId &&
        collected.through >= lastId
          ? Effect.void
          : collectIds(stream, firstId, lastId)
      )

    /** The first collected row with an id of at least this. */
    const rowFrom = (id: number) =>
      Effect.map(
        sql<{ id: number; timestamp: number }>`
        SELECT a.id, s.timestamp FROM temp.archive_rows AS a JOIN snapshots AS s ON s.id = a.id
        WHERE a.id >= ${id} ORDER BY a.id LIMIT 1`,
        (rows) => Option.fromNullable(rows[0])
      )

    /**
     * Of the collected rows in (after, through] the next that fit into the limits, one at least, by their number and the id
     * of the last. For their sizes no data are read.
     */
    const nextRows = (after: number, through: number, limits: Limits) =>
      Effect.gen(function* () {
        const sized = sql`
        SELECT a.id, octet_length(s.data) AS bytes
        FROM temp.archive_rows AS a CROSS JOIN snapshots AS s ON s.id = a.id
        WHERE a.id > ${after} AND a.id <= ${through} ORDER BY a.id LIMIT ${limits.rows}`
        const [all] = yield* sql<Taken>`
        SELECT count(*) AS length, max(id) AS last, coalesce(sum(bytes), 0) AS bytes FROM (${sized})`
        if (all === undefined || all.bytes <= limits.bytes) return all
        const [fitting] = yield* sql<Taken>`
        SELECT max(1, count(*) FILTER (WHERE total <= ${limits.bytes})) AS length,
          coalesce(max(id) FILTER (WHERE total <= ${limits.bytes}), min(id)) AS last,
          coalesce(max(total) FILTER (WHERE total <= ${limits.bytes}), min(total)) AS bytes
        FROM (SELECT id, sum(bytes) OVER (ORDER BY id) AS total FROM (${sized}))`
        return fitting
      })

    /** Up to which id, `most` at most, the collected rows have no more than so many bytes. A small database is not looked at. */
    const within = (bytes: number, most: number) =>
      Effect.gen(function* () {
        const [size] = yield* sql<{ bytes: number }>`
        SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size`
        if (size !== undefined && size.bytes <= bytes) return most
        let left = bytes
        let last = 0
        while (true) {
          const taken: Taken | undefined = yield* nextRows(last, most, { rows: rowsPerCount, bytes: left })
          yield* yieldToEventLoop
          if (taken === undefined || taken.last === null) return last
          if (taken.bytes > left) return last === 0 ? taken.last : last
          last = taken.last
          left -= taken.bytes
        }
      })

    const nextRange: SnapshotRepo["Type"]["nextRange"] = ({ after, maxBytes, maxRows, stream, through }) =>
      Effect.gen(function* () {
        yield* collectIds(stream, after + 1, through)
        const first = yield* rowFrom(0)
        if (Option.isNone(first)) return Option.none()
        const date = dateOf(first.value.timestamp)
        const { end } = microsOf(date)
        const bounds = yield* sql<{ last: number; most: number | null }>`
        SELECT max(id) AS last,
          (SELECT id FROM temp.archive_rows ORDER BY id LIMIT 1 OFFSET ${maxRows - 1}) AS most
        FROM temp.archive_rows`
        const most = bounds[0]?.most ?? bounds[0]?.last ?? first.value.id
        const last = maxBytes === undefined ? most : yield* within(maxBytes, most)
        // Receive times do not go back while the collector runs, so the place where the date changes can be bisected. Where
        // they did go back the range may hold rows of another date: those are no part of the archive, and come later.
        let low = first.value.id
        let high = last + 1
        while (high - low > 1) {
          const middle = Math.floor((low + high) / 2)
          const row = yield* rowFrom(middle)
          if (Option.isNone(row) || row.value.id > last || row.value.timestamp >= end) high = middle
          else low = row.value.id
        }
        return Option.some({
          date,
          firstId: first.value.id,
          lastId: low,
          firstTimestamp: first.value.timestamp
        })
      }).pipe(oneByOne, Effect.mapError(DatabaseError.from))

    const rows: SnapshotRepo["Type"]["rows"] = (plan) => {
      const { end, start } = microsOf(plan.date)
      const page = ({ after, most }: { readonly after: number; readonly most: number }) =>
        Effect.gen(function* () {
          yield* collectIdsOf(plan)
          const taken = yield* nextRows(after, plan.lastId, { ...pageLimits, rows: most })
          if (taken === undefined || taken.last === null) return [Chunk.empty(), Option.none()] as const
          const found = yield* sql<ArchiveRow>`
          SELECT s.id, s.exchange_sequence_id AS exchangeSequenceId, s.timestamp,
            s.exchange_timestamp AS exchangeTimestamp, CAST(s.data AS BLOB) AS data
          FROM temp.archive_rows AS a CROSS JOIN snapshots AS s ON s.id = a.id
          WHERE a.id > ${after} AND a.id <= ${taken.last} AND s.timestamp >= ${start} AND s.timestamp < ${end}
          ORDER BY a.id`
          // Large rows are looked at as far as the next page may reach.
          const next = { after: taken.last, most: Math.min(pageLimits.rows, taken.length * 2) }
          return [Chunk.of(found), Option.some(next)] as const
        }).pipe(
          oneByOne,
          Effect.tap(() => yieldToEventLoop)
        )
      return Stream.paginateChunkEffect({ after: plan.firstId - 1, most: pageLimits.rows }, page).pipe(
        Stream.filter((found) => found.length > 0),
        Stream.mapError(DatabaseError.from)
      )
    }

    const purge: SnapshotRepo["Type"]["purge"] = (plan, expected) =>
      Effect.gen(function* () {
        const { end, start } = microsOf(plan.date)
        const { dataType, exchange, symbol } = plan.stream
        const [number = 0] = yield* numbersOf([plan.stream])
        // Anew, so that only rows that are still there are counted.
        yield* collectIds(plan.stream, plan.firstId, plan.lastId)
        collected = undefined
        const present = yield* countCollected(start, end, expected)
        if (present !== expected) return yield* new RowsDiffer({ expected, found: present })
        let after = plan.firstId - 1
        let purged = 0
        while (after < plan.lastId) {
          const taken: Taken | undefined = yield* nextRows(after, plan.lastId, purgeLimits)
          const through = taken?.last ?? plan.lastId
          const values = [after, through, exchange, symbol, dataType, start, end]
          purged += yield* archivedIds.remember(number, exchange, purgeCondition, values).pipe(
            Effect.zipRight(
              sql.unsafe(`DELETE FROM snapshots NOT INDEXED WHERE ${purgeCondition}`, values).raw
            ),
            Effect.map(changesOf),
            Effect.tap((changes) =>
              through < plan.lastId || purged + changes === expected
                ? Effect.void
                : new RowsDiffer({ expected, found: purged + changes })
            ),
            Effect.tap((changes) =>
              journal.appendOf(
                plan.stream,
                ArchiveRowsPurged.make({ archiveId: plan.archiveId, throughId: through, rows: changes }),
                ...(through === plan.lastId ? [ArchivePurged.make({ archiveId: plan.archiveId })] : [])
              )
            ),
            inTransaction
          )
          after = through
          yield* yieldToEventLoop
          // Each part by itself: the checkpoint that comes of its own accord, after 64 MB, holds up commits for long.
          yield* Effect.ignore(sql`PRAGMA wal_checkpoint(PASSIVE)`)
          yield* yieldToEventLoop
        }
        return purged
      }).pipe(
        oneByOne,
        Effect.mapError((error) => (error instanceof RowsDiffer ? error : DatabaseError.from(error)))
      )

    /** How many of the collected rows lie on the date. Their times are only looked at if there are not just as many as expected. */
    const countCollected = (start: number, end: number, expected: number) =>
      Effect.gen(function* () {
        const [all] = yield* sql<{ n: number }>`SELECT count(*) AS n FROM temp.archive_rows`
        if (all?.n === expected) return expected
        let found = 0
        let after = 0
        while (true) {
          const page: ReadonlyArray<{ last: number | null; n: number }> = yield* sql<{
            last: number | null
            n: number
          }>`
          SELECT max(a.id) AS last, coalesce(sum(s.timestamp >= ${start} AND s.timestamp < ${end}), 0) AS n
          FROM (SELECT id FROM temp.archive_rows WHERE id > ${after} ORDER BY id LIMIT ${rowsPerCount}) AS a
          CROSS JOIN snapshots AS s ON s.id = a.id`
          found += page[0]?.n ?? 0
          const last = page[0]?.last ?? null
          if (last === null) return found
          after = last
          yield* yieldToEventLoop
        }
      })

    return SnapshotRepo.of({ append, streams, lastId, nextRange, rows, purge, forget: archivedIds.forget })
  })

const purgeCondition = `id IN (SELECT id FROM temp.archive_rows WHERE id > ? AND id <= ?)
  AND exchange = ? AND symbol = ? AND data_type = ? AND timestamp >= ? AND timestamp < ?`

/** The ids of the rows that a stream has in [from, through]. */
interface Collected {
  readonly key: string
  readonly from: number
  readonly through: number
}

interface Limits {
  readonly rows: number
  /** Of their data. */
  readonly bytes: number
}

/** The next rows: how many they are, and the last one's id; null if there are none. */
interface Taken {
  readonly length: number
  readonly last: number | null
  /** Of their data. */
  readonly bytes: number
}

/** A message of a batch that is to be inserted, and its position there. */
interface Waiting {
  readonly row: number
  readonly message: Snapshot
}

/** A message that the database refused by itself. */
interface Rejected {
  /** Key of its stream. */
  readonly stream: string
  readonly exchangeSequenceId: string
  readonly reason: string
}

const noneRejected: ReadonlyArray<Rejected> = []

const decodeStream = Schema.decodeUnknown(StreamId)

const insertStatement = (rows: number): string => (rows === rowsPerInsert ? wholeInsert : insertOf(rows))

const insertOf = (rows: number): string =>
  `INSERT INTO snapshots
   (exchange, symbol, data_type, exchange_sequence_id, timestamp, exchange_timestamp, data)
   VALUES ${Array.from({ length: rows }, () => "(?, ?, ?, ?, ?, ?, CAST(? AS TEXT))").join(", ")}
   ON CONFLICT DO NOTHING`

const wholeInsert = insertOf(rowsPerInsert)

const RunResult = Schema.Struct({ changes: Schema.Int })
const isRunResult = Schema.is(RunResult)
const changesOf = (result: unknown): number => (isRunResult(result) ? result.changes : 0)

/** Errors of a row by itself; all others are of the transaction. */
const isRowError = (cause: unknown): boolean =>
  /^SQLITE_(CONSTRAINT|TOOBIG|MISMATCH)/.test(DatabaseError.from(cause).code)
