import { Clock, Context, Duration, Effect, Fiber, Layer, Metric, Ref, Schedule } from "effect"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { commitFailures, commitSeconds } from "../operations/Metrics.ts"
import { Storage } from "../thread/Storage.ts"
import { type CommitTally, makeCommitTally } from "./CommitTally.ts"
import { SnapshotQueue } from "./SnapshotQueue.ts"

export interface BatcherCounts {
  /** Rows committed since the start. */
  readonly committed: number
  /** Messages that were stored already. */
  readonly duplicates: number
  /** Messages that the database refused by themselves. */
  readonly rejected: number
}

/** How committing goes. Times in microseconds since the epoch. */
export interface BatcherState {
  /** When the last batch was committed, and how many seconds that took; null if there was none. */
  readonly last: { readonly at: number; readonly seconds: number } | null
  /** Since when every attempt fails, and why the last one did; null while they do not. */
  readonly failing: { readonly since: number; readonly reason: string } | null
}

/**
 * Commits what waits in the queue every `interval`, and sooner when the queue is half full. A batch whose transaction
 * fails is kept and tried again after the interval, while the queue slides behind it. When it is closed it commits what
 * is left, for at most `drainTimeout`.
 */
export class Batcher extends Context.Tag("collector/Batcher")<
  Batcher,
  {
    readonly counts: Effect.Effect<BatcherCounts>
    readonly state: Effect.Effect<BatcherState>
    /** By stream. It goes on changing. */
    readonly tally: CommitTally
  }
>() {
  static readonly layer = (options: {
    readonly interval: Duration.Duration
    readonly drainTimeout?: Duration.Duration
  }) => Layer.scoped(this, make(options.interval, options.drainTimeout ?? Duration.seconds(7)))
}

const make = (interval: Duration.Duration, drainTimeout: Duration.Duration) =>
  Effect.gen(function* () {
    const queue = yield* SnapshotQueue
    const storage = yield* Storage
    const counts = yield* Ref.make<BatcherCounts>({ committed: 0, duplicates: 0, rejected: 0 })
    const state = yield* Ref.make<BatcherState>({ last: null, failing: null })
    const tally = makeCommitTally()
    yield* Effect.all([Metric.value(commitSeconds), Metric.value(commitFailures)])
    let kept: SnapshotBatch | undefined

    /** Commits the batch that was kept, else what waits. Fails only after having kept it. */
    const commit = Effect.gen(function* () {
      const batch = kept ?? (yield* queue.takeAll)
      if (batch.length === 0) return
      kept = batch
      const [duration, appended] = yield* Effect.timed(storage.append(batch))
      kept = undefined
      const seconds = Duration.toSeconds(duration)
      const at = (yield* Clock.currentTimeMillis) * 1000
      tally.add(batch, appended, at)
      yield* Metric.update(commitSeconds, seconds)
      yield* Ref.set(state, { last: { at, seconds }, failing: null })
      yield* Ref.update(counts, (before) => ({
        committed: before.committed + appended.inserted,
        duplicates: before.duplicates + appended.duplicates,
        rejected: before.rejected + appended.rejected
      }))
      yield* Effect.logDebug("batch committed").pipe(Effect.annotateLogs({ ...appended }))
    }).pipe(
      Effect.tapError((error) =>
        Effect.gen(function* () {
          const now = (yield* Clock.currentTimeMillis) * 1000
          yield* Metric.increment(commitFailures)
          yield* Ref.update(state, ({ failing, last }) => ({
            last,
            failing: { since: failing?.since ?? now, reason: error.message }
          }))
          yield* Effect.logWarning("a batch could not be committed, it is kept and tried again").pipe(
            Effect.annotateLogs({ messages: kept?.length ?? 0, reason: error.message })
          )
        })
      ),
      Effect.uninterruptible,
      Effect.annotateLogs({ module: "ingest" })
    )

    const commitUntilDone = Effect.retry(Effect.delay(commit, interval), Schedule.forever)

    const loop = Effect.raceFirst(Effect.sleep(interval), queue.awaitHalfFull).pipe(
      Effect.zipRight(commit),
      Effect.orElse(() => Effect.orDie(commitUntilDone)),
      Effect.forever
    )

    const commitAllThatIsLeft = commit.pipe(
      Effect.retry(Schedule.spaced("250 millis")),
      Effect.repeat({ until: () => Effect.map(queue.counts, ({ depth }) => depth === 0) })
    )

    const reportLoss = Effect.gen(function* () {
      const lost = (kept?.length ?? 0) + (yield* queue.counts).depth
      if (lost > 0) {
        yield* Effect.logError("messages could not be committed before the end").pipe(
          Effect.annotateLogs({ lost })
        )
      }
    })

    const fiber = yield* Effect.forkScoped(Effect.interruptible(loop))
    yield* Effect.addFinalizer(() =>
      Fiber.interrupt(fiber).pipe(
        Effect.zipRight(commitAllThatIsLeft),
        Effect.ignore,
        Effect.interruptible,
        Effect.timeoutOption(drainTimeout),
        Effect.zipRight(reportLoss),
        Effect.annotateLogs({ module: "ingest" })
      )
    )

    return Batcher.of({ counts: Ref.get(counts), state: Ref.get(state), tally })
  })
