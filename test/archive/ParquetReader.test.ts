import * as NodeFs from "node:fs"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Stream } from "effect"
import * as HyparquetReader from "../../src/archive/HyparquetReader.ts"
import * as HyparquetWriter from "../../src/archive/HyparquetWriter.ts"
import { ParquetReader } from "../../src/archive/ParquetReader.ts"
import { type ParquetColumn, ParquetWriter } from "../../src/archive/ParquetWriter.ts"
import { duckdb } from "../support/duckdb.ts"
import { openFilesBelow } from "../support/openFiles.ts"
import { eventually } from "../support/process.ts"

/** A stream of a file closes it a moment after it has given its last bytes. */
const leavesNoFileOpen = (folder: string) =>
  eventually(
    () => `${openFilesBelow(folder)} to be closed`,
    Effect.sync(() => openFilesBelow(folder).length === 0)
  )

const live = Layer.mergeAll(
  HyparquetReader.layer,
  HyparquetWriter.layer({ rows: 1000, bytes: 100_000 })
).pipe(Layer.provideMerge(NodeContext.layer))

const scratch = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

const columns: ReadonlyArray<ParquetColumn> = [
  { name: "kind", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "at", type: "timestamp", nullable: true, dictionary: false, statistics: true },
  { name: "data", type: "string", nullable: true, dictionary: false, statistics: false }
]

const count = 2500
const kinds = Array.from({ length: count }, (_, i) => `kind-${i % 7}`)
const times = Array.from({ length: count }, (_, i) => (i % 3 === 0 ? null : 1_760_000_000_000_000 + i))
const payloads = Array.from({ length: count }, (_, i) => (i % 11 === 0 ? null : `payload ${i} ☃`))

const written = Effect.gen(function* () {
  const path = `${yield* scratch}/a.parquet`
  const writer = yield* ParquetWriter
  yield* writer.write({
    path,
    columns,
    metadata: { first: "1", last: "2500" },
    pages: Stream.make({ length: count, columns: [kinds, times, payloads] })
  })
  return path
})

const all = (path: string, options?: Parameters<typeof ParquetReader.Service.pages>[1]) =>
  Effect.flatMap(ParquetReader, (reader) =>
    Effect.map(Stream.runCollect(reader.pages(path, options)), (pages) => {
      const read = Chunk.toReadonlyArray(pages)
      const width = read[0]?.columns.length ?? 0
      return {
        pages: read.length,
        rows: read.reduce((sum, page) => sum + page.length, 0),
        columns: Array.from({ length: width }, (_, i) => read.flatMap((page) => [...(page.columns[i] ?? [])]))
      }
    })
  )

describe("ParquetReader", () => {
  it.scopedLive("reads the footer", () =>
    Effect.gen(function* () {
      const reader = yield* ParquetReader
      expect(yield* reader.info(yield* written)).toEqual({
        rows: count,
        rowGroups: 3,
        columns: columns.map(({ name, nullable, type }) => ({ name, type, nullable })),
        metadata: { first: "1", last: "2500" }
      })
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("reads the rows in order, in pages of bounded size", () =>
    Effect.gen(function* () {
      const read = yield* all(yield* written)
      expect(read.columns).toEqual([kinds, times, payloads])
      expect(read.rows).toBe(count)
      expect(read.pages).toBe(Math.ceil(count / 1000))
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("reads selected columns, text as bytes if requested", () =>
    Effect.gen(function* () {
      const read = yield* all(yield* written, { columns: ["data", "kind"], bytes: ["data"] })
      const texts = read.columns[0]?.map((value) =>
        value instanceof Uint8Array ? Buffer.from(value).toString() : value
      )
      expect(texts).toEqual(payloads)
      expect(read.columns[0]?.every((value) => typeof value !== "string")).toBe(true)
      expect(read.columns[1]).toEqual(kinds)
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("reads what DuckDB writes", () =>
    Effect.gen(function* () {
      const path = `${yield* scratch}/d.parquet`
      yield* duckdb(`copy (
        select 'kind-' || (i % 5) as kind, i as n, case when i % 2 = 0 then null else make_timestamp(1760000000000000 + i) end as at,
          'payload ' || md5(i::varchar) as data from range(5000) t(i) order by i
      ) to '${path}' (format parquet, compression zstd, row_group_size 2048)`)
      const read = yield* all(path)
      expect(read.rows).toBe(5000)
      expect(read.columns[0]?.slice(0, 6)).toEqual([
        "kind-0",
        "kind-1",
        "kind-2",
        "kind-3",
        "kind-4",
        "kind-0"
      ])
      expect(read.columns[1]).toEqual(Array.from({ length: 5000 }, (_, i) => i))
      expect(read.columns[2]?.slice(0, 4)).toEqual([null, 1_760_000_000_000_001, null, 1_760_000_000_000_003])
      expect(read.columns[3]?.[0]).toBe("payload cfcd208495d565ef66e7dff9f98764da")
    }).pipe(Effect.provide(live))
  )

  it.scopedLive(
    "names a file that is missing, not Parquet, truncated or of other columns, and a missing column",
    () =>
      Effect.gen(function* () {
        const folder = yield* scratch
        const path = yield* written
        const bytes = NodeFs.readFileSync(path)
        NodeFs.writeFileSync(`${folder}/none`, "no Parquet file at all")
        NodeFs.writeFileSync(`${folder}/short`, "PAR1")
        NodeFs.writeFileSync(`${folder}/cut`, bytes.subarray(0, bytes.length - 100))
        NodeFs.writeFileSync(`${folder}/hole`, Buffer.concat([bytes.subarray(0, 200), bytes.subarray(1200)]))
        yield* duckdb(
          `copy (select 1.5::double as x) to '${folder}/double' (format parquet, compression zstd)`
        )
        for (const name of ["missing", "none", "short", "cut", "hole", "double"]) {
          const error = yield* Effect.flip(all(`${folder}/${name}`))
          expect(error._tag).toBe("ParquetError")
          expect(error.message).toContain(`${folder}/${name}: `)
        }
        expect((yield* Effect.flip(all(path, { columns: ["nothing"] }))).message).toContain("nothing")
        yield* leavesNoFileOpen(folder)
      }).pipe(Effect.provide(live))
  )

  it.scopedLive("survives any damage of one byte: the right rows, other values or a ParquetError", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const bytes = NodeFs.readFileSync(yield* written)
      for (let at = 0; at < bytes.length; at += 97) {
        const damaged = Buffer.from(bytes)
        damaged[at] = (damaged[at] ?? 0) ^ 0x5a
        NodeFs.writeFileSync(`${folder}/damaged`, damaged)
        const result = yield* Effect.either(all(`${folder}/damaged`))
        if (result._tag === "Left") expect(result.left._tag).toBe("ParquetError")
      }
    }).pipe(Effect.provide(live))
  )

  it.scopedLive("lets a reader stop early", () =>
    Effect.gen(function* () {
      const path = yield* written
      const reader = yield* ParquetReader
      const first = yield* Stream.runHead(reader.pages(path))
      expect(first._tag).toBe("Some")
      yield* leavesNoFileOpen(path)
    }).pipe(Effect.provide(live))
  )
})
