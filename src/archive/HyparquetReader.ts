import { Effect, Layer, Stream } from "effect"
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  type SchemaElement
} from "hyparquet"
import { type ParquetInfo, ParquetReader } from "./ParquetReader.ts"
import { ParquetError, type ParquetPage, type ParquetValues } from "./ParquetWriter.ts"
import { loadZstd } from "./zstd.ts"

/** Reads one row group at a time on the calling thread. Fails if zstd is not available. */
export const layer = Layer.effect(
  ParquetReader,
  Effect.map(loadZstd, ({ decompress }) =>
    ParquetReader.of({
      info: (path) => Effect.map(open(path), ({ metadata }) => infoOf(metadata)),
      pages: (path, options = {}) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const { file, metadata } = yield* open(path)
            const names = infoOf(metadata).columns.map((column) => column.name)
            const columns = options.columns ?? names
            const bytes = new Set(options.bytes)
            const ranges = rowGroupsOf(metadata)
            return Stream.fromIterable(ranges).pipe(
              Stream.mapEffect(({ rowEnd, rowStart }) =>
                Effect.tryPromise({
                  try: () =>
                    parquetReadObjects({
                      file,
                      metadata,
                      rowStart,
                      rowEnd,
                      columns: [...columns],
                      compressors: { ZSTD: decompress },
                      parsers: {
                        timestampFromMicroseconds: Number,
                        stringFromBytes: (value: Uint8Array) => value
                      }
                    }),
                  catch: (cause) => new ParquetError({ path, cause })
                })
              ),
              Stream.map(
                (rows): ParquetPage => ({
                  length: rows.length,
                  columns: columns.map((name) => valuesOf(rows, name, bytes.has(name)))
                })
              ),
              Stream.rechunk(1)
            )
          })
        )
    })
  )
)

const open = (
  path: string
): Effect.Effect<{ readonly file: AsyncBuffer; readonly metadata: FileMetaData }, ParquetError> =>
  Effect.tryPromise({
    try: async () => {
      const file = await asyncBufferFromFile(path)
      return { file, metadata: await parquetMetadataAsync(file) }
    },
    catch: (cause) => new ParquetError({ path, cause })
  }).pipe(
    Effect.filterOrElse(
      ({ metadata }) => metadata.schema.slice(1).every(isKnown),
      () => new ParquetError({ path, cause: "it has columns that are neither text nor 64-bit integers" })
    )
  )

const isKnown = ({ num_children, type }: SchemaElement): boolean =>
  num_children === undefined && (type === "BYTE_ARRAY" || type === "INT64")

const infoOf = (metadata: FileMetaData): ParquetInfo => ({
  rows: Number(metadata.num_rows),
  rowGroups: metadata.row_groups.length,
  columns: metadata.schema.slice(1).map((element) => ({
    name: element.name,
    type: typeOf(element),
    nullable: element.repetition_type !== "REQUIRED"
  })),
  metadata: Object.fromEntries(
    (metadata.key_value_metadata ?? []).map(({ key, value }) => [key, value ?? ""])
  )
})

const typeOf = (element: SchemaElement): ParquetInfo["columns"][number]["type"] => {
  if (element.type === "BYTE_ARRAY") return "string"
  return element.logical_type?.type === "TIMESTAMP" ? "timestamp" : "integer"
}

const rowGroupsOf = (
  metadata: FileMetaData
): ReadonlyArray<{ readonly rowStart: number; readonly rowEnd: number }> => {
  let rowStart = 0
  return metadata.row_groups.map((group) => {
    const range = { rowStart, rowEnd: rowStart + Number(group.num_rows) }
    rowStart = range.rowEnd
    return range
  })
}

const decoder = new TextDecoder()

/** One column of the rows. Integers become numbers; text becomes strings unless its bytes are requested. */
const valuesOf = (
  rows: ReadonlyArray<Record<string, unknown>>,
  name: string,
  bytes: boolean
): ParquetValues => {
  const texts: Array<string | Uint8Array | null> = []
  const numbers: Array<number | null> = []
  for (const row of rows) {
    const value = row[name]
    if (value instanceof Uint8Array) texts.push(bytes ? value : decoder.decode(value))
    else if (typeof value === "bigint" || typeof value === "number") numbers.push(Number(value))
    else {
      texts.push(null)
      numbers.push(null)
    }
  }
  return numbers.length === rows.length ? numbers : texts
}
