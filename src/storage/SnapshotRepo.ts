import { SqlClient } from "@effect/sql"
import { Chunk, Context, Data, Effect, Layer, Option, Schema, Stream } from "effect"
import { type ArchivePlan, dateOf, microsOf } from "../domain/Archive.ts"
import type { Heard } from "../domain/JournalEvent.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import type { Appended } from "../domain/StorageAnswers.ts"
import { StreamId } from "../domain/StreamId.ts"
import { type ArchivedIdsLimits, archivedIdsLimits, makeArchivedIds } from "./ArchivedIds.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { yieldToEventLoop } from "./eventLoop.ts"
import { makeAppend } from "./SnapshotRepo/append.ts"
import { changesOf } from "./SnapshotRepo/changesOf.ts"
import { makeRowIds, type RowLimits, type Taken } from "./SnapshotRepo/rowIds.ts"
import { makeStreamNumbers } from "./StreamNumbers.ts"
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

/** A run of rows that can become an archive: see `ArchivePlan`. */
export interface RowRange {
  readonly date: string
  readonly firstId: number
  readonly lastId: number
  /** Receive time of the first row, microseconds. */
  readonly firstTimestamp: number
}

/** Rows of an archive that leave the database in one transaction: those up to an id. */
export interface PurgedRows {
  readonly throughId: number
  readonly rows: number
  /** Whether they are the last rows of the archive. */
  readonly isLast: boolean
}

