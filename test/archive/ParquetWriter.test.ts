import { createHash } from "node:crypto"
import * as NodeFs from "node:fs"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Either, Fiber, FastCheck as fc, Layer, Stream } from "effect"
import * as HyparquetReader from "../../src/archive/HyparquetReader.ts"
import * as HyparquetWriter from "../../src/archive/HyparquetWriter.ts"
import { ParquetReader } from "../../src/archive/ParquetReader.ts"
import {
  type ParquetColumn,
  type ParquetPage,
  type ParquetValues,
  ParquetWriter
} from "../../src/archive/ParquetWriter.ts"
import { duckdb } from "../support/duckdb.ts"

const column = (
  name: string,
  type: ParquetColumn["type"],
  options: Partial<Omit<ParquetColumn, "name" | "type">> = {}
): ParquetColumn => ({ name, type, nullable: false, dictionary: false, statistics: true, ...options })

const columns: ReadonlyArray<ParquetColumn> = [
  column("exchange", "string", { dictionary: true }),
  column("exchange_sequence_id", "string"),
  column("timestamp", "timestamp"),
  column("exchange_timestamp", "timestamp", { nullable: true }),
  column("number", "integer", { nullable: true }),
  column("data", "string", { statistics: false })
]

interface Row {
  readonly exchange: string
  readonly id: string
  readonly timestamp: number
  readonly exchangeTimestamp: number | null
  readonly number: number | null
  readonly data: string | Uint8Array
}

const pageOf = (rows: ReadonlyArray<Row>): ParquetPage => ({
  length: rows.length,
  columns: [
    rows.map((row) => row.exchange),
    rows.map((row) => row.id),
    rows.map((row) => row.timestamp),
    rows.map((row) => row.exchangeTimestamp),
    rows.map((row) => row.number),
    rows.map((row) => row.data)
  ]
})

const row = (i: number, data: string | Uint8Array = `{"i":${i}}`): Row => ({
  exchange: i % 3 === 0 ? "binance" : "kraken",
  id: String(1000 + i),
  timestamp: 1_760_000_000_000_000 + i,
  exchangeTimestamp: i % 2 === 0 ? null : 1_760_000_000_000_000 + i * 1000,
  number: i % 5 === 0 ? null : -i,
  data
})

const rowsOf = (count: number) => Array.from({ length: count }, (_, i) => row(i))

const reading = (path: string) =>
  duckdb(
    `select exchange, exchange_sequence_id as id, epoch_us("timestamp") as t, epoch_us(exchange_timestamp) as e,
            number, data from read_parquet('${path}')`
  )

const asDuckdbSays = (row: Row) => ({
  exchange: row.exchange,
  id: row.id,
  t: String(row.timestamp),
  e: row.exchangeTimestamp === null ? null : String(row.exchangeTimestamp),
  number: row.number === null ? null : String(row.number),
  data: typeof row.data === "string" ? row.data : Buffer.from(row.data).toString()
})

const live = Layer.mergeAll(HyparquetWriter.layer(), HyparquetReader.layer).pipe(
  Layer.provideMerge(NodeContext.layer)
)
const small = Layer.mergeAll(HyparquetWriter.layer({ rows: 100, bytes: 20_000 }), HyparquetReader.layer).pipe(
  Layer.provideMerge(NodeContext.layer)
)

const scratch = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

const write = <E, R>(path: string, pages: Stream.Stream<ParquetPage, E, R>) =>
  Effect.flatMap(ParquetWriter, (writer) =>
    writer.write({
      path,
      columns,
      metadata: { "collector.version": "1", server: "wörk ☃", empty: "" },
      pages
    })
  )

const chunked = (rows: ReadonlyArray<Row>, size: number) =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(rows.length / size) }, (_, i) =>
      pageOf(rows.slice(i * size, (i + 1) * size))
    )
  )

const openFiles = (under: string) =>
  NodeFs.readdirSync("/proc/self/fd").filter((fd) => {
    const target = Either.try(() => NodeFs.readlinkSync(`/proc/self/fd/${fd}`))
    return Either.isRight(target) && target.right.startsWith(under)
  })

