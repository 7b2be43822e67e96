import { Schema } from "effect"
import { MetricFamily } from "./MetricFamily.ts"

/** An archive that is done or under way. */
export const ArchiveView = Schema.Struct({
  key: Schema.String,
  /** The last step that is done: planned, written, uploaded, verified, or purged once everything is done. */
  step: Schema.String,
  /** When it last changed, microseconds since the epoch. */
  at: Schema.Number,
  rows: Schema.NullOr(Schema.Int),
  bytes: Schema.NullOr(Schema.Int),
  /** From plan to end, seconds; null while it is under way. */
  seconds: Schema.NullOr(Schema.Number)
})
export type ArchiveView = typeof ArchiveView.Type

/** A problem with storage. */
export const StorageFault = Schema.Struct({
  /** What it does to /health, for a minute from `at` on. */
  severity: Schema.Literal("unhealthy", "degraded"),
  reason: Schema.String,
  /** When it was last observed, microseconds since the epoch. */
  at: Schema.Number
})
export type StorageFault = typeof StorageFault.Type

/** What storage reports about itself. Counts are since it was started. */
export const StorageView = Schema.Struct({
  archives: Schema.Int,
  rows: Schema.Int,
  bytes: Schema.Int,
  pending: Schema.Int,
  /** The archives under way, followed by the latest finished ones. */
  recent: Schema.Array(ArchiveView),
  faults: Schema.Array(StorageFault),
  /** The metrics of its thread. */
  families: Schema.Array(MetricFamily)
})
export type StorageView = typeof StorageView.Type
