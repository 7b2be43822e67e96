import { Context, type Effect, type Stream } from "effect"
import type { ParquetError, ParquetPage } from "./ParquetWriter.ts"

/** What the footer of a Parquet file says. */
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

/** Reads local Parquet files of flat text and 64-bit integer columns, as the writer and other common tools make them. */
export class ParquetReader extends Context.Tag("collector/ParquetReader")<
  ParquetReader,
  {
    /** Reads the footer. Fails if the file is not there, no Parquet file, or has columns of another kind. */
    readonly info: (path: string) => Effect.Effect<ParquetInfo, ParquetError>
    /**
     * The file's rows in their order, a few hundred to some thousand at a time, in memory for a page of every column.
     * Text comes as strings, or as UTF-8 bytes (which may go to the writer as they are) where asked for.
     */
    readonly pages: (
      path: string,
      options?: {
        /** Names of the columns to read, in the order in which the pages are to have them; all by default. */
        readonly columns?: ReadonlyArray<string>
        /** Names of text columns whose values are wanted as bytes. */
        readonly bytes?: ReadonlyArray<string>
      }
    ) => Stream.Stream<ParquetPage, ParquetError>
  }
>() {}