/** The rows waiting to be archived. */
export class SnapshotRepo extends Context.Tag("collector/SnapshotRepo")<
  SnapshotRepo,
  {
    /**
     * Commits a batch in one transaction, together with what is noted about its time: see `Storage`. If it fails, nothing of the
     * batch is stored.
     */
    readonly append: (batch: SnapshotBatch, heard?: Heard) => Effect.Effect<Appended, DatabaseError>
    /** The streams that have rows. */
    readonly streams: Effect.Effect<ReadonlyArray<StreamId>, DatabaseError>
    /** The highest id of all rows; 0 if there are none. */
    readonly lastId: Effect.Effect<number, DatabaseError>
    /**
     * Returns the first run of rows of a stream, with ids in (after, through], on a single date: from the first such row to the
     * last one before the date changes, at most `maxRows`, and at most `maxBytes` of data unless it is a single row. None if
     * there are no such rows.
     */
    readonly nextRange: (options: {
      readonly stream: StreamId
      readonly after: number
      readonly through: number
      readonly maxRows: number
      readonly maxBytes?: number
    }) => Effect.Effect<Option.Option<RowRange>, DatabaseError>
    /** The rows of an archive in id order, in pages of bounded size: a row larger than that gets a page of its own. */
    readonly rows: (plan: ArchivePlan) => Stream.Stream<ReadonlyArray<ArchiveRow>, DatabaseError>
    /**
     * Deletes the rows of an archive and no others, some at a time, each time in one transaction with what is noted about them
     * and what recognizes them again. Fails and deletes nothing unless there are exactly `expected` rows. Returns how many were
     * deleted. Can be repeated for the remaining rows.
     */
    readonly purge: (
      plan: ArchivePlan,
      expected: number,
      note: (purged: PurgedRows) => Effect.Effect<void, DatabaseError>
    ) => Effect.Effect<number, DatabaseError | RowsDiffer>
    /** Forgets purged rows that need not be recognized any more. */
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

/** The database does not have the rows of an archive that it should have: something else changed it. */
export class RowsDiffer extends Data.TaggedError("RowsDiffer")<{
  readonly expected: number
  readonly found: number
}> {
  override get message() {
    return `the database has ${this.found} rows of the archive where there should be ${this.expected}: none is deleted`
  }
}

/** Rows per page of an archive, and bytes of their data. */
const pageLimits: RowLimits = { rows: 2000, bytes: 8 * 1024 * 1024 }
/** Rows deleted in one transaction, and bytes of their data, which is hashed. */
const purgeLimits: RowLimits = { rows: 5000, bytes: 16 * 1024 * 1024 }

const make = (limits: ArchivedIdsLimits) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const archivedIds = yield* makeArchivedIds(limits)
    const numbersOf = yield* makeStreamNumbers
    const inTransaction = transaction(sql)
    const append = yield* makeAppend(archivedIds, numbersOf)
    /** Used by one call at a time. */
    const rowIds = yield* makeRowIds
    const oneByOne = (yield* Effect.makeSemaphore(1)).withPermits(1)

    // For a comparison of all three columns at once SQLite uses the index only for the first.
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

    // In a transaction of its own: uncommitted rows of another transaction may vanish, and their ids be reused.
    const lastId = sql<{ id: number | null }>`SELECT max(id) AS id FROM snapshots`.pipe(
      Effect.map((rows) => rows[0]?.id ?? 0),
      inTransaction,
      Effect.mapError(DatabaseError.from)
    )

    const nextRange: SnapshotRepo["Type"]["nextRange"] = ({ after, maxBytes, maxRows, stream, through }) =>
      Effect.gen(function* () {
        yield* rowIds.collect(stream, after + 1, through)
        const first = yield* rowIds.firstFrom(0)
        if (Option.isNone(first)) return Option.none()
        const date = dateOf(first.value.timestamp)
        const { end } = microsOf(date)
        const bounds = yield* sql<{ last: number; most: number | null }>`
        SELECT max(id) AS last,
          (SELECT id FROM temp.archive_rows ORDER BY id LIMIT 1 OFFSET ${maxRows - 1}) AS most
        FROM temp.archive_rows`
        const most = bounds[0]?.most ?? bounds[0]?.last ?? first.value.id
        const last = maxBytes === undefined ? most : yield* rowIds.within(maxBytes, most)
        // Receive times do not go back while the collector runs, so the place where the date changes can be bisected. Where they
        // did go back, the range can hold rows of another date: those are not part of the archive, and come later.
        let low = first.value.id
        let high = last + 1
        while (high - low > 1) {
          const middle = Math.floor((low + high) / 2)
          const row = yield* rowIds.firstFrom(middle)
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
          yield* rowIds.collectOf(plan)
          const taken = yield* rowIds.next(after, plan.lastId, { ...pageLimits, rows: most })
          if (taken === undefined || taken.last === null) return [Chunk.empty(), Option.none()] as const
          const found = yield* sql<ArchiveRow>`
          SELECT s.id, s.exchange_sequence_id AS exchangeSequenceId, s.timestamp,
            s.exchange_timestamp AS exchangeTimestamp, CAST(s.data AS BLOB) AS data
          FROM temp.archive_rows AS a CROSS JOIN snapshots AS s ON s.id = a.id
          WHERE a.id > ${after} AND a.id <= ${taken.last} AND s.timestamp >= ${start} AND s.timestamp < ${end}
          ORDER BY a.id`
          // Large rows are examined only as far as the next page can reach.
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

    const purge: SnapshotRepo["Type"]["purge"] = (plan, expected, note) =>
      Effect.gen(function* () {
        const { end, start } = microsOf(plan.date)
        const { dataType, exchange, symbol } = plan.stream
        const [number = 0] = yield* numbersOf([plan.stream])
        // Collected again, so that only rows that still exist are counted.
        yield* rowIds.collect(plan.stream, plan.firstId, plan.lastId)
        rowIds.forget()
        const present = yield* rowIds.countBetween(start, end, expected)
        if (present !== expected) return yield* new RowsDiffer({ expected, found: present })
        let after = plan.firstId - 1
        let purged = 0
        while (after < plan.lastId) {
          const taken: Taken | undefined = yield* rowIds.next(after, plan.lastId, purgeLimits)
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
              note({ throughId: through, rows: changes, isLast: through === plan.lastId })
            ),
            inTransaction
          )
          after = through
          yield* yieldToEventLoop
          // After each part: the automatic checkpoint, after 64 MB, holds up commits for long.
          yield* Effect.ignore(sql`PRAGMA wal_checkpoint(PASSIVE)`)
          yield* yieldToEventLoop
        }
        return purged
      }).pipe(
        oneByOne,
        Effect.mapError((error) => (error instanceof RowsDiffer ? error : DatabaseError.from(error)))
      )

    return SnapshotRepo.of({ append, streams, lastId, nextRange, rows, purge, forget: archivedIds.forget })
  })

const purgeCondition = `id IN (SELECT id FROM temp.archive_rows WHERE id > ? AND id <= ?)
  AND exchange = ? AND symbol = ? AND data_type = ? AND timestamp >= ? AND timestamp < ?`

const decodeStream = Schema.decodeUnknown(StreamId)
