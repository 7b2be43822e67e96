import { Context, type Effect, type Stream } from "effect"
import type { ParquetError, ParquetPage } from "./ParquetWriter.ts"

/** The contents of a Parquet file's footer. */
export interface ParquetInfo {
  readonly rows: number
  readonly rowGroups: number
  readonly columns: ReadonlyArray<{
    readonly name: string
    readonly type: "string" | "timestamp" | "integer"
    readonly nullable: boolean
  }>
  /** Key-value metadata of the file. */
  readonly metadata: Readonly<Record<string, string>>
}

/** Reads local Parquet files of flat text and 64-bit integer columns, as written by the writer and other common tools. */
export class ParquetReader extends Context.Tag("collector/ParquetReader")<
  ParquetReader,
  {
    /** Reads the footer. Fails if the file is missing, is not a Parquet file, or has columns of another kind. */
    readonly info: (path: string) => Effect.Effect<ParquetInfo, ParquetError>
    /**
     * The file's rows in order, a few hundred to some thousand at a time; memory holds one page of every column. Text comes as
     * strings, or, if requested, as UTF-8 bytes, which can go to the writer as they are.
     */
    readonly pages: (
      path: string,
      options?: {
        /** Names of the columns to read, in the order wanted in the pages; all by default. */
        readonly columns?: ReadonlyArray<string>
        /** Names of text columns whose values are returned as bytes. */
        readonly bytes?: ReadonlyArray<string>
      }
    ) => Stream.Stream<ParquetPage, ParquetError>
  }
>() {}