describe("ParquetWriter", () => {
  it.scopedLive("writes columns of the promised types, with metadata, length and hash", () =>
    Effect.gen(function* () {
      const path = `${yield* scratch}/a.parquet`
      const rows = rowsOf(500)
      const file = yield* write(path, chunked(rows, 70))
      const bytes = NodeFs.readFileSync(path)
      expect(file).toEqual({
        rows: 500,
        size: bytes.length,
        sha256: createHash("sha256").update(bytes).digest("hex")
      })
      const described = yield* duckdb(`describe select * from read_parquet('${path}')`)
      expect(described.map((line) => [line.column_name, line.column_type])).toEqual([
        ["exchange", "VARCHAR"],
        ["exchange_sequence_id", "VARCHAR"],
        ["timestamp", "TIMESTAMP WITH TIME ZONE"],
        ["exchange_timestamp", "TIMESTAMP WITH TIME ZONE"],
        ["number", "BIGINT"],
        ["data", "VARCHAR"]
      ])
      const schema = yield* duckdb(
        `select name, logical_type, converted_type, repetition_type from parquet_schema('${path}')`
      )
      expect(schema.find((line) => line.name === "timestamp")).toMatchObject({
        logical_type: expect.stringMatching(/Timestamp.*isAdjustedToUTC=1.*MICROS/),
        converted_type: "TIMESTAMP_MICROS",
        repetition_type: "REQUIRED"
      })
      const metadata = yield* duckdb(
        `select decode(key) as k, decode(value) as v from parquet_kv_metadata('${path}')`
      )
      expect(metadata).toEqual([
        { k: "collector.version", v: "1" },
        { k: "server", v: "wörk ☃" },
        { k: "empty", v: "" }
      ])
      const chunks = yield* duckdb(`select path_in_schema as c, compression, encodings, stats_min_value as lo,
        stats_max_value as hi, stats_null_count as nulls from parquet_metadata('${path}')`)
      expect(new Set(chunks.map((chunk) => chunk.compression))).toEqual(new Set(["ZSTD"]))
      expect(chunks).toContainEqual(
        expect.objectContaining({
          c: "exchange",
          encodings: expect.stringContaining("RLE_DICTIONARY"),
          lo: "binance",
          hi: "kraken",
          nulls: "0"
        })
      )
      expect(chunks).toContainEqual(
        expect.objectContaining({ c: "exchange_sequence_id", lo: "1000", hi: "1499" })
      )
      expect(chunks).toContainEqual(
        expect.objectContaining({ c: "number", lo: "-499", hi: "-1", nulls: "100" })
      )
      expect(chunks).toContainEqual(expect.objectContaining({ c: "data", lo: null, hi: null }))
      expect(yield* reading(path)).toEqual(rows.map(asDuckdbSays))
      expect(NodeFs.readdirSync(path.replace("/a.parquet", ""))).toEqual(["a.parquet"])
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("keeps the order of rows over many pages and row groups, which a reader can skip", () =>
    Effect.gen(function* () {
      const path = `${yield* scratch}/a.parquet`
      const rows = rowsOf(2345)
      yield* write(path, chunked(rows, 333))
      expect(yield* reading(path)).toEqual(rows.map(asDuckdbSays))
      const groups =
        yield* duckdb(`select row_group_num_rows as n, stats_min_value as lo from parquet_metadata('${path}')
        where path_in_schema = 'number' order by row_group_id`)
      expect(groups.length).toBe(24)
      expect(groups.slice(0, -1).every((group) => group.n === "100")).toBe(true)
      const found = yield* duckdb(
        `select count(*) as n from read_parquet('${path}') where exchange_sequence_id >= '3300'`
      )
      expect(found).toEqual([{ n: "45" }])
    }).pipe(Effect.provide(small))
  )

  it.scopedLive("ends a row group with the row that reaches its bytes, within a page too", () =>
    Effect.gen(function* () {
      const path = `${yield* scratch}/a.parquet`
      const sizes = [...Array.from({ length: 150 }, () => 10), 30_000, 9000, 9000, 9000, 9000, 1, 50_000, 1]
      const rows = sizes.map((size, i) => row(i, "x".repeat(size)))
      yield* write(path, chunked(rows, 1000))
      expect(yield* reading(path)).toEqual(rows.map(asDuckdbSays))
      const groups = yield* duckdb(`select row_group_num_rows as n from parquet_metadata('${path}')
        where path_in_schema = 'number' order by row_group_id`)
      expect(groups.map(({ n }) => n)).toEqual(["100", "51", "3", "3", "1"])
    }).pipe(Effect.provide(small))
  )

  it.scopedLive("writes empty, non-ASCII and very long payloads, as text and as bytes", () =>
    Effect.gen(function* () {
      const path = `${yield* scratch}/a.parquet`
      const rows = [
        row(0, ""),
        row(1, "žluťoučký 🐎 \u0000 \u{10ffff}"),
        row(2, Buffer.from("bytes ☃")),
        row(3, "a".repeat(1_000_000)),
        row(4, Buffer.from("é".repeat(5_000_000))),
        row(5, "☃".repeat(3_400_000)),
        row(6, "last")
      ]
      const file = yield* write(path, chunked(rows, 4))
      expect(file.size).toBeLessThan(1_000_000)
      const read = yield* reading(path)
      expect(read.map((line) => line.data === asDuckdbSays(rows[read.indexOf(line)] ?? row(0)).data)).toEqual(
        rows.map(() => true)
      )
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("keeps values that a dictionary cannot hold", () =>
    Effect.gen(function* () {
      const path = `${yield* scratch}/a.parquet`
      const rows = rowsOf(40_000).map((row, i) => ({ ...row, exchange: i < 100 ? "same" : `venue-${i}` }))
      yield* write(path, chunked(rows, 5000))
      const odd =
        yield* duckdb(`select count(*) as n, count(distinct exchange) as d from read_parquet('${path}')
        where exchange = 'same' or exchange = 'venue-' || (exchange_sequence_id::int - 1000)`)
      expect(odd).toEqual([{ n: "40000", d: "39901" }])
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("writes a file without rows from no pages and from empty ones", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      for (const pages of [Stream.empty, Stream.make(pageOf([]), pageOf([]))]) {
        const file = yield* write(`${directory}/a.parquet`, pages)
        expect(file.rows).toBe(0)
        expect(yield* reading(`${directory}/a.parquet`)).toEqual([])
        expect((yield* duckdb(`describe select * from read_parquet('${directory}/a.parquet')`)).length).toBe(
          6
        )
      }
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("replaces an existing file and one that a crash left half written", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      NodeFs.writeFileSync(`${directory}/a.parquet`, "old")
      NodeFs.writeFileSync(`${directory}/a.parquet.part`, "x".repeat(100_000))
      const file = yield* write(`${directory}/a.parquet`, chunked(rowsOf(3), 3))
      expect(NodeFs.statSync(`${directory}/a.parquet`).size).toBe(file.size)
      expect(NodeFs.readdirSync(directory)).toEqual(["a.parquet"])
    }).pipe(Effect.provide(live))
  )

  const misfits: ReadonlyArray<readonly [string, Partial<Record<number, ParquetValues>>]> = [
    ["a null in a column without nulls", { 5: [null] }],
    ["a fraction as a time", { 2: [1.5] }],
    ["an integer beyond 2^53", { 4: [2 ** 60] }],
    ["a number as text", { 1: [7] }],
    ["text as a number", { 4: ["7"] }],
    ["a column that is too short", { 1: [] }]
  ]
  it.scopedLive.each(misfits)("fails on %s and leaves the old file alone", ([, replaced]) =>
    Effect.gen(function* () {
      const directory = yield* scratch
      NodeFs.writeFileSync(`${directory}/a.parquet`, "old")
      const good = pageOf([row(1)])
      const bad = { ...good, columns: good.columns.map((values, i) => replaced[i] ?? values) }
      const error = yield* Effect.flip(write(`${directory}/a.parquet`, Stream.make(good, bad)))
      expect(error._tag).toBe("ParquetError")
      expect(error.message).toContain("a.parquet: ")
      expect(NodeFs.readdirSync(directory)).toEqual(["a.parquet"])
      expect(NodeFs.readFileSync(`${directory}/a.parquet`, "utf8")).toBe("old")
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("passes on the failure of its pages and of the file system, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const failing = Stream.concat(chunked(rowsOf(500), 100), Stream.fail("no more rows" as const))
      expect(yield* Effect.flip(write(`${directory}/a.parquet`, failing))).toBe("no more rows")
      expect(NodeFs.readdirSync(directory)).toEqual([])
      NodeFs.writeFileSync(`${directory}/file`, "")
      const error = yield* Effect.flip(write(`${directory}/file/a.parquet`, chunked(rowsOf(1), 1)))
      expect(error).toMatchObject({ _tag: "ParquetError", path: `${directory}/file/a.parquet` })
      expect(openFiles(directory)).toEqual([])
    }).pipe(Effect.provide(small))
  )

  it.scopedLive("leaves no file, open or named, when it is interrupted", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const reached = yield* Deferred.make<void>()
      const pages = Stream.concat(
        chunked(rowsOf(1000), 100),
        Stream.fromEffect(Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never))
      )
      const fiber = yield* Effect.fork(write(`${directory}/a.parquet`, pages))
      yield* Deferred.await(reached)
      expect(NodeFs.readdirSync(directory)).toEqual(["a.parquet.part"])
      yield* Fiber.interrupt(fiber)
      expect(NodeFs.readdirSync(directory)).toEqual([])
      expect(openFiles(directory)).toEqual([])
    }).pipe(Effect.provide(small))
  )

  it.scopedLive("lets other fibers run meanwhile", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const payload = JSON.stringify(Array.from({ length: 200 }, (_, i) => [i, Math.sqrt(i)]))
      const page = pageOf(rowsOf(2000).map((row) => ({ ...row, data: payload + row.id })))
      const pages = Stream.take(Stream.repeatValue(page), 20)
      let ticks = 0
      const ticking = yield* Effect.fork(
        Effect.forever(
          Effect.zipRight(
            Effect.sync(() => ticks++),
            Effect.sleep("2 millis")
          )
        )
      )
      yield* write(`${directory}/a.parquet`, pages)
      yield* Fiber.interrupt(ticking)
      expect(ticks).toBeGreaterThan(10)
    }).pipe(Effect.provide(live))
  )

  const anyRow: fc.Arbitrary<Row> = fc.record({
    exchange: fc.constantFrom("binance", "kraken", "", "☃"),
    id: fc.string({ unit: "grapheme" }),
    timestamp: fc.integer({ min: 0, max: 4_000_000_000_000_000 }),
    exchangeTimestamp: fc.option(fc.integer({ min: -1_000_000, max: 4_000_000_000_000_000 })),
    number: fc.option(fc.maxSafeInteger()),
    data: fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 300 }),
      fc.string({ unit: "binary" }).map((text) => new Uint8Array(Buffer.from(text)))
    )
  })
  it.scopedLive("gives DuckDB and its own reader the rows that it was given, whatever they are", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const runtime = yield* Effect.runtime<ParquetWriter | ParquetReader>()
      const check = (rows: ReadonlyArray<Row>, size: number) =>
        Effect.gen(function* () {
          yield* write(`${directory}/a.parquet`, chunked(rows, size))
          expect(yield* reading(`${directory}/a.parquet`)).toEqual(rows.map(asDuckdbSays))
          const reader = yield* ParquetReader
          const pages = Chunk.toReadonlyArray(
            yield* Stream.runCollect(reader.pages(`${directory}/a.parquet`))
          )
          expect(
            [0, 1, 2, 3, 4, 5].map((i) => pages.flatMap((page) => [...(page.columns[i] ?? [])]))
          ).toEqual(pageOf(rows.map((row) => ({ ...row, data: asDuckdbSays(row).data }))).columns)
        }).pipe(Effect.provide(runtime))
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(
            fc.array(anyRow, { maxLength: 250 }),
            fc.integer({ min: 1, max: 120 }),
            (rows, size) => Effect.runPromise(check(rows, size))
          ),
          { numRuns: 40 }
        )
      )
    }).pipe(Effect.provide(small))
  )
})
