import * as NodeFs from "node:fs"
import * as Reactivity from "@effect/experimental/Reactivity"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Option, Schema, type Scope } from "effect"
import { duckdb } from "./duckdb.ts"

/** A message, wherever it is stored. Times in microseconds. */
export interface StoredRow {
  readonly exchange: string
  readonly symbol: string
  readonly dataType: string
  readonly id: string
  readonly timestamp: number
  readonly exchangeTimestamp: number | null
  readonly data: string
}

/** A row of an archive. `file` is its path below the archive's folder. */
export interface ArchivedRow extends StoredRow {
  readonly file: string
}

/** A message that the simulator recorded as sent. */
export interface SentMessage {
  readonly key: string
  readonly text: string
}

/** What tells a message from all others. */
export const keyOf = (row: StoredRow): string => `${row.exchange}:${row.symbol}:${row.dataType}:${row.id}`

/** What a simulated Binance recorded, in the order of sending. Complete after its `flush`. */
export const sentMessages = (record: string): Effect.Effect<ReadonlyArray<SentMessage>> =>
  Effect.sync(() =>
    NodeFs.readFileSync(record, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const { id, stream, text } = decodeSent(line)
        const [symbol = "", channel = ""] = stream.split("@")
        return { key: `binance:${symbol}:${channel === "trade" ? "trade" : "orderbook"}:${id}`, text }
      })
  )

const decodeSent = Schema.decodeUnknownSync(
  Schema.parseJson(Schema.Struct({ stream: Schema.String, id: Schema.String, text: Schema.String }))
)

/** A connection of its own to a database file, closed with the scope. */
export const openDatabase = (
  filename: string,
  access: "read" | "write"
): Effect.Effect<SqliteClient.SqliteClient, never, Scope.Scope> =>
  SqliteClient.make({ filename, readonly: access === "read", disableWAL: true }).pipe(
    Effect.provide(Reactivity.layer)
  )

/** Runs a query on a connection that can only read, and so leaves what a crash left as it is. */
export const query = <Row extends object>(database: string, sql: string): Effect.Effect<ReadonlyArray<Row>> =>
  openDatabase(database, "read").pipe(
    Effect.flatMap((client) => client.unsafe<Row>(sql)),
    Effect.scoped,
    Effect.orDie
  )

/** The rows that wait in the database, in id order. */
export const databaseRows = (database: string): Effect.Effect<ReadonlyArray<StoredRow>> =>
  query<StoredRow>(
    database,
    `SELECT exchange, symbol, data_type AS dataType, exchange_sequence_id AS id, timestamp,
       exchange_timestamp AS exchangeTimestamp, data
     FROM snapshots ORDER BY snapshots.id`
  )

/** How many rows wait. 0 while there is no table yet. */
export const countRows = (database: string): Effect.Effect<number> =>
  query<{ count: number }>(database, "SELECT count(*) AS count FROM snapshots").pipe(
    Effect.map((rows) => rows[0]?.count ?? 0),
    Effect.catchAllDefect(() => Effect.succeed(0))
  )

/** How many events of archives of rows, not of the journal's own, have one of these tags. */
export const countEvents = (database: string, ...tags: ReadonlyArray<string>): Effect.Effect<number> =>
  query<{ count: number }>(
    database,
    `SELECT count(*) AS count FROM journal WHERE stream IS NOT NULL AND tag IN (${tags.map((tag) => `'${tag}'`).join()})`
  ).pipe(Effect.map((rows) => rows[0]?.count ?? 0))

