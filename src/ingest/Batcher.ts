import { Clock, Context, Duration, Effect, Fiber, Layer, Metric, Ref } from "effect"
import { batching, committingAgain, committingAtTheEnd } from "../cadences.ts"
import { type Heard, MessagesDropped, type ReceivingEvent } from "../domain/JournalEvent.ts"
import { type SnapshotBatch, snapshotsOf } from "../domain/SnapshotBatch.ts"
import type { Appended } from "../domain/StorageAnswers.ts"
import type { StreamId } from "../domain/StreamId.ts"
import { Storage, type StorageError } from "../storage/Storage.ts"
import { supervise } from "../supervise.ts"
import { type CommitTally, makeCommitTally } from "./CommitTally.ts"
import { EventRecorder } from "./EventRecorder.ts"
import { commitFailures, commitSeconds } from "./metrics.ts"
import { type Drop, SnapshotQueue } from "./SnapshotQueue.ts"

export interface BatcherCounts {
  /** Rows committed since the start. */
  readonly committed: number
  /** Messages that were already stored. */
  readonly duplicates: number
  /** Messages that the database refused individually. */
  readonly rejected: number
}

/** The state of committing. Times are in microseconds since the epoch. */
export interface BatcherState {
  /** When the last batch was committed, and how many seconds that took; null if there was none. */
  readonly last: { readonly at: number; readonly seconds: number } | null
  /** Since when every attempt has failed, and why the last one did; null otherwise. */
  readonly failing: { readonly since: number; readonly reason: string } | null
  /** Messages that were taken from the queue and are not committed yet. */
  readonly uncommitted: number
}

/**
 * Commits what is queued every `interval`, and earlier when the queue is half full. The next batch is sent while one is on its
 * way, so that storage need not wait for a busy receiver; batches are committed in order. A batch whose transaction fails is kept
 * and retried 250 ms later, then after longer and longer pauses up to the interval. Meanwhile a second batch is taken from a
 * queue that is half full, and only then does the queue slide. Before each batch the EventRecorder journals the events it
 * received before that batch was taken. When closed, it commits what is left, for at most `drainTimeout`, and journals what it
 * could not commit.
 */
export class Batcher extends Context.Tag("collector/Batcher")<
  Batcher,
  {
    readonly counts: Effect.Effect<BatcherCounts>
    readonly state: Effect.Effect<BatcherState>
    /** Counts by stream. The object is updated in place. */
    readonly tally: CommitTally
  }
>() {
  static readonly layer = (options: {
    readonly interval: Duration.Duration
    readonly drainTimeout?: Duration.Duration
  }) => Layer.scoped(this, make(options.interval, options.drainTimeout ?? Duration.seconds(5)))
}

/** Maximum number of batches on their way to storage. */
const maxOnTheWay = 2

/** Pause before a batch is retried after its first failure. */
const firstPause = Duration.millis(250)

