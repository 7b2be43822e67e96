import type { JournalRow } from "../storage/EventJournal.ts"
import type { ArchiveRow } from "../storage/SnapshotRepo.ts"
import type { ParquetColumn, ParquetPage } from "./ParquetWriter.ts"

/** The columns of an archive, in order. */
export const archiveColumns: ReadonlyArray<ParquetColumn> = [
  { name: "exchange", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "symbol", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "data_type", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "exchange_sequence_id", type: "string", nullable: false, dictionary: false, statistics: true },
  { name: "timestamp", type: "timestamp", nullable: false, dictionary: false, statistics: true },
  { name: "exchange_timestamp", type: "timestamp", nullable: true, dictionary: false, statistics: true },
  { name: "data", type: "string", nullable: false, dictionary: false, statistics: false }
]

/**
 * How Arrow-based readers interpret these columns, as metadata of a file: a schema message of Arrow's IPC format in base64, in
 * which exchange, symbol and data_type are dictionary<values=string, indices=int32>. That is the type pyarrow and pandas give
 * to a name in an object's key (exchange=…), and they refuse a file that has another. `test/tools/arrowSchema.py` generates it.
 */
export const arrowMetadata: Readonly<Record<string, string>> = {
  "ARROW:schema":
    "/////1ACAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAEAAAA+P3//wQAAAAHAAAA0AEAAGwBAAAcAQAA4AAAAIgAAABAAAAABAAA" +
    "AED///8AAAAFEAAAABgAAAAEAAAAAAAAAAQAAABkYXRhAAAAACD+//8QABQACAAGAAcADAAAABAAEAAAAAAAAQoQAAAAJAAAAAQA" +
    "AAAAAAAAEgAAAGV4Y2hhbmdlX3RpbWVzdGFtcAAAxP///wAAAgAEAAAAAwAAAFVUQwC8////AAAAChAAAAAkAAAABAAAAAAAAAAJ" +
    "AAAAdGltZXN0YW1wAAAACAAMAAYACAAIAAAAAAACAAQAAAADAAAAVVRDABAAFAAIAAAABwAMAAAAEAAQAAAAAAAABRAAAAAoAAAA" +
    "BAAAAAAAAAAUAAAAZXhjaGFuZ2Vfc2VxdWVuY2VfaWQAAAAAAP///2T///8AAAAFFAAAADwAAAAcAAAABAAAAAAAAAAJAAAAZGF0" +
    "YV90eXBlAAAAuP///wwAAAACAAAAAAAAAFT///8AAAABIAAAAEz///+w////AAAABRQAAABAAAAAIAAAAAQAAAAAAAAABgAAAHN5" +
    "bWJvbAAACAAQAAgABAAIAAAADAAAAAEAAAAAAAAApP///wAAAAEgAAAAnP///xAAGAAIAAAABwAMABAAFAAQAAAAAAAABRQAAABI" +
    "AAAAJAAAAAQAAAAAAAAACAAAAGV4Y2hhbmdlAAAAAAgACAAAAAQACAAAAAwAAAAIAAwACAAHAAgAAAAAAAABIAAAAAQABAAEAAAA"
}

/** The columns of an archived part of the journal: those of its table. */
export const journalColumns: ReadonlyArray<ParquetColumn> = [
  { name: "id", type: "integer", nullable: false, dictionary: false, statistics: true },
  { name: "at", type: "timestamp", nullable: false, dictionary: false, statistics: true },
  { name: "tag", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "stream", type: "string", nullable: true, dictionary: true, statistics: true },
  { name: "payload", type: "string", nullable: false, dictionary: false, statistics: false }
]

/** Makes a page of an archive from rows of a stream. */
export const archivePage = (
  stream: { readonly exchange: string; readonly symbol: string; readonly dataType: string },
  rows: ReadonlyArray<Omit<ArchiveRow, "id">>
): ParquetPage => ({
  length: rows.length,
  columns: [
    rows.map(() => stream.exchange),
    rows.map(() => stream.symbol),
    rows.map(() => stream.dataType),
    rows.map((row) => row.exchangeSequenceId),
    rows.map((row) => row.timestamp),
    rows.map((row) => row.exchangeTimestamp),
    rows.map((row) => row.data)
  ]
})

export const journalPage = (rows: ReadonlyArray<JournalRow>): ParquetPage => ({
  length: rows.length,
  columns: [
    rows.map((row) => row.id),
    rows.map((row) => row.at),
    rows.map((row) => row.tag),
    rows.map((row) => row.stream),
    rows.map((row) => row.payload)
  ]
})
