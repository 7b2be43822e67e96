import { Context, Data, type Effect, type Stream } from "effect"
import type { ArchiveFile } from "../domain/Archive.ts"

/** A Parquet file could not be encoded or written. */
export class ParquetError extends Data.TaggedError("ParquetError")<{
  readonly path: string
  readonly cause: unknown
}> {
  override get message() {
    return `${this.path}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** A column of a Parquet file: UTF-8 text, or a UTC time in integer microseconds since the epoch. */
export interface ParquetColumn {
  readonly name: string
  readonly type: "string" | "timestamp" | "integer"
  readonly nullable: boolean
  /** For columns with few distinct values. */
  readonly dictionary: boolean
  /** Minimum and maximum per row group in the footer, for readers that skip. */
  readonly statistics: boolean
}

/**
 * Some rows, column by column in the order of the file's columns. Text is given as strings or as UTF-8 bytes.
 */
export interface ParquetPage {
  readonly length: number
  readonly columns: ReadonlyArray<ReadonlyArray<string | Uint8Array | null> | ReadonlyArray<number | null>>
}

/** Writes rows, page by page, into a Parquet file in bounded memory. */
export class ParquetWriter extends Context.Tag("collector/ParquetWriter")<
  ParquetWriter,
  {
    /**
     * Writes the pages into `path`: first beside it under another name, synced, then renamed, so that `path` is a whole
     * file or not there. An existing file is replaced.
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
