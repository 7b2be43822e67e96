import { Option } from "effect"
import { type ArchiveFile, type ArchivePlan, millisOfArchiveId } from "../../domain/Archive.ts"
import type { PendingArchive } from "../../domain/ArchiveState.ts"
import type { ArchiveView } from "../../domain/StorageView.ts"

/** The view of an archive under way. */
export const pendingView = ({ file, plan, step }: PendingArchive<ArchivePlan>): ArchiveView => ({
  key: plan.key,
  step,
  at: millisOfArchiveId(plan.archiveId) * 1000,
  rows: Option.getOrNull(Option.map(file, ({ rows }) => rows)),
  bytes: Option.getOrNull(Option.map(file, ({ size }) => size)),
  seconds: null
})

/** The view of an archive that was completed at a time, milliseconds. */
export const doneView = (plan: ArchivePlan, file: ArchiveFile, millis: number): ArchiveView => ({
  key: plan.key,
  step: "purged",
  at: millis * 1000,
  rows: file.rows,
  bytes: file.size,
  seconds: (millis - millisOfArchiveId(plan.archiveId)) / 1000
})
