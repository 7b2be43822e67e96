import { statSync } from "node:fs"
import { DuckDBInstance, DuckDBTimestampValue } from "@duckdb/node-api"
import Database from "better-sqlite3"
import { Schema } from "effect"
import { endWithParent, readArgument, tell } from "./channel.ts"

/** The same rows by DuckDB: read by better-sqlite3, appended to a table in memory, copied to Parquet with zstd. */
const Options = Schema.Struct({ folder: Schema.String, database: Schema.String })
const Row = Schema.Struct({
  exchange: Schema.String,
  symbol: Schema.String,
  data_type: Schema.String,
  exchange_sequence_id: Schema.String,
  timestamp: Schema.Number,
  exchange_timestamp: Schema.NullOr(Schema.Number),
  data: Schema.String
})
type Row = typeof Row.Type

const { database, folder } = Schema.decodeUnknownSync(Options)(readArgument())
endWithParent()
const told = () => new Promise((resolve) => process.once("message", resolve))

const instance = await DuckDBInstance.create(":memory:")
const connection = await instance.connect()
await connection.run(`
  CREATE TABLE snapshots (exchange VARCHAR, symbol VARCHAR, data_type VARCHAR, exchange_sequence_id VARCHAR,
    timestamp TIMESTAMP, exchange_timestamp TIMESTAMP, data VARCHAR)`)
tell({ idle: true })
await told()

const begin = Date.now()
const source = new Database(database, { readonly: true })
const select = source.prepare<[], Row>(`
  SELECT exchange, symbol, data_type, exchange_sequence_id, timestamp, exchange_timestamp, data
  FROM snapshots ORDER BY id`)
const appender = await connection.createAppender("snapshots")
let rows = 0
for (const row of select.iterate()) {
  appender.appendVarchar(row.exchange)
  appender.appendVarchar(row.symbol)
  appender.appendVarchar(row.data_type)
  appender.appendVarchar(row.exchange_sequence_id)
  appender.appendTimestamp(new DuckDBTimestampValue(BigInt(row.timestamp)))
  if (row.exchange_timestamp === null) appender.appendNull()
  else appender.appendTimestamp(new DuckDBTimestampValue(BigInt(row.exchange_timestamp)))
  appender.appendVarchar(row.data)
  appender.endRow()
  rows++
}
appender.closeSync()
const file = `${folder}/duckdb.parquet`
await connection.run(`COPY snapshots TO '${file}' (FORMAT parquet, COMPRESSION zstd)`)
tell({ begin, end: Date.now(), archives: 1, bytes: statSync(file).size, rows, stall: 0 })
await told()
process.exit(0)
