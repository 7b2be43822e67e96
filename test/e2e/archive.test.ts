import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { journalPrefix, parseKey } from "../../src/domain/Archive.ts"
import {
  allArchived,
  archiveNow,
  program,
  serverName,
  startReceiving,
  type Variables,
  type Workspace,
  workspace
} from "../support/collector.ts"
import { duckdb } from "../support/duckdb.ts"
import { eventually, startNode } from "../support/process.ts"
import { makeBucket, s3Server, s3ServerName } from "../support/s3Bucket.ts"
import {
  archivedRows,
  archiveFiles,
  countEvents,
  databaseRows,
  faultless,
  faultsOf,
  filesBelow,
  sentMessages
} from "../support/stored.ts"

const symbols = ["btcusdt", "ethusdt", "solusdt"]
const streams = symbols.flatMap((symbol) => [`binance:${symbol}:orderbook`, `binance:${symbol}:trade`])

describe("a run from the sockets to the archive", () => {
  describe.concurrent("stores every message exactly once", () => {
    it.scopedLive("in a folder", () =>
      Effect.gen(function* () {
        const where = yield* workspace
        yield* recordARun(where, {})
        yield* checkArchive(where, where.archive)
      })
    )

    it.scopedLive(`in S3 (${s3ServerName})`, () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const bucket = yield* makeBucket(yield* s3Server)
        yield* recordARun(where, bucket.variables())
        yield* bucket.download(where.archive)
        yield* checkArchive(where, where.archive)
      })
    )
  })
})

/** Records some seconds of six streams over several archive cycles, with a burst, until everything sent is archived. */
const recordARun = (where: Workspace, variables: Variables): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { control, url } = yield* startSimulator(where)
    const collector = yield* startReceiving(where, {
      MARKETS: symbols.map((symbol) => `binance:${symbol}`).join(),
      BINANCE_WS_URL: url,
      ...variables
    })
    yield* Effect.sleep("5 seconds")
    yield* eventually(
      "a first archive",
      Effect.map(countEvents(where.database, "ArchivePlanned"), (plans) => plans > 0)
    )
    yield* control("burst?count=700")
    yield* Effect.sleep("4 seconds")
    yield* control("silence")
    yield* control("flush")
    const sent = (yield* sentMessages(where.record)).length
    expect(sent).toBeGreaterThan(6 * 700)
    yield* allArchived(where, collector, sent)
    expect(yield* collector.stop()).toEqual({ code: 0, signal: null })
    expect(collector.stderr()).toBe("")
    yield* archiveNow(where, variables)
  })

