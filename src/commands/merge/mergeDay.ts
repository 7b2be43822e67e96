import { FileSystem, Path } from "@effect/platform"
import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Data, Effect, Option, Stream } from "effect"
import { archiveColumns, archivePage, arrowMetadata } from "../../archive/columns.ts"
import { download } from "../../archive/download.ts"
import { ParquetReader } from "../../archive/ParquetReader.ts"
import { ParquetWriter } from "../../archive/ParquetWriter.ts"
import { archiveKey, millisOfArchiveId, parseKey } from "../../domain/Archive.ts"
import { contentHash, idOfReuse } from "../../domain/contentHash.ts"
import { microsPerHour } from "../../domain/micros.ts"
import { reasonOf } from "../../domain/reasonOf.ts"
import type { Window } from "../../domain/Window.ts"
import { pagesAfter } from "../../storage/pagesAfter.ts"
import { version } from "../../version.ts"
import { receiveTimesOf } from "../coverage/objects.ts"

/** Objects could not be read: they are missing from the merged file, in whole or in part. */
export class ObjectsUnreadable extends Data.TaggedError("ObjectsUnreadable")<{
  readonly objects: ReadonlyArray<{ readonly key: string; readonly reason: string }>
}> {
  override get message() {
    const [first, ...others] = this.objects
    const more = others.length === 0 ? "" : `, and ${others.length} more`
    return `objects could not be read, their time is a hole: ${first?.key}: ${first?.reason}${more}`
  }
}

/** An object to be merged, and the present name of the server that archived it. */
export interface ToMerge {
  readonly key: string
  readonly server: string
}

/**
 * Merges the archives of one stream and day into one file. Of each message it keeps the copy that was received first, ordered
 * by id if all ids are whole numbers, otherwise by the exchange's time and then by ours. Messages are the same if their ids and
 * contents are; another message under the same id is kept under an id of its own, as the collector does. A message belongs only
 * to the day of its first receipt: the day before must have been merged immediately before, or `before` has its objects. The
 * rows are kept in a scratch file, so that memory does not grow with the day. Returns what was merged of each server, and what
 * could not be read.
 */
export const mergeDay = (options: {
  readonly day: {
    readonly exchange: string
    readonly symbol: string
    readonly dataType: string
    readonly date: string
  }
  readonly objects: ReadonlyArray<ToMerge>
  /** The objects of the day before; none if that day was merged last. */
  readonly before: Option.Option<ReadonlyArray<ToMerge>>
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
    const fs = yield* FileSystem.FileSystem
    const unreadable: Array<{ readonly key: string; readonly reason: string }> = []

    /** Reads objects into the table `merged`, and returns what was read of each server. */
    const read = (objects: ReadonlyArray<ToMerge>) =>
      Effect.gen(function* () {
        yield* sql`DROP TABLE IF EXISTS merged`
        yield* sql`
          CREATE TABLE merged (row INTEGER PRIMARY KEY, base TEXT, hash INTEGER, plain INTEGER, timestamp INTEGER,
            exchange_timestamp INTEGER, data BLOB, UNIQUE (base, hash))`
        let rows = 0
        const merged = new Map<string, MergedServer>()
        for (const { key, server } of objects) {
          const ofServer = merged.get(server) ?? { spans: [], hours: new Map<number, number>(), unread: [] }
          merged.set(server, ofServer)
          let first = Number.POSITIVE_INFINITY
          let last = Number.NEGATIVE_INFINITY
          const path = `${folder}/part.parquet`
          yield* download(key, path).pipe(
            Effect.zipRight(
              Stream.runForEach(
                reader.pages(path, { columns: [...columns], bytes: ["data"] }),
                ({ columns: [ids = [], times = [], exchangeTimes = [], data = []], length }) =>
                  Effect.gen(function* () {
                    const values: Array<ReadonlyArray<unknown>> = []
                    for (let i = 0; i < length; i++) {
                      const time = Number(times[i])
                      const hour = Math.floor(time / microsPerHour)
                      ofServer.hours.set(hour, (ofServer.hours.get(hour) ?? 0) + 1)
                      if (time < first) first = time
                      if (time > last) last = time
                      if (time >= range.from && time < range.to) rows++
                      const bytes = bytesOf(data[i])
                      const { base, hash, plain } = identityOf(day.exchange, String(ids[i]), bytes)
                      values.push([base, hash, plain, time, exchangeTimes[i] ?? null, bytes])
                    }
                    for (let from = 0; from < values.length; from += rowsPerInsert) {
                      const slice = values.slice(from, from + rowsPerInsert)
                      yield* sql.unsafe(insertStatement(slice.length), slice.flat())
                    }
                  }).pipe(sql.withTransaction)
              )
            ),
            Effect.tap(() =>
              Effect.sync(() => first <= last && ofServer.spans.push({ from: first, to: last + 1 }))
            ),
            Effect.catchTag("ParquetError", "ArchiveStoreError", (error) =>
              Effect.sync(() => {
                const cause = error._tag === "ParquetError" ? error.cause : error.reason
                unreadable.push({ key, reason: reasonOf(cause) })
                const parsed = parseKey(key)
                const plannedAt = parsed === undefined ? 0 : millisOfArchiveId(parsed.archiveId) * 1000
                ofServer.unread.push(...Option.toArray(Option.fromNullable(receiveTimesOf(key, plannedAt))))
              })
            ),
            Effect.ensuring(Effect.ignore(fs.remove(path, { force: true })))
          )
        }
        return { rows, merged }
      })

    /** Makes what was read the day before. */
    const passDay = Effect.gen(function* () {
      yield* sql`DROP TABLE IF EXISTS before`
      yield* sql`CREATE TABLE before (base TEXT, hash INTEGER, PRIMARY KEY (base, hash)) WITHOUT ROWID`
      yield* sql`INSERT INTO before SELECT base, hash FROM merged`
    })

    if (Option.isSome(options.before)) yield* Effect.zipRight(read(options.before.value), passDay)
    const { merged, rows } = yield* read(objects)

    // Another message has the id: one that was received with it first, or one of the day before.
    yield* sql`DROP TABLE IF EXISTS renamed`
    yield* sql`CREATE TABLE renamed (row INTEGER PRIMARY KEY)`
    yield* sql`
      INSERT INTO renamed SELECT row FROM merged WHERE plain = 0
        OR EXISTS (SELECT 1 FROM before WHERE before.base = merged.base AND before.hash <> merged.hash)
        OR EXISTS (SELECT 1 FROM merged AS other WHERE other.base = merged.base AND other.hash <> merged.hash
          AND other.plain = 1 AND (other.timestamp, other.hash) < (merged.timestamp, merged.hash))`
    const [ids] = yield* sql<{ others: number }>`
      SELECT EXISTS (SELECT 1 FROM renamed) OR EXISTS (
        SELECT 1 FROM merged WHERE base = '' OR base GLOB '*[^0-9]*' OR base GLOB '0?*'
      ) AS others`
    const order =
      ids?.others === 1 ? "coalesce(exchange_timestamp, timestamp), timestamp, row" : "length(base), base"
    yield* sql`DROP TABLE IF EXISTS places`
    yield* sql`CREATE TABLE places (place INTEGER PRIMARY KEY, row INTEGER)`
    yield* sql.unsafe(
      `INSERT INTO places (row) SELECT row FROM merged
       WHERE timestamp >= ? AND timestamp < ?
         AND NOT EXISTS (SELECT 1 FROM before WHERE before.base = merged.base AND before.hash = merged.hash)
       ORDER BY ${order}`,
      [range.from, range.to]
    )

    const pages = pagesAfter({
      start: 0,
      limit: rowsPerPage,
      page: (after) => sql<MergedRow>`
        SELECT place, base, hash, renamed.row IS NOT NULL AS isRenamed, timestamp, exchange_timestamp, data
        FROM places JOIN merged USING (row) LEFT JOIN renamed ON renamed.row = merged.row
        WHERE place > ${after} ORDER BY place LIMIT ${rowsPerPage}`,
      keyOf: ({ place }) => place
    })
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
      metadata: {
        collector_version: version,
        sources: JSON.stringify(objects.map(({ key }) => key)),
        ...arrowMetadata
      },
      pages: Stream.map(pages, (rows) => archivePage(day, rows.map(asArchived)))
    })
    yield* passDay
    return { path, file, duplicates: rows - file.rows, merged, unreadable }
  })

