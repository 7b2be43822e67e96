import { Context, type Effect, Schema } from "effect"
import type { Heard, ReceivingEvent } from "../domain/JournalEvent.ts"
import type { LastMessage } from "../domain/LastMessage.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import type { Appended, ArchiverCounts, CycleOutcome } from "../domain/StorageAnswers.ts"
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
 * Everything that receiving needs from storage: the boundary between the two threads. Requests made before the database is open
 * wait for it; if it cannot be opened, they are interrupted.
 */
export class Storage extends Context.Tag("collector/Storage")<
  Storage,
  {
    /**
     * Commits a batch in one transaction, or nothing of it. The batch is not changed, and can be sent again. Batches that are
     * sent one after the other are committed in this order: after a failed batch, those with a higher number fail too until it is
     * committed. `heard` says when each open connection was last heard, including the batch's messages.
     */
    readonly append: (batch: SnapshotBatch, heard?: Heard) => Effect.Effect<Appended, StorageError>
    /**
     * Appends events to the journal, all or none. With `aliveAt` (microseconds) also notes that the process is alive and that
     * everything it received up to then is committed, and with `heard`, when it last heard each of its connections.
     */
    readonly record: (
      events: ReadonlyArray<ReceivingEvent>,
      aliveAt: number | null,
      heard?: Heard
    ) => Effect.Effect<void, StorageError>
    /** The last message of each stream as of the opening of the database. Must be read only once: later there is nothing. */
    readonly lastMessages: Effect.Effect<ReadonlyArray<LastMessage>, StorageError>
    /** Runs an archive cycle now, after the one that is running. */
    readonly runCycle: Effect.Effect<CycleOutcome, StorageError>
    readonly archiverCounts: Effect.Effect<ArchiverCounts, StorageError>
    /** What storage reports about itself, for the status page. */
    readonly view: Effect.Effect<StorageView, StorageError>
  }
>() {}
