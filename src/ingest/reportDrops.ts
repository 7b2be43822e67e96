import { Effect, Schedule } from "effect"
import { streamKey } from "../domain/StreamId.ts"
import { EventRecorder } from "./EventRecorder.ts"
import { SnapshotQueue } from "./SnapshotQueue.ts"

/** Warns of what gave way in the queue, once a second at most, with the count of each stream; and journals it. */
export const reportDrops = Effect.gen(function* () {
  const recorder = yield* EventRecorder
  const drops = yield* (yield* SnapshotQueue).takeDrops
  if (drops.length === 0) return
  recorder.unsafeRecordDrops(drops)
  yield* Effect.logWarning("the queue was full, the oldest messages gave way").pipe(
    Effect.annotateLogs({
      module: "ingest",
      dropped: drops.reduce((sum, drop) => sum + drop.count, 0),
      ...Object.fromEntries(
        drops.slice(0, maxStreamsNamed).map((drop) => [streamKey(drop.stream), drop.count])
      )
    })
  )
}).pipe(Effect.schedule(Schedule.spaced("1 second")))

const maxStreamsNamed = 20
