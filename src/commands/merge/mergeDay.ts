import { Path } from "@effect/platform"
import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Chunk, Effect, Option, Stream } from "effect"
import { archiveColumns } from "../../archive/Archiver.ts"
import { download } from "../../archive/download.ts"
import { ParquetReader } from "../../archive/ParquetReader.ts"
import { ParquetError, type ParquetPage, ParquetWriter } from "../../archive/ParquetWriter.ts"
import { archiveKey } from "../../domain/Archive.ts"
import { microsPerHour } from "../../domain/micros.ts"
import type { Window } from "../../domain/Window.ts"
import { version } from "../../version.ts"

/**
 * Merges the archives of one stream and day into one file: of each message the copy that was received first, ordered by id
 * where all ids are whole numbers, else by the exchange's time and then by ours. A message that came just before midnight
 * to one server and just after to another is in the earlier day only: days have to be merged in order. The rows lie in a
 * scratch file, so that memory does not grow with the day. Returns what was merged of each server, too.
 */
export const mergeDay = (options: {
  readonly day: {
    readonly exchange: string
    readonly symbol: string
    readonly dataType: string
    readonly date: string
  }
  readonly objects: ReadonlyArray<{ readonly key: string; readonly server: string }>
  readonly range: Window
  readonly into: string
  readonly scratch: SqliteClient.SqliteClient
  readonly folder: string
}) =>
  Effect.gen(function* () {
    const { day, folder, into, objects, range, scratch: sql } = options
    const reader = yield* ParquetReader
    const writer = yield* ParquetWriter
    const paths = yield* Path.Path
    const stream = `${day.exchange}/${day.symbol}/${day.dataType}`

    yield* sql`CREATE TABLE IF NOT EXISTS before (stream TEXT, id TEXT, PRIMARY KEY (stream, id)) WITHOUT ROWID`
    yield* sql`DELETE FROM before WHERE stream <> ${stream}`
    yield* sql`DROP TABLE IF EXISTS merged`
    yield* sql`
      CREATE TABLE merged (row INTEGER PRIMARY KEY, id TEXT UNIQUE, timestamp INTEGER, exchange_timestamp INTEGER,
        data BLOB)`

    let read = 0
    const merged = new Map<string, { readonly spans: Array<Window>; readonly hours: Map<number, number> }>()
    for (const { key, server } of objects) {
      const of = merged.get(server) ?? { spans: [], hours: new Map<number, number>() }
      merged.set(server, of)
      let first = Number.POSITIVE_INFINITY
      let last = Number.NEGATIVE_INFINITY
      const path = `${folder}/part.parquet`
      yield* download(key, path)
      yield* Stream.runForEach(
        reader.pages(path, { columns: [...columns], bytes: ["data"] }),
        ({ columns: [ids = [], times = [], exchangeTimes = [], data = []], length }) =>
          Effect.gen(function* () {
            const rows: Array<ReadonlyArray<unknown>> = []
            for (let i = 0; i < length; i++) {
              const time = Number(times[i])
              const hour = Math.floor(time / microsPerHour)
              of.hours.set(hour, (of.hours.get(hour) ?? 0) + 1)
              if (time < first) first = time
              if (time > last) last = time
              if (time < range.from || time >= range.to) continue
              rows.push([String(ids[i]), time, exchangeTimes[i] ?? null, data[i] ?? null])
            }
            read += rows.length
            for (let from = 0; from < rows.length; from += rowsPerInsert) {
              const slice = rows.slice(from, from + rowsPerInsert)
              yield* sql.unsafe(insertStatement(slice.length), [...slice.flat(), stream])
            }
          }).pipe(sql.withTransaction)
      ).pipe(Effect.catchTag("ParquetError", ({ cause }) => new ParquetError({ path: key, cause })))
      if (first <= last) of.spans.push({ from: first, to: last + 1 })
    }

    const [ids] = yield* sql<{ others: number }>`
      SELECT EXISTS (
        SELECT 1 FROM merged WHERE length(id) > 18 OR CAST(CAST(id AS INTEGER) AS TEXT) <> id
      ) AS others`
    const order =
      ids?.others === 1 ? "coalesce(exchange_timestamp, timestamp), timestamp, row" : "CAST(id AS INTEGER)"
    yield* sql`DROP TABLE IF EXISTS places`
    yield* sql`CREATE TABLE places (place INTEGER PRIMARY KEY, row INTEGER)`
    yield* sql.unsafe(`INSERT INTO places (row) SELECT row FROM merged ORDER BY ${order}`)

    const page = (after: number) =>
      Effect.map(
        sql<MergedRow>`
          SELECT place, id, timestamp, exchange_timestamp, data FROM places JOIN merged USING (row)
          WHERE place > ${after} ORDER BY place LIMIT ${rowsPerPage}`,
        (rows) =>
          [
            rows.length === 0 ? Chunk.empty<ParquetPage>() : Chunk.of(pageOf(day, rows)),
            Option.map(Option.fromNullable(rows[rowsPerPage - 1]), ({ place }) => place)
          ] as const
      )
    const key = archiveKey({
      stream: day,
      date: day.date,
      serverName: "merged",
      firstTimestamp: 0,
      archiveId: ""
    })
    const path = paths.join(into, paths.dirname(key), "merged.parquet")
    const file = yield* writer.write({
      path,
      columns: archiveColumns,
      metadata: { collector_version: version, sources: JSON.stringify(objects.map(({ key }) => key)) },
      pages: Stream.paginateChunkEffect(0, page)
    })
    yield* sql`DELETE FROM before`
    yield* sql`INSERT INTO before SELECT ${stream}, id FROM merged`
    return { path, file, duplicates: read - file.rows, merged }
  })

interface MergedRow {
  readonly place: number
  readonly id: string
  readonly timestamp: number
  readonly exchange_timestamp: number | null
  readonly data: Uint8Array
}

const columns = ["exchange_sequence_id", "timestamp", "exchange_timestamp", "data"] as const

const rowsPerPage = 1000
const rowsPerInsert = 200

const insertStatement = (rows: number): string =>
  `INSERT INTO merged (id, timestamp, exchange_timestamp, data)
   SELECT * FROM (VALUES ${Array.from({ length: rows }, () => "(?, ?, ?, ?)").join()}) AS read
   WHERE NOT EXISTS (SELECT 1 FROM before WHERE stream = ? AND id = read.column1)
   ON CONFLICT (id) DO UPDATE SET timestamp = excluded.timestamp,
     exchange_timestamp = excluded.exchange_timestamp, data = excluded.data
   WHERE excluded.timestamp < merged.timestamp`

const pageOf = (
  day: { readonly exchange: string; readonly symbol: string; readonly dataType: string },
  rows: ReadonlyArray<MergedRow>
): ParquetPage => ({
  length: rows.length,
  columns: [
    rows.map(() => day.exchange),
    rows.map(() => day.symbol),
    rows.map(() => day.dataType),
    rows.map((row) => row.id),
    rows.map((row) => row.timestamp),
    rows.map((row) => row.exchange_timestamp),
    rows.map((row) => row.data)
  ]
})
