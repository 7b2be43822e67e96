import { SqlClient } from "@effect/sql"
import { Effect, Option } from "effect"
import type { ArchivePlan } from "../../domain/Archive.ts"
import { type StreamId, streamKey } from "../../domain/StreamId.ts"
import { yieldToEventLoop } from "../eventLoop.ts"
import { transaction } from "../transaction.ts"

const idsPerChunk = 50_000
/** Rows per statement that only counts or sums. */
const rowsPerCount = 5000

/** Returns the highest id that a row ever had. */
export const highestId = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ seq: number }>`SELECT seq FROM sqlite_sequence WHERE name = 'snapshots'`,
    (rows) => rows[0]?.seq ?? 0
  )

/**
 * Collects the ids of rows to be archived in a table of this connection, `temp.archive_rows`: the rows of a stream are scattered
 * among those of others.
 */
export const makeRowIds = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const inTransaction = transaction(sql)

  /** What the table of ids holds; undefined while it is being filled, or if its contents are uncertain. */
  let collected: Collected | undefined

  /**
   * Puts the ids of a stream's rows in [from, through] into a table of this connection, in id order. The index that prevents
   * duplicates finds them; scanning it in chunks keeps each statement short.
   */
  const collect = (stream: StreamId, from: number, through: number) =>
    Effect.gen(function* () {
      collected = undefined
      // Above this, rows may still arrive; in a transaction of its own, like `SnapshotRepo.lastId`.
      const highest = Math.min(through, yield* inTransaction(highestId(sql)))
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
   * Collects the ids of a plan's rows, unless they are among those collected last: no row is added in between later, since ids
   * only grow, and the table is discarded once a purge has started.
   */
  const collectOf = ({ firstId, lastId, stream }: ArchivePlan) =>
    Effect.suspend(() =>
      collected !== undefined &&
      collected.key === streamKey(stream) &&
      collected.from <= firstId &&
      collected.through >= lastId
        ? Effect.void
        : collect(stream, firstId, lastId)
    )

  /** Returns the first collected row with an id of at least this. */
  const firstFrom = (id: number) =>
    Effect.map(
      sql<{ id: number; timestamp: number }>`
        SELECT a.id, s.timestamp FROM temp.archive_rows AS a JOIN snapshots AS s ON s.id = a.id
        WHERE a.id >= ${id} ORDER BY a.id LIMIT 1`,
      (rows) => Option.fromNullable(rows[0])
    )

  /**
   * Returns how many of the collected rows in (after, through] come next within the limits, at least one, and the id of the last.
   * Their sizes are determined without reading their data.
   */
  const next = (after: number, through: number, limits: RowLimits) =>
    Effect.gen(function* () {
      const sized = sql`
        SELECT a.id, octet_length(s.data) AS bytes
        FROM temp.archive_rows AS a CROSS JOIN snapshots AS s ON s.id = a.id
        WHERE a.id > ${after} AND a.id <= ${through} ORDER BY a.id LIMIT ${limits.rows}`
      const [whole] = yield* sql<Taken>`
        SELECT count(*) AS length, max(id) AS last, coalesce(sum(bytes), 0) AS bytes FROM (${sized})`
      if (whole === undefined || whole.bytes <= limits.bytes) return whole
      const [fitting] = yield* sql<Taken>`
        SELECT max(1, count(*) FILTER (WHERE total <= ${limits.bytes})) AS length,
          coalesce(max(id) FILTER (WHERE total <= ${limits.bytes}), min(id)) AS last,
          coalesce(max(total) FILTER (WHERE total <= ${limits.bytes}), min(total)) AS bytes
        FROM (SELECT id, sum(bytes) OVER (ORDER BY id) AS total FROM (${sized}))`
      return fitting
    })

  /**
   * Returns the id, at most `most`, up to which the collected rows have no more than `bytes` of data. A small database is not
   * examined.
   */
  const within = (bytes: number, most: number) =>
    Effect.gen(function* () {
      const [size] = yield* sql<{ bytes: number }>`
        SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size`
      if (size !== undefined && size.bytes <= bytes) return most
      let left = bytes
      let last = 0
      while (true) {
        const taken: Taken | undefined = yield* next(last, most, { rows: rowsPerCount, bytes: left })
        yield* yieldToEventLoop
        if (taken === undefined || taken.last === null) return last
        if (taken.bytes > left) return last === 0 ? taken.last : last
        last = taken.last
        left -= taken.bytes
      }
    })

  /**
   * Returns how many of the collected rows are on the date. Their times are read only if there are not exactly as many rows as
   * expected.
   */
  const countBetween = (start: number, end: number, expected: number) =>
    Effect.gen(function* () {
      const [collectedRows] = yield* sql<{ n: number }>`SELECT count(*) AS n FROM temp.archive_rows`
      if (collectedRows?.n === expected) return expected
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

  return {
    collect,
    collectOf,
    countBetween,
    firstFrom,
    next,
    within,
    /** Discards the collected ids. */
    forget: () => {
      collected = undefined
    }
  }
})

/** The ids of a stream's rows in [from, through]. */
interface Collected {
  readonly key: string
  readonly from: number
  readonly through: number
}

export interface RowLimits {
  readonly rows: number
  /** Total size of their data. */
  readonly bytes: number
}

/** The next rows: how many there are, and the id of the last one; null if there are none. */
export interface Taken {
  readonly length: number
  readonly last: number | null
  /** Total size of their data. */
  readonly bytes: number
}
