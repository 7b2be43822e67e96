import { createHash } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import { Effect, Layer, Stream } from "effect"
import type { SchemaElement } from "hyparquet"
import { version } from "../version.ts"
import { type ParquetColumn, ParquetError, type ParquetPage, ParquetWriter } from "./ParquetWriter.ts"
import { syncDirectory } from "./syncToDisk.ts"
import { loadZstd } from "./zstd.ts"

/** When a row group is complete. A group is encoded in one go, so this bounds both its memory and the time it takes. */
export interface RowGroupLimits {
  readonly rows: number
  /** Bytes of text before compression. The row that reaches the limit is the group's last. */
  readonly bytes: number
}

const defaultLimits: RowGroupLimits = { rows: 4096, bytes: 8 * 1024 * 1024 }

/** Bytes of text: with the length of each value, a page still fits into 1 MiB, since its buffer grows by doubling. */
const pageSize = 1_000_000

/** Encodes one row group at a time on the calling thread, with zstd. Fails if zstd is not available. */
export const layer = (limits: RowGroupLimits = defaultLimits) =>
  Layer.effect(
    ParquetWriter,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const paths = yield* Path.Path
      const { compress } = yield* loadZstd

      return ParquetWriter.of({
        write: ({ columns, metadata, pages, path }) => {
          const failed = (cause: unknown) => new ParquetError({ path, cause })
          const part = `${path}.part`
          return Effect.gen(function* () {
            // Loaded with the first file, so that startup does not wait for it.
            const { ByteWriter, ParquetWriter: Encoder } = yield* Effect.promise(
              () => import("hyparquet-writer")
            )
            yield* Effect.mapError(fs.makeDirectory(paths.dirname(path), { recursive: true }), failed)
            const file = yield* Effect.mapError(fs.open(part, { flag: "w" }), failed)
            const hash = createHash("sha256")
            const output = new ByteWriter()
            const encoder = new Encoder({
              writer: output,
              schema: schemaOf(columns),
              codec: "ZSTD",
              compressors: { ZSTD: compress },
              kvMetadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
              createdBy: `crypto-collector ${version}`
            })
            let rows = 0

            /** Writes the bytes encoded since the last call. */
            const flush = Effect.suspend(() => {
              const bytes = output.getBytes()
              hash.update(bytes)
              return Effect.mapError(file.writeAll(bytes), failed)
            }).pipe(
              Effect.zipRight(
                Effect.sync(() => {
                  output.index = 0
                })
              )
            )

            const writeGroup = (group: RowGroup) =>
              Effect.zipRight(
                Effect.try({
                  try: () =>
                    encoder.write({
                      columnData: columns.map((column, i) => ({
                        name: column.name,
                        data: group.columns[i] ?? [],
                        statistics: column.statistics,
                        offsetIndex: false,
                        ...(column.dictionary ? {} : { encoding: encodingOf(column) })
                      })),
                      rowGroupSize: group.rows,
                      pageSize
                    }),
                  catch: failed
                }),
                flush
              )

            let group = emptyGroup(columns)
            const add = (page: ParquetPage) =>
              Effect.gen(function* () {
                for (let from = 0; from < page.length; ) {
                  const to = endOfGroup(group, limits, page, from)
                  const misfit = addRows(group, columns, page, from, to)
                  if (misfit !== undefined) return yield* failed(misfit)
                  if (group.rows >= limits.rows || group.bytes >= limits.bytes) {
                    yield* writeGroup(group)
                    group = emptyGroup(columns)
                  }
                  rows += to - from
                  from = to
                }
              })
            yield* Stream.runForEach(pages, add)
            if (group.rows > 0) yield* writeGroup(group)
            yield* Effect.try({ try: () => encoder.finish(), catch: failed })
            yield* flush
            yield* Effect.mapError(file.sync, failed)
            yield* Effect.mapError(fs.rename(part, path), failed)
            yield* syncDirectory(paths.dirname(path), failed)
            return { rows, size: output.offset, sha256: hash.digest("hex") }
          }).pipe(
            Effect.scoped,
            Effect.onError(() => Effect.ignore(fs.remove(part, { force: true })))
          )
        }
      })
    })
  )

/** Rows collected for a row group, in the form the encoder takes. */
interface RowGroup {
  rows: number
  bytes: number
  readonly columns: ReadonlyArray<Array<unknown>>
}

const emptyGroup = (columns: ReadonlyArray<ParquetColumn>): RowGroup => ({
  rows: 0,
  bytes: 0,
  columns: columns.map(() => [])
})

/** The end of the page's rows, starting at `from`, that go into the group. */
const endOfGroup = (group: RowGroup, limits: RowGroupLimits, page: ParquetPage, from: number): number => {
  const end = Math.min(page.length, from + limits.rows - group.rows)
  let bytes = group.bytes
  let to = from
  for (; to < end && bytes < limits.bytes; to++) {
    for (const values of page.columns) {
      const value = values[to]
      if (typeof value === "string" || value instanceof Uint8Array) bytes += value.length
    }
  }
  return to
}

/** Adds the rows [from, to) of a page. Returns the reason if a value does not fit its column. */
const addRows = (
  group: RowGroup,
  columns: ReadonlyArray<ParquetColumn>,
  page: ParquetPage,
  from: number,
  to: number
): string | undefined => {
  for (const [i, column] of columns.entries()) {
    const values = page.columns[i] ?? []
    const target = group.columns[i] ?? []
    for (let row = from; row < to; row++) {
      const value = values[row]
      if (typeof value === "number") {
        if (column.type === "string" || !Number.isSafeInteger(value))
          return `${value} in column ${column.name}`
        target.push(BigInt(value))
      } else if (value === null) {
        if (!column.nullable) return `null in column ${column.name}`
        target.push(undefined)
      } else {
        if (value === undefined || column.type !== "string")
          return `no ${column.type} in column ${column.name}`
        target.push(value)
        group.bytes += value.length
      }
    }
  }
  group.rows += to - from
  return undefined
}

const encodingOf = (column: ParquetColumn) =>
  column.type === "string" ? ("PLAIN" as const) : ("DELTA_BINARY_PACKED" as const)

const schemaOf = (columns: ReadonlyArray<ParquetColumn>): Array<SchemaElement> => [
  { name: "schema", num_children: columns.length },
  ...columns.map(schemaElementOf)
]

const schemaElementOf = (column: ParquetColumn): SchemaElement => {
  const { name } = column
  const repetition_type = column.nullable ? ("OPTIONAL" as const) : ("REQUIRED" as const)
  switch (column.type) {
    case "string":
      return {
        name,
        repetition_type,
        type: "BYTE_ARRAY",
        converted_type: "UTF8",
        logical_type: { type: "STRING" }
      }
    case "timestamp":
      return {
        name,
        repetition_type,
        type: "INT64",
        converted_type: "TIMESTAMP_MICROS",
        logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MICROS" }
      }
    case "integer":
      return { name, repetition_type, type: "INT64" }
  }
}
