import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer, Schema } from "effect"
import { Archiver } from "../archive/Archiver.ts"
import type { ReceivingEvent } from "../domain/JournalEvent.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import type { Appended, ArchiverCounts, CycleReport } from "../domain/StorageReport.ts"
import * as Metrics from "../operations/Metrics.ts"
import type { StorageView } from "../operations/StorageView.ts"
import { transaction } from "../storage/Database.ts"
import { DatabaseError } from "../storage/DatabaseError.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import { signOfLife } from "../storage/ProcessLife.ts"
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
    /**
     * Commits a batch in one transaction, or nothing of it. The batch is not changed, and can be sent again. Batches that
     * are sent one after the other are committed in this order: after one that failed, those with a higher number fail
     * too until it is committed.
     */
    readonly append: (batch: SnapshotBatch) => Effect.Effect<Appended, StorageError>
    /**
     * Appends events to the journal, all or none; and with `aliveAt` (microseconds) says that the process lives, and that
     * what it received up to then is committed.
     */
    readonly record: (
      events: ReadonlyArray<ReceivingEvent>,
      aliveAt: number | null
    ) => Effect.Effect<void, StorageError>
    /** One archive cycle now, after the one that is running. */
    readonly runCycle: Effect.Effect<CycleReport, StorageError>
    readonly archiverCounts: Effect.Effect<ArchiverCounts, StorageError>
    /** What it says about itself, for the status page. */
    readonly view: Effect.Effect<StorageView, StorageError>
  }
>() {
  /** Storage on the calling thread. */
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const journal = yield* EventJournal
      const sql = yield* SqlClient.SqlClient
      const archiver = yield* Archiver
      const oneAtATime = yield* Effect.makeSemaphore(1)
      let failed = Number.POSITIVE_INFINITY

      const append = (batch: SnapshotBatch) =>
        Effect.suspend(() =>
          batch.number > failed
            ? new StorageError({ reason: "an earlier batch is not committed yet" })
            : Effect.mapError(repo.append(batch), ({ message: reason }) => new StorageError({ reason }))
        ).pipe(
          Effect.tapBoth({
            onFailure: () => Effect.sync(() => (failed = Math.min(failed, batch.number))),
            onSuccess: () =>
              Effect.sync(() => {
                if (batch.number === failed) failed = Number.POSITIVE_INFINITY
              })
          }),
          oneAtATime.withPermits(1)
        )

      return Storage.of({
        append,
        record: (events, aliveAt) =>
          journal.append(...events).pipe(
            Effect.zipRight(aliveAt === null ? Effect.void : signOfLife(sql, aliveAt)),
            transaction(sql),
            Effect.mapError((error) => new StorageError({ reason: DatabaseError.from(error).message }))
          ),
        runCycle: archiver.runCycle,
        archiverCounts: archiver.counts,
        view: Effect.all([archiver.counts, archiver.recent, Metrics.families]).pipe(
          Effect.map(([counts, recent, families]) => ({ ...counts, recent, families }))
        )
      })
    })
  )
}
