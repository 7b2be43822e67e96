import { SqlClient } from "@effect/sql"
import { Effect, Layer } from "effect"
import { Archiver } from "../archive/Archiver.ts"
import type { Heard } from "../domain/JournalEvent.ts"
import { metricsOfThread } from "../domain/metricsOfThread.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { DatabaseError } from "../storage/DatabaseError.ts"
import { DiskReserve, DiskReserved } from "../storage/DiskReserve.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import { lastMessages } from "../storage/LastMessages.ts"
import { heartbeat, noteHeard } from "../storage/ProcessLife.ts"
import { SnapshotRepo } from "../storage/SnapshotRepo.ts"
import { Storage, StorageError } from "../storage/Storage.ts"
import { StorageFaults } from "../storage/StorageFaults.ts"
import { transaction } from "../storage/transaction.ts"

/** Storage on the calling thread. */
export const layer = Layer.effect(
  Storage,
  Effect.gen(function* () {
    const repo = yield* SnapshotRepo
    const journal = yield* EventJournal
    const sql = yield* SqlClient.SqlClient
    const archiver = yield* Archiver
    const faults = yield* StorageFaults
    const reserve = yield* DiskReserve
    const oneAtATime = yield* Effect.makeSemaphore(1)
    let failed = Number.POSITIVE_INFINITY
    let last = yield* lastMessages

    const append = Effect.fn("storage.append")(
      function* (batch: SnapshotBatch, heard?: Heard) {
        if (batch.number > failed) {
          return yield* new StorageError({ reason: "an earlier batch is not committed yet" })
        }
        yield* reserve.admitBatch(batch)
        return yield* repo.append(batch, heard)
      },
      (appending, batch) =>
        appending.pipe(
          Effect.mapError(({ message: reason }) => new StorageError({ reason })),
          Effect.tapBoth({
            onFailure: () => Effect.sync(() => (failed = Math.min(failed, batch.number))),
            onSuccess: () =>
              Effect.sync(() => {
                if (batch.number === failed) failed = Number.POSITIVE_INFINITY
              })
          }),
          oneAtATime.withPermits(1)
        )
    )

    return Storage.of({
      append,
      record: (events, aliveAt, heard) =>
        journal.appendAll(events).pipe(
          Effect.zipRight(aliveAt === null ? Effect.void : Effect.asVoid(heartbeat(sql, aliveAt))),
          Effect.zipRight(heard === undefined ? Effect.void : Effect.asVoid(noteHeard(sql, heard))),
          transaction(sql),
          (write) => (events.length === 0 ? write : Effect.zipRight(reserve.admitEvents, write)),
          Effect.mapError((error) =>
            error instanceof DiskReserved
              ? new StorageError({ reason: error.message })
              : new StorageError({ reason: DatabaseError.from(error).message })
          )
        ),
      lastMessages: Effect.sync(() => {
        const asked = last
        last = []
        return asked
      }),
      runCycle: archiver.runCycle,
      archiverCounts: archiver.counts,
      view: Effect.all([archiver.counts, archiver.recent, faults.all, metricsOfThread]).pipe(
        Effect.map(([counts, recent, faults, families]) => ({ ...counts, recent, faults, families }))
      )
    })
  })
)
