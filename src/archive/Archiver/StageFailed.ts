import { Data, Metric, Option } from "effect"
import type { ArchiveFile } from "../../domain/Archive.ts"
import type { DatabaseError } from "../../storage/DatabaseError.ts"
import type { RowsDiffer } from "../../storage/SnapshotRepo.ts"
import type { ArchiveStoreError, StoredObject } from "../ArchiveStore.ts"
import { archiveFailures } from "../metrics.ts"
import type { ParquetError } from "../ParquetWriter.ts"

export const stages = ["write", "upload", "verify", "purge"] as const

type Stage = (typeof stages)[number]

/** A step of an archive failed. */
export class StageFailed extends Data.TaggedError("StageFailed")<{
  readonly stage: Stage
  readonly reason: string
  /** A request to the store failed. */
  readonly isOfStore: boolean
  /** The store has another object under the key, and no row of the archive has been deleted. */
  readonly isBlocked?: boolean
}> {
  override get message() {
    return this.reason
  }
}

export const failedAt =
  (stage: Stage) =>
  (error: StageFailed | ParquetError | DatabaseError | ArchiveStoreError | RowsDiffer): StageFailed =>
    error._tag === "StageFailed"
      ? error
      : new StageFailed({
          stage,
          reason: error.message,
          isOfStore: error._tag === "ArchiveStoreError" && error.kind !== "Conflict"
        })

export const failuresAt = (stage: Stage) => Metric.tagged(archiveFailures, "stage", stage)

/** Why the stored object may not be our file; undefined if it is. */
export const doubtAbout = (stored: Option.Option<StoredObject>, file: ArchiveFile): string | undefined => {
  if (Option.isNone(stored)) return "the store does not have the object that it took"
  if (stored.value.size !== file.size) {
    return `the store's object has ${stored.value.size} bytes, the file ${file.size}`
  }
  const sha256 = Option.getOrUndefined(stored.value.sha256)
  if (sha256 !== file.sha256)
    return `the store's object has the SHA-256 ${sha256 ?? "unknown"}, the file ${file.sha256}`
  return undefined
}
