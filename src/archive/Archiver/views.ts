import { Option } from "effect"
import { type ArchiveFile, type ArchivePlan, millisOfArchiveId } from "../../domain/Archive.ts"
import type { PendingArchive } from "../../domain/ArchiveState.ts"
import type { ArchiveView } from "../../domain/StorageView.ts"

/** How an archive that is under way is shown. */
export const pendingView = ({ file, plan, step }: PendingArchive<ArchivePlan>): ArchiveView => ({
  key: plan.key,
  step,
  at: millisOfArchiveId(plan.archiveId) * 1000,
  rows: Option.getOrNull(Option.map(file, ({ rows }) => rows)),
  bytes: Option.getOrNull(Option.map(file, ({ size }) => size)),
  seconds: null
})

/** How one is shown that was done at a time, milliseconds. */
export const doneView = (plan: ArchivePlan, file: ArchiveFile, millis: number): ArchiveView => ({
  key: plan.key,
  step: "purged",
  at: millis * 1000,
  rows: file.rows,
  bytes: file.size,
  seconds: (millis - millisOfArchiveId(plan.archiveId)) / 1000
})