const make = (interval: Duration.Duration, drainTimeout: Duration.Duration) =>
  Effect.gen(function* () {
    const queue = yield* SnapshotQueue
    const storage = yield* Storage
    const recorder = yield* EventRecorder
    const scope = yield* Effect.scope
    const counts = yield* Ref.make<BatcherCounts>({ committed: 0, duplicates: 0, rejected: 0 })
    const state = yield* Ref.make<Omit<BatcherState, "uncommitted">>({ last: null, failing: null })
    const tally = makeCommitTally()
    yield* Effect.all([Metric.value(commitSeconds), Metric.value(commitFailures)])
    /** What storage has not confirmed, oldest first. */
    let kept: ReadonlyArray<SnapshotBatch> = []
    const onTheWay = new Set<Fiber.Fiber<void>>()
    const room = yield* Effect.makeLatch(true)
    const failed = yield* Effect.makeLatch(false)
    let hasFailed = false

    /** Commits a batch that is kept. */
    const commit = (batch: SnapshotBatch, heard: Heard) =>
      Effect.gen(function* () {
        const [duration, appended] = yield* Effect.timed(storage.append(batch, heard))
        const rejected = rejectedOf(batch, appended)
        if (rejected.length > 0) yield* storage.record(rejected, null)
        kept = kept.filter((other) => other !== batch)
        yield* room.open
        const seconds = Duration.toSeconds(duration)
        const at = (yield* Clock.currentTimeMillis) * 1000
        tally.add(batch, appended, at)
        yield* queue.release(batch)
        yield* Metric.update(commitSeconds, seconds)
        yield* Ref.set(state, { last: { at, seconds }, failing: null })
        yield* Ref.update(counts, (before) => ({
          committed: before.committed + appended.inserted,
          duplicates: before.duplicates + appended.duplicates,
          rejected: before.rejected + appended.rejected
        }))
        yield* Effect.logDebug("batch committed").pipe(Effect.annotateLogs({ ...appended }))
      }).pipe(
        Effect.withSpan("batch.commit", { root: true, attributes: { messages: batch.length } }),
        Effect.uninterruptible
      )

    const noteFailure = ({ message: reason }: StorageError) =>
      Effect.gen(function* () {
        const now = (yield* Clock.currentTimeMillis) * 1000
        yield* Metric.increment(commitFailures)
        yield* Ref.update(state, ({ failing, last }) => ({
          last,
          failing: { since: failing?.since ?? now, reason }
        }))
        yield* Effect.logWarning("could not commit batch, keeping it and retrying").pipe(
          Effect.annotateLogs({ messages: uncommitted(), reason })
        )
      })

    const uncommitted = () => kept.reduce((sum, { length }) => sum + length, 0)

    const take = Effect.map(queue.takeAll, (batch) => {
      if (batch.length > 0) kept = [...kept, batch]
      return batch
    }).pipe(Effect.uninterruptible)

    /** Reports only the first failure: the batches behind it fail with it. */
    const fail = (error: StorageError) =>
      Effect.suspend(() => {
        if (hasFailed) return Effect.void
        hasFailed = true
        return Effect.zipRight(failed.open, noteFailure(error))
      })

    /** Takes what is queued and sends it to storage. */
    const send = Effect.gen(function* () {
      const batch = yield* take
      if (batch.length === 0) return
      if (kept.length >= maxOnTheWay) yield* room.close
      const heard = yield* recorder.flush
      const fiber = yield* commit(batch, heard).pipe(Effect.catchAll(fail), Effect.forkIn(scope))
      onTheWay.add(fiber)
      fiber.addObserver(() => onTheWay.delete(fiber))
    }).pipe(Effect.catchAll(fail), Effect.uninterruptible)

    /** Commits the kept batches, one after the other. */
    const commitKept = Effect.gen(function* () {
      while (true) {
        const batch = kept[0]
        if (batch === undefined) return
        yield* Effect.flatMap(recorder.flush, (heard) => commit(batch, heard)).pipe(
          Effect.tapError(noteFailure)
        )
      }
    })

    /** While nothing can be committed, as many batches are kept as may otherwise be on their way. */
    const takeHalves = Effect.gen(function* () {
      while (kept.length < maxOnTheWay) {
        yield* queue.awaitHalfFull
        yield* take
      }
    })

    const recover = Effect.gen(function* () {
      yield* Fiber.awaitAll([...onTheWay])
      yield* Effect.sleep(Duration.min(firstPause, interval)).pipe(
        Effect.zipRight(Effect.retry(commitKept, committingAgain(interval))),
        Effect.raceFirst(Effect.zipRight(takeHalves, Effect.never)),
        Effect.orDie
      )
      hasFailed = false
      yield* failed.close
    })

    const loop = batching(interval, queue.awaitHalfFull).pipe(
      Effect.zipRight(room.await),
      Effect.raceFirst(failed.await),
      Effect.zipRight(Effect.suspend(() => (hasFailed ? recover : send))),
      Effect.forever
    )

    const commitAllThatIsLeft = Effect.gen(function* () {
      yield* Fiber.awaitAll([...onTheWay])
      do {
        yield* Effect.orDie(Effect.retry(commitKept, committingAtTheEnd))
      } while ((yield* take).length > 0)
    })

    const journalLoss = Effect.gen(function* () {
      yield* take
      const lost = uncommitted()
      if (lost === 0) return
      yield* Effect.logError("could not commit all messages before shutdown").pipe(
        Effect.annotateLogs({ lost })
      )
      yield* storage
        .record(
          dropsOf(kept).map((drop) => MessagesDropped.make(drop)),
          null
        )
        .pipe(Effect.disconnect, Effect.interruptible, Effect.timeout("1 second"), Effect.ignore)
    })

    const fiber = yield* Effect.forkScoped(
      Effect.interruptible(supervise("committing")(loop)).pipe(Effect.annotateLogs({ module: "ingest" }))
    )
    yield* Effect.addFinalizer(() =>
      Fiber.interrupt(fiber).pipe(
        Effect.zipRight(
          commitAllThatIsLeft.pipe(
            Effect.disconnect,
            Effect.interruptible,
            Effect.timeoutOption(drainTimeout)
          )
        ),
        Effect.zipRight(journalLoss),
        Effect.annotateLogs({ module: "ingest" }),
        // A storage that never opened interrupts its requests: there is nothing to journal.
        Effect.exit
      )
    )

    return Batcher.of({
      counts: Ref.get(counts),
      state: Effect.map(Ref.get(state), (now) => ({ ...now, uncommitted: uncommitted() })),
      tally
    })
  })

/**
 * Returns the events for messages that the database refused individually: holes of our own, somewhere among those of their
 * stream.
 */
const rejectedOf = (batch: SnapshotBatch, { exceptions = [] }: Appended): ReadonlyArray<ReceivingEvent> => {
  const refused = exceptions.filter(({ rejected }) => rejected > 0)
  if (refused.length === 0) return []
  const drops = dropsOf([batch])
  return refused.flatMap(({ rejected, stream }) =>
    drops
      .filter((drop) => drop.stream === batch.streams[stream])
      .map((drop) => MessagesDropped.make({ ...drop, count: rejected }))
  )
}

const dropsOf = (batches: ReadonlyArray<SnapshotBatch>): ReadonlyArray<Drop> => {
  const drops = new Map<StreamId, Drop>()
  for (const { stream, timestamp } of batches.flatMap((batch) => [...snapshotsOf(batch)])) {
    const { count, first } = drops.get(stream) ?? { count: 0, first: timestamp }
    drops.set(stream, { stream, count: count + 1, first, last: timestamp })
  }
  return [...drops.values()]
}