interface MergedServer {
  readonly spans: Array<Window>
  readonly hours: Map<number, number>
  readonly unread: Array<Window>
}

interface MergedRow {
  readonly place: number
  readonly base: string
  readonly hash: number
  readonly isRenamed: number
  readonly timestamp: number
  readonly exchange_timestamp: number | null
  readonly data: Uint8Array
}

/**
 * What distinguishes a message from all others of its stream: the id given by the exchange, and a hash of its content. `plain`:
 * 1 if it was stored under that id, 0 if under an id of its own, because another message had the id.
 */
const identityOf = (exchange: string, id: string, data: Uint8Array) => {
  const hash = contentHash(exchange, data)
  const own = idOfReuse("", hash)
  return id.endsWith(own) ? { base: id.slice(0, -own.length), hash, plain: 0 } : { base: id, hash, plain: 1 }
}

const bytesOf = (data: string | number | Uint8Array | null | undefined): Uint8Array =>
  data instanceof Uint8Array ? data : Buffer.from(String(data ?? ""))

const columns = ["exchange_sequence_id", "timestamp", "exchange_timestamp", "data"] as const

const rowsPerPage = 1000
const rowsPerInsert = 200

const insertStatement = (rows: number): string =>
  `INSERT INTO merged (base, hash, plain, timestamp, exchange_timestamp, data)
   VALUES ${Array.from({ length: rows }, () => "(?, ?, ?, ?, ?, ?)").join()}
   ON CONFLICT (base, hash) DO UPDATE SET plain = max(plain, excluded.plain),
     timestamp = min(timestamp, excluded.timestamp),
     exchange_timestamp = iif(excluded.timestamp < timestamp, excluded.exchange_timestamp, exchange_timestamp),
     data = iif(excluded.timestamp < timestamp, excluded.data, data)
   WHERE excluded.timestamp < timestamp OR excluded.plain > plain`

const asArchived = ({ base, data, exchange_timestamp, hash, isRenamed, timestamp }: MergedRow) => ({
  exchangeSequenceId: isRenamed === 1 ? idOfReuse(base, hash) : base,
  timestamp,
  exchangeTimestamp: exchange_timestamp,
  data
})
