import { Schema } from "effect"
import { MetricFamily } from "./MetricFamily.ts"

/** An archive that is done, or under way. */
export const ArchiveView = Schema.Struct({
  key: Schema.String,
  /** The last step that is done: planned, written, uploaded, verified, or purged, when all is done. */
  step: Schema.String,
  /** When it was last touched, microseconds since the epoch. */
  at: Schema.Number,
  rows: Schema.NullOr(Schema.Int),
  bytes: Schema.NullOr(Schema.Int),
  /** From the plan to the end; null while it is under way. */
  seconds: Schema.NullOr(Schema.Number)
})
export type ArchiveView = typeof ArchiveView.Type

/** Something that is wrong with storage. */
export const StorageFault = Schema.Struct({
  /** What it does to /health, for a minute from `at` on. */
  severity: Schema.Literal("unhealthy", "degraded"),
  reason: Schema.String,
  /** When that was last so, microseconds since the epoch. */
  at: Schema.Number
})
export type StorageFault = typeof StorageFault.Type

/** What storage says about itself. Counts are since it was started. */
export const StorageView = Schema.Struct({
  archives: Schema.Int,
  rows: Schema.Int,
  bytes: Schema.Int,
  pending: Schema.Int,
  /** Those that are under way, and then the latest of those that are done. */
  recent: Schema.Array(ArchiveView),
  faults: Schema.Array(StorageFault),
  /** The metrics of its thread. */
  families: Schema.Array(MetricFamily)
})
export type StorageView = typeof StorageView.Type
