import { Schema } from "effect"
import { ArchiveFile, ArchivePlan } from "./Archive.ts"

/** The row set and the key of an archive are fixed. */
export const ArchivePlanned = Schema.TaggedStruct("ArchivePlanned", { plan: ArchivePlan })

/** The Parquet file of an archive is complete on the local disk. */
export const ArchiveWritten = Schema.TaggedStruct("ArchiveWritten", {
  archiveId: Schema.String,
  file: ArchiveFile
})

/** The store took the object. */
export const ArchiveUploaded = Schema.TaggedStruct("ArchiveUploaded", { archiveId: Schema.String })

/** The store says that it has the object with our length and SHA-256. */
export const ArchiveVerified = Schema.TaggedStruct("ArchiveVerified", { archiveId: Schema.String })

/** Rows of a verified archive left the database in this event's transaction: those up to `throughId`. */
export const ArchiveRowsPurged = Schema.TaggedStruct("ArchiveRowsPurged", {
  archiveId: Schema.String,
  throughId: Schema.Int,
  rows: Schema.Int
})

/** All rows of a verified archive have left the database. */
export const ArchivePurged = Schema.TaggedStruct("ArchivePurged", { archiveId: Schema.String })

/** A step of an archive failed; it is tried again in the next cycle. */
export const ArchiveFailed = Schema.TaggedStruct("ArchiveFailed", {
  archiveId: Schema.String,
  stage: Schema.Literal("write", "upload", "verify", "purge"),
  reason: Schema.String
})

/** What the collector did and saw. */
export const JournalEvent = Schema.Union(
  ArchivePlanned,
  ArchiveWritten,
  ArchiveUploaded,
  ArchiveVerified,
  ArchiveRowsPurged,
  ArchivePurged,
  ArchiveFailed
)
export type JournalEvent = typeof JournalEvent.Type

/** An event with its place in the journal. */
export interface JournalEntry {
  readonly id: number
  /** Microseconds since the epoch. */
  readonly at: number
  readonly event: JournalEvent
}