/** Holds the database's write lock until the scope closes, as another program would. */
export const lockDatabase = (database: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(openDatabase(database, "write"), (client) =>
    Effect.acquireRelease(Effect.orDie(client.unsafe("BEGIN IMMEDIATE")), () =>
      Effect.orDie(client.unsafe("ROLLBACK"))
    )
  )

/** How many rows the collector's log says were archived. */
export const archivedRowsIn = (stdout: string): number =>
  Array.from(stdout.matchAll(/ archived .*\brows=(\d+)/g)).reduce((sum, [, rows]) => sum + Number(rows), 0)

/** The archive files of rows below a folder, as paths relative to it. */
export const archiveFiles = (folder: string): ReadonlyArray<string> =>
  filesBelow(folder).filter((file) => file.startsWith("exchange=") && file.endsWith(".parquet"))

/** All files below a folder, as paths relative to it; none if there is no folder. */
export const filesBelow = (folder: string): ReadonlyArray<string> =>
  NodeFs.existsSync(folder)
    ? NodeFs.readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => `${entry.parentPath}/${entry.name}`.slice(folder.length + 1))
        .sort()
    : []

/** All rows of an archive, file by file, each in the order of the file. Only what is in the files, not in their names. */
export const archivedRows = (folder: string): Effect.Effect<ReadonlyArray<ArchivedRow>> =>
  archiveFiles(folder).length === 0
    ? Effect.succeed([])
    : duckdb(
        `SELECT filename, exchange, symbol, data_type, exchange_sequence_id, data,
           epoch_us("timestamp")::DOUBLE AS received, epoch_us(exchange_timestamp)::DOUBLE AS sent
         FROM read_parquet('${folder}/exchange=*/**/*.parquet',
           hive_partitioning = false, filename = true, file_row_number = true)
         ORDER BY filename, file_row_number`
      ).pipe(
        Effect.map((rows) =>
          rows.map((row) => {
            const decoded = decodeArchived(row)
            return {
              file: decoded.filename.slice(folder.length + 1),
              exchange: decoded.exchange,
              symbol: decoded.symbol,
              dataType: decoded.data_type,
              id: decoded.exchange_sequence_id,
              timestamp: decoded.received,
              exchangeTimestamp: decoded.sent,
              data: decoded.data
            }
          })
        )
      )

const decodeArchived = Schema.decodeUnknownSync(
  Schema.Struct({
    filename: Schema.String,
    exchange: Schema.String,
    symbol: Schema.String,
    data_type: Schema.String,
    exchange_sequence_id: Schema.String,
    data: Schema.String,
    received: Schema.Number,
    sent: Schema.NullOr(Schema.Number)
  })
)

/** What is wrong with what was stored, a few examples of each kind; `faultless` if nothing is. */
export interface Faults {
  /** Sent, and not stored. */
  readonly missing: ReadonlyArray<string>
  /** Stored more than once. */
  readonly twice: ReadonlyArray<string>
  /** Stored, and never sent. */
  readonly unknown: ReadonlyArray<string>
  /** Stored with other bytes than were sent. */
  readonly altered: ReadonlyArray<string>
}

export const faultless: Faults = { missing: [], twice: [], unknown: [], altered: [] }

/** Compares every row with what was sent. */
export const faultsOf = (
  sent: ReadonlyArray<SentMessage>,
  rows: ReadonlyArray<StoredRow>,
  options: { readonly mayMiss?: boolean } = {}
): Faults => {
  const texts = new Map(sent.map(({ key, text }) => [key, text]))
  const seen = new Set<string>()
  const faults = { missing: few(), twice: few(), unknown: few(), altered: few() }
  for (const row of rows) {
    const key = keyOf(row)
    const text = Option.fromNullable(texts.get(key))
    if (seen.has(key)) faults.twice.add(key)
    if (Option.isNone(text)) faults.unknown.add(key)
    else if (text.value !== row.data) faults.altered.add(key)
    seen.add(key)
  }
  if (options.mayMiss !== true) {
    for (const key of texts.keys()) if (!seen.has(key)) faults.missing.add(key)
  }
  return {
    missing: faults.missing.list,
    twice: faults.twice.list,
    unknown: faults.unknown.list,
    altered: faults.altered.list
  }
}

const few = () => {
  const list: Array<string> = []
  return {
    list,
    add: (key: string) => {
      if (list.length < 5) list.push(key)
    }
  }
}
