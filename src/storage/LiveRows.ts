import type { FileSystem } from "@effect/platform"
import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Chunk, Effect, Option, type Scope, Stream } from "effect"
import type { DatabaseUnusable } from "../domain/StartupError.ts"
import type { Window } from "../domain/Window.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { asOfOneMoment, openForReading } from "./openForReading.ts"

/** A row of a database. Times are integer microseconds since the epoch. */
export interface LiveRow {
  readonly exchange: string
  readonly symbol: string
  readonly dataType: string
  readonly exchangeSequenceId: string
  readonly timestamp: number
  readonly exchangeTimestamp: number | null
  /** UTF-8. */
  readonly data: Uint8Array
}

/** The rows of a database that another process may be writing, as of one moment. */
export interface LiveRows {
  /** From the oldest to the newest of them; none if there is none. */
  readonly span: Option.Option<Window>
  /** Those that were received in this time, in the order of receipt, in pages of at most 1,000 rows. */
  readonly within: (window: Window) => Stream.Stream<ReadonlyArray<LiveRow>, DatabaseError>
}

/**
 * Reads the rows that were received in a time, optionally only of one exchange, symbol or data type, whatever their case. None if
 * the file does not exist or is empty. They are copied first, into a file of this connection: what the collector archives and
 * deletes meanwhile is not missed, and no transaction lasts as long as the reader.
 */
export const openLiveRows = (
  path: string,
  wanted: {
    readonly exchange: Option.Option<string>
    readonly symbol: Option.Option<string>
    readonly type: Option.Option<string>
    readonly range: Window
  }
): Effect.Effect<Option.Option<LiveRows>, DatabaseUnusable, Scope.Scope | FileSystem.FileSystem> =>
  openForReading(path, (sql) =>
    Effect.zipRight(sql`PRAGMA temp_store = FILE`, asOfOneMoment(sql, copyRows(sql, wanted)))
  )

const copyRows = (sql: SqliteClient.SqliteClient, wanted: Parameters<typeof openLiveRows>[1]) =>
  Effect.gen(function* () {
    const tables = yield* sql`SELECT 1 FROM sqlite_master WHERE name = 'snapshots'`
    if (tables.length === 0) return Option.none()
    const exchange = Option.getOrNull(wanted.exchange)
    const symbol = Option.getOrNull(wanted.symbol)
    const type = Option.getOrNull(wanted.type)
    yield* sql`
      CREATE TEMP TABLE rows AS
      SELECT id, exchange, symbol, data_type, exchange_sequence_id, timestamp, exchange_timestamp, CAST(data AS BLOB) AS data
      FROM snapshots
      WHERE timestamp >= ${wanted.range.from} AND timestamp < ${wanted.range.to}
        AND (${exchange} IS NULL OR exchange = ${exchange} COLLATE NOCASE)
        AND (${symbol} IS NULL OR symbol = ${symbol} COLLATE NOCASE)
        AND (${type} IS NULL OR data_type = ${type} COLLATE NOCASE)`
    yield* sql`CREATE UNIQUE INDEX temp.rows_in_order ON rows (timestamp, id)`
    const [span] = yield* sql<{ first: number | null; last: number | null }>`
      SELECT min(timestamp) AS first, max(timestamp) AS last FROM temp.rows`
    const page = (window: Window) => (after: { readonly timestamp: number; readonly id: number }) =>
      Effect.map(
        sql<LiveRow & { readonly id: number }>`
          SELECT id, exchange, symbol, data_type AS dataType, exchange_sequence_id AS exchangeSequenceId, timestamp,
            exchange_timestamp AS exchangeTimestamp, data
          FROM temp.rows
          WHERE (timestamp, id) > (${after.timestamp}, ${after.id}) AND timestamp < ${window.to}
          ORDER BY timestamp, id LIMIT ${rowsPerPage}`,
        (rows) => [Chunk.of(rows), Option.fromNullable(rows[rowsPerPage - 1])] as const
      )
    return Option.some<LiveRows>({
      span:
        span === undefined || span.first === null || span.last === null
          ? Option.none()
          : Option.some({ from: span.first, to: span.last + 1 }),
      within: (window) =>
        Stream.paginateChunkEffect({ timestamp: window.from, id: -1 }, page(window)).pipe(
          Stream.mapError(DatabaseError.from)
        )
    })
  })

const rowsPerPage = 1_000
