import { Context, Data, type Effect, type Stream } from "effect"
import type { ArchiveFile } from "../domain/Archive.ts"
import { reasonOf } from "../domain/reasonOf.ts"

/** A Parquet file could not be encoded or written. */
export class ParquetError extends Data.TaggedError("ParquetError")<{
  readonly path: string
  readonly cause: unknown
}> {
  override get message() {
    return `${this.path}: ${reasonOf(this.cause)}`
  }
}

/** A column of a Parquet file. */
export interface ParquetColumn {
  readonly name: string
  /** UTF-8 text, a UTC time in integer microseconds since the epoch, or a 64-bit integer. */
  readonly type: "string" | "timestamp" | "integer"
  readonly nullable: boolean
  /** For text with few distinct values. */
  readonly dictionary: boolean
  /** Minimum and maximum per row group in the footer, for readers that skip row groups. */
  readonly statistics: boolean
}

/** The values of a column: text as strings or UTF-8 bytes, or integers, exact up to 2^53. */
export type ParquetValues = ReadonlyArray<string | Uint8Array | null> | ReadonlyArray<number | null>

/** Some rows, column by column, in the order of the file's columns. */
export interface ParquetPage {
  readonly length: number
  readonly columns: ReadonlyArray<ParquetValues>
}

/** Writes rows, page by page, into a Parquet file in bounded memory. */
export class ParquetWriter extends Context.Tag("collector/ParquetWriter")<
  ParquetWriter,
  {
    /**
     * Writes the pages into `path`: first beside it under another name, synced, then renamed, so that `path` is either a
     * complete file or absent. An existing file is replaced. Pages are pulled no faster than they are written; a failure or an
     * interruption leaves nothing behind. Fails if a value does not fit its column.
     */
    readonly write: <E, R>(options: {
      readonly path: string
      readonly columns: ReadonlyArray<ParquetColumn>
      /** Key-value metadata of the file. */
      readonly metadata: Readonly<Record<string, string>>
      readonly pages: Stream.Stream<ParquetPage, E, R>
    }) => Effect.Effect<ArchiveFile, ParquetError | E, R>
  }
>() {}
