import { Schema } from "effect"
import { ArchiveFile, ArchivePlan } from "./Archive.ts"

/** The outcome of a batch. */
export const Appended = Schema.Struct({
  inserted: Schema.Int,
  /** Rows that were already stored. */
  duplicates: Schema.Int,
  /** Rows that the database refused individually. */
  rejected: Schema.Int,
  /** The streams with duplicates or rejected rows, by their position in the batch; absent if all rows were inserted. */
  exceptions: Schema.optionalWith(
    Schema.Array(Schema.Struct({ stream: Schema.Int, duplicates: Schema.Int, rejected: Schema.Int })),
    { exact: true }
  )
})
export type Appended = typeof Appended.Type

/** What one archive cycle did, including a cycle that failed half-way. */
export const CycleOutcome = Schema.Struct({
  archived: Schema.Array(Schema.Struct({ plan: ArchivePlan, file: ArchiveFile })),
  /** `what`: the key of an object, of rows or of the journal, or "the cycle". */
  failed: Schema.Array(Schema.Struct({ what: Schema.String, reason: Schema.String }))
})
export type CycleOutcome = typeof CycleOutcome.Type

/** Archiving totals since storage was started. */
export const ArchiverCounts = Schema.Struct({
  /** Archives whose rows have left the database. */
  archives: Schema.Int,
  rows: Schema.Int,
  /** Size of their objects, bytes. */
  bytes: Schema.Int,
  /** Archives that are planned and not yet purged. */
  pending: Schema.Int
})
export type ArchiverCounts = typeof ArchiverCounts.Type
