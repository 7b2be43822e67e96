import { Effect } from "effect"
import { streamKey } from "../domain/StreamId.ts"
import { SnapshotQueue } from "./SnapshotQueue.ts"

/** Takes what was dropped from the queue since the last call, and logs a warning with the count for each stream. */
export const takeDrops = Effect.gen(function* () {
  const drops = yield* (yield* SnapshotQueue).takeDrops
  if (drops.length > 0) {
    yield* Effect.logWarning("queue full, dropped oldest messages").pipe(
      Effect.annotateLogs({
        module: "ingest",
        dropped: drops.reduce((sum, drop) => sum + drop.count, 0),
        ...Object.fromEntries(
          drops.slice(0, maxStreamsNamed).map((drop) => [streamKey(drop.stream), drop.count])
        )
      })
    )
  }
  return drops
})

const maxStreamsNamed = 20
