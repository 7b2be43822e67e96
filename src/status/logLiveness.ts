import { Effect, Option, Schedule } from "effect"
import { Batcher } from "../ingest/Batcher.ts"
import { SnapshotQueue } from "../ingest/SnapshotQueue.ts"
import { Storage } from "../storage/Storage.ts"

/** Logs a line every 60 s that says that the collector is alive and what it has done since its start. */
export const logLiveness = Effect.gen(function* () {
  const { depth, dropped, received } = yield* (yield* SnapshotQueue).counts
  const { committed, duplicates, rejected } = yield* (yield* Batcher).counts
  const archiver = yield* Effect.option((yield* Storage).archiverCounts)
  yield* Effect.logInfo("alive").pipe(
    Effect.annotateLogs({
      module: "operations",
      received,
      committed,
      duplicates,
      rejected,
      dropped,
      queueDepth: depth,
      ...Option.match(archiver, {
        onNone: () => ({}),
        onSome: ({ archives, pending, rows }) => ({ archived: rows, archives, pendingArchives: pending })
      })
    })
  )
}).pipe(Effect.schedule(Schedule.spaced("60 seconds")))
