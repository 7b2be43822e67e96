import type { StreamId } from "../../domain/StreamId.ts"
import type { JournalRow } from "../../storage/EventJournal.ts"
import type { ArchiveRow } from "../../storage/SnapshotRepo.ts"
import type { ParquetColumn, ParquetPage } from "../ParquetWriter.ts"

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

/** The columns of an archived part of the journal: those of its table. */
export const journalColumns: ReadonlyArray<ParquetColumn> = [
  { name: "id", type: "integer", nullable: false, dictionary: false, statistics: true },
  { name: "at", type: "timestamp", nullable: false, dictionary: false, statistics: true },
  { name: "tag", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "stream", type: "string", nullable: true, dictionary: true, statistics: true },
  { name: "payload", type: "string", nullable: false, dictionary: false, statistics: false }
]

export const archivePage = (stream: StreamId, rows: ReadonlyArray<ArchiveRow>): ParquetPage => ({
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