/** The simulator as a process of its own, told over HTTP to misbehave. */
const startSimulator = (where: Workspace) =>
  Effect.gen(function* () {
    const simulator = yield* startNode(
      [
        ...[program, "simulate", "--port", "0", "--rate", "25", "--symbols", symbols.join()],
        ...["--record", where.record]
      ],
      { cwd: where.folder, env: { HOME: where.folder } }
    )
    const line = yield* simulator.awaitLine(/ws:\/\//)
    const [, url = ""] = /(ws:\/\/[\d.:]+\/stream)/.exec(line) ?? []
    const [, origin = ""] = /(http:\/\/[\d.:]+)\//.exec(line) ?? []
    return {
      url,
      control: (request: string) =>
        Effect.promise(async () => {
          const answer = await fetch(`${origin}/control/${request}`, { method: "POST" })
          expect(answer.status, await answer.text()).toBe(200)
        })
    }
  })

const keyPattern = new RegExp(
  [
    "^exchange=binance/symbol=(?<symbol>[a-z]+)/data_type=(?<type>orderbook|trade)/date=(?<date>\\d{4}-\\d{2}-\\d{2})",
    `/${serverName}_(?<first>\\d{8}T\\d{9}Z)_(?<archive>[0-9A-Za-z-]+)\\.parquet$`
  ].join("")
)

const checkArchive = (where: Workspace, folder: string) =>
  Effect.gen(function* () {
    const sent = yield* sentMessages(where.record)
    const rows = yield* archivedRows(folder)
    const files = archiveFiles(folder)

    // every message once, byte for byte, and nothing else
    expect(faultsOf(sent, rows)).toEqual(faultless)
    expect(rows.length).toBe(sent.length)
    expect(yield* databaseRows(where.database)).toEqual([])
    expect(filesBelow(where.outbox)).toEqual([])
    const others = filesBelow(folder).filter((file) => !files.includes(file))
    expect(others.filter((file) => !isOfJournal(file))).toEqual([])
    expect(yield* countEvents(where.database, "ArchivePurged")).toBe(files.length)
    expect(files.length).toBeGreaterThan(streams.length)

    // keys say what is in the files
    for (const file of files) {
      expect(file).toMatch(keyPattern)
      const { date, first, symbol, type } = keyPattern.exec(file)?.groups ?? {}
      const ofStream = rows.filter((row) => row.file === file)
      expect(new Set(ofStream.map((row) => `${row.exchange} ${row.symbol} ${row.dataType}`))).toEqual(
        new Set([`binance ${symbol} ${type}`])
      )
      expect(new Set(ofStream.map((row) => isoOf(row.timestamp).slice(0, 10)))).toEqual(new Set([date]))
      expect(isoOf(ofStream[0]?.timestamp ?? 0).replace(/[-:.]/g, "")).toBe(first)
      // in the order of their ids in the database, which is that of receipt
      expect(ofStream).toEqual(
        ofStream.toSorted((a, b) => a.timestamp - b.timestamp || Number(a.id) - Number(b.id))
      )
      expect(ofStream.map((row) => Number(row.id))).toEqual(
        ofStream.map((row) => Number(row.id)).toSorted((a, b) => a - b)
      )
    }
    const archiveIds = files.map((file) => keyPattern.exec(file)?.groups?.archive)
    expect(new Set(archiveIds).size).toBe(files.length)

    // times: received after the exchange made them, within the run
    for (const row of rows) {
      const made = row.dataType === "trade" ? decodeTrade(row.data) : null
      expect(row.exchangeTimestamp).toBe(made === null ? null : made.T * 1000)
      if (made !== null) {
        expect(row.timestamp).toBeGreaterThanOrEqual(made.E * 1000 - 5_000)
        expect(row.timestamp).toBeLessThan(made.E * 1000 + 30_000_000)
        expect(row.id).toBe(String(made.t))
      }
    }

    // as DuckDB sees the files
    const all = `'${folder}/**/*.parquet'`
    expect(
      (yield* duckdb(`DESCRIBE SELECT * FROM read_parquet(${all}, hive_partitioning = false)`)).map(
        (column) => `${column.column_name} ${column.column_type}`
      )
    ).toEqual([
      "exchange VARCHAR",
      "symbol VARCHAR",
      "data_type VARCHAR",
      "exchange_sequence_id VARCHAR",
      "timestamp TIMESTAMP WITH TIME ZONE",
      "exchange_timestamp TIMESTAMP WITH TIME ZONE",
      "data VARCHAR"
    ])
    expect(
      yield* duckdb(
        `SELECT DISTINCT name, type, logical_type FROM parquet_schema(${all})
         WHERE name IN ('timestamp', 'exchange_timestamp') ORDER BY name`
      )
    ).toEqual(
      ["exchange_timestamp", "timestamp"].map((name) => ({
        name,
        type: "INT64",
        logical_type: expect.stringMatching(/isAdjustedToUTC=1.*MICROS/)
      }))
    )
    expect(yield* duckdb(`SELECT DISTINCT compression FROM parquet_metadata(${all})`)).toEqual([
      { compression: "ZSTD" }
    ])
    const byPartition = yield* duckdb(
      `SELECT symbol, data_type, count(*)::INT AS rows FROM read_parquet(${all}, hive_partitioning = true)
       WHERE exchange = 'binance' GROUP BY ALL ORDER BY ALL`
    )
    expect(byPartition).toEqual(
      symbols.flatMap((symbol) =>
        ["orderbook", "trade"].map((type) => ({
          symbol,
          data_type: type,
          rows: sent.filter(({ key }) => key.startsWith(`binance:${symbol}:${type}:`)).length
        }))
      )
    )
    const metadata = yield* duckdb(
      `SELECT file_name, decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata(${all})`
    )
    for (const file of files) {
      const byName = Object.fromEntries(
        metadata
          .filter((entry) => entry.file_name === `${folder}/${file}`)
          .map((entry) => [String(entry.key), String(entry.value)])
      )
      expect(byName).toMatchObject({
        collector_version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        server: serverName,
        archive_id: keyPattern.exec(file)?.groups?.archive,
        first_id: expect.stringMatching(/^\d+$/),
        last_id: expect.stringMatching(/^\d+$/)
      })
      const span = Number(byName.last_id) - Number(byName.first_id) + 1
      expect(span).toBeGreaterThanOrEqual(rows.filter((row) => row.file === file).length)
    }
  })

const isOfJournal = (file: string): boolean => file.startsWith(journalPrefix) && parseKey(file) !== undefined

const isoOf = (micros: number): string => new Date(Math.floor(micros / 1000)).toISOString()

const decodeTrade = (text: string): { readonly E: number; readonly T: number; readonly t: number } =>
  JSON.parse(text)
