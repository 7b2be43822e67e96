import { Context, type Effect, Schema } from "effect"
import type { Heard, ReceivingEvent } from "../domain/JournalEvent.ts"
import type { LastMessage } from "../domain/LastMessage.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import type { Appended, ArchiverCounts, CycleReport } from "../domain/StorageReport.ts"
import type { StorageView } from "../domain/StorageView.ts"

/** A request to storage failed: the database is locked, the disk is full, the storage thread ended, and so on. */
export class StorageError extends Schema.TaggedError<StorageError>()("StorageError", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/**
 * All that receiving needs of storage: the border between the two threads. What is asked before the database is open waits
 * for it; if it cannot be opened, that is interrupted.
 */
export class Storage extends Context.Tag("collector/Storage")<
  Storage,
  {
    /**
     * Commits a batch in one transaction, or nothing of it. The batch is not changed, and can be sent again. Batches that
     * are sent one after the other are committed in this order: after one that failed, those with a higher number fail
     * too until it is committed. `heard` says when each open connection was last heard, the batch's messages included.
     */
    readonly append: (batch: SnapshotBatch, heard?: Heard) => Effect.Effect<Appended, StorageError>
    /**
     * Appends events to the journal, all or none; and with `aliveAt` (microseconds) says that the process lives, and that
     * what it received up to then is committed; and with `heard`, when it last heard each of its connections.
     */
    readonly record: (
      events: ReadonlyArray<ReceivingEvent>,
      aliveAt: number | null,
      heard?: Heard
    ) => Effect.Effect<void, StorageError>
    /** The last message of each stream as of the opening of the database. To be asked once: later there is nothing. */
    readonly lastMessages: Effect.Effect<ReadonlyArray<LastMessage>, StorageError>
    /** One archive cycle now, after the one that is running. */
    readonly runCycle: Effect.Effect<CycleReport, StorageError>
    readonly archiverCounts: Effect.Effect<ArchiverCounts, StorageError>
    /** What it says about itself, for the status page. */
    readonly view: Effect.Effect<StorageView, StorageError>
  }
>() {}
