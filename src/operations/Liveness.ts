import { Effect, Schedule } from "effect"
import { Archiver } from "../archive/Archiver.ts"
import { Batcher } from "../ingest/Batcher.ts"
import { SnapshotQueue } from "../ingest/SnapshotQueue.ts"

/** A line every 60 s that says that the collector lives, and what it has done since its start. */
export const reportLiveness = Effect.gen(function* () {
  const { depth, dropped, received } = yield* (yield* SnapshotQueue).counts
  const { committed, duplicates, rejected } = yield* (yield* Batcher).counts
  const archiver = yield* (yield* Archiver).counts
  yield* Effect.logInfo("alive").pipe(
    Effect.annotateLogs({
      module: "operations",
      received,
      committed,
      duplicates,
      rejected,
      dropped,
      queueDepth: depth,
      archived: archiver.rows,
      archives: archiver.archives,
      pendingArchives: archiver.pending
    })
  )
}).pipe(Effect.schedule(Schedule.spaced("60 seconds")))
