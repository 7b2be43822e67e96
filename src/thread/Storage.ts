import { Context, Effect, Layer, Schema } from "effect"
import { Archiver } from "../archive/Archiver.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import type { Appended, ArchiverCounts, CycleReport } from "../domain/StorageReport.ts"
import { SnapshotRepo } from "../storage/SnapshotRepo.ts"

/** A request to storage failed: the database is locked, the disk is full, the storage thread ended, and so on. */
export class StorageError extends Schema.TaggedError<StorageError>()("StorageError", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** All that receiving needs of storage: the border between the two threads. */
export class Storage extends Context.Tag("collector/Storage")<
  Storage,
  {
    /** Commits a batch in one transaction, or nothing of it. The batch is not changed, and can be sent again. */
    readonly append: (batch: SnapshotBatch) => Effect.Effect<Appended, StorageError>
    /** One archive cycle now, after the one that is running. */
    readonly runCycle: Effect.Effect<CycleReport, StorageError>
    readonly archiverCounts: Effect.Effect<ArchiverCounts, StorageError>
  }
>() {
  /** Storage on the calling thread. */
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const archiver = yield* Archiver
      return Storage.of({
        append: (batch) =>
          Effect.mapError(repo.append(batch), (error) => new StorageError({ reason: error.message })),
        runCycle: archiver.runCycle,
        archiverCounts: archiver.counts
      })
    })
  )
}
