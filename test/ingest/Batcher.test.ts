import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, Ref, TestClock } from "effect"
import type { ReceivingEvent } from "../../src/domain/JournalEvent.ts"
import { type SnapshotBatch, snapshotsOf } from "../../src/domain/SnapshotBatch.ts"
import { Batcher } from "../../src/ingest/Batcher.ts"
import { EventRecorder } from "../../src/ingest/EventRecorder.ts"
import { SnapshotQueue } from "../../src/ingest/SnapshotQueue.ts"
import { Storage, StorageError } from "../../src/storage/Storage.ts"
import { book, newYear, range, snapshot } from "../support/snapshots.ts"

/** Runs a test with a repo that notes the ids of each batch and fails as often as `failures` says. */
const withRepo = <A, E>(
  test: (repo: {
    readonly batches: Ref.Ref<ReadonlyArray<ReadonlyArray<string>>>
    readonly failures: Ref.Ref<number>
    /** Held back, as long as it is closed. */
    readonly answers: Effect.Latch
    readonly events: Ref.Ref<ReadonlyArray<ReceivingEvent>>
    readonly layer: Layer.Layer<Batcher | SnapshotQueue>
  }) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const batches = yield* Ref.make<ReadonlyArray<ReadonlyArray<string>>>([])
    const failures = yield* Ref.make(0)
    const answers = yield* Effect.makeLatch(true)
    const events = yield* Ref.make<ReadonlyArray<ReceivingEvent>>([])
    const append = (batch: SnapshotBatch) =>
      Effect.gen(function* () {
        if ((yield* Ref.getAndUpdate(failures, (n) => n - 1)) > 0) {
          return yield* new StorageError({ reason: "database is locked" })
        }
        yield* Ref.update(batches, (all) => [
          ...all,
          Array.from(snapshotsOf(batch), (row) => row.exchangeSequenceId)
        ])
        yield* answers.await
        return { inserted: batch.length, duplicates: 0, rejected: 0 }
      })
    const record = (more: ReadonlyArray<ReceivingEvent>) =>
      Ref.update(events, (before) => [...before, ...more])
    const layer = Layer.provideMerge(
      Batcher.layer({ interval: Duration.seconds(5) }).pipe(
        Layer.provide(Layer.mock(EventRecorder, { flush: Effect.succeed({}), unsafeRecord: () => {} })),
        Layer.provide(Layer.mock(Storage, { append, record }))
      ),
      SnapshotQueue.layer({ capacity: 10 })
    )
    return yield* test({ answers, batches, events, failures, layer })
  })

const offer = (from: number, to: number) =>
  Effect.map(SnapshotQueue, (queue) => {
    for (const n of range(from, to)) queue.unsafeOffer(snapshot(n))
  })

describe("Batcher", () => {
  it.effect("commits every 5 seconds", () =>
    withRepo(({ batches, layer }) =>
      Effect.gen(function* () {
        yield* offer(0, 2)
        yield* TestClock.adjust("4999 millis")
        expect(yield* Ref.get(batches)).toEqual([])
        yield* TestClock.adjust("1 millis")
        expect(yield* Ref.get(batches)).toEqual([["0", "1"]])
        yield* offer(2, 3)
        yield* TestClock.adjust("5 seconds")
        expect(yield* Ref.get(batches)).toEqual([["0", "1"], ["2"]])
        yield* TestClock.adjust("60 seconds")
        expect(yield* Ref.get(batches)).toHaveLength(2)
        expect(yield* Effect.flatMap(Batcher, (batcher) => batcher.counts)).toMatchObject({ committed: 3 })
      }).pipe(Effect.provide(layer))
    )
  )

  it.effect("commits at once when the queue is half full", () =>
    withRepo(({ batches, layer }) =>
      Effect.gen(function* () {
        yield* TestClock.adjust("1 seconds")
        yield* offer(0, 5)
        yield* TestClock.adjust("1 millis")
        expect(yield* Ref.get(batches)).toEqual([["0", "1", "2", "3", "4"]])
      }).pipe(Effect.provide(layer))
    )
  )

  it.effect("keeps a failed batch, and retries it after 250 ms", () =>
    withRepo(({ batches, failures, layer }) =>
      Effect.gen(function* () {
        yield* Ref.set(failures, 1)
        yield* offer(0, 5)
        yield* TestClock.adjust("249 millis")
        expect(yield* Ref.get(batches)).toEqual([])
        yield* TestClock.adjust("1 millis")
        expect(yield* Ref.get(batches)).toEqual([range(0, 5).map(String)])
        expect((yield* Effect.flatMap(SnapshotQueue, (queue) => queue.counts)).unreleased).toBe(0)
      }).pipe(Effect.provide(layer))
    )
  )

  it.effect("retries after longer and longer pauses, at most the interval", () =>
    withRepo(({ batches, failures, layer }) =>
      Effect.gen(function* () {
        const left = 1_000_000
        yield* Ref.set(failures, left)
        yield* offer(0, 5)
        const attempts: Array<number> = []
        for (const seconds of [2, 60, 60]) {
          yield* TestClock.adjust(Duration.seconds(seconds))
          attempts.push(left - (yield* Ref.get(failures)))
        }
        yield* Ref.set(failures, 0)
        yield* TestClock.adjust("5 seconds")
        expect(yield* Ref.get(batches)).toEqual([range(0, 5).map(String)])
        const [early = 0, later = 0, last = 0] = attempts
        expect(early).toBeGreaterThanOrEqual(3)
        expect(last - later).toBeGreaterThanOrEqual(11)
        expect(last - later).toBeLessThanOrEqual(16)
      }).pipe(Effect.provide(layer))
    )
  )

  it.effect("takes one more batch while commits fail, and then lets the queue slide", () =>
    withRepo(({ batches, failures, layer }) =>
      Effect.gen(function* () {
        yield* Ref.set(failures, 1_000_000)
        for (const from of [0, 5, 10, 15, 20, 25]) {
          yield* offer(from, from + 5)
          yield* TestClock.adjust("1 millis")
        }
        const queue = yield* SnapshotQueue
        expect(yield* queue.counts).toMatchObject({ dropped: 10, depth: 10, unreleased: 2 })
        yield* Ref.set(failures, 0)
        yield* TestClock.adjust("5 seconds")
        expect((yield* Ref.get(batches)).flat()).toEqual([...range(0, 10), ...range(20, 30)].map(String))
        expect(yield* queue.counts).toMatchObject({ depth: 0, unreleased: 0 })
      }).pipe(Effect.provide(layer))
    )
  )

  it.effect("commits what is left when it is closed, including a batch that failed before", () =>
    withRepo(({ batches, failures, layer }) =>
      Effect.gen(function* () {
        yield* Effect.gen(function* () {
          yield* Ref.set(failures, 1)
          yield* offer(0, 2)
          yield* TestClock.adjust("5 seconds")
          yield* offer(2, 4)
        }).pipe(Effect.provide(layer))
        expect(yield* Ref.get(batches)).toEqual([
          ["0", "1"],
          ["2", "3"]
        ])
      })
    )
  )

  it.effect("sends the next batch while one is on its way, and no third", () =>
    withRepo(({ answers, batches, layer }) =>
      Effect.gen(function* () {
        yield* answers.close
        for (const from of [0, 5, 10, 15]) {
          yield* offer(from, from + 5)
          yield* TestClock.adjust("1 millis")
        }
        const sent = yield* Ref.get(batches)
        const { uncommitted } = yield* Effect.flatMap(Batcher, (batcher) => batcher.state)
        yield* answers.open
        yield* TestClock.adjust("1 millis")
        expect(sent).toEqual([range(0, 5).map(String), range(5, 10).map(String)])
        expect(uncommitted).toBe(10)
        expect((yield* Ref.get(batches))[2]).toEqual(range(10, 20).map(String))
      }).pipe(Effect.provide(layer))
    )
  )

  it.effect("retries in order if a batch fails while the next one is on its way", () =>
    withRepo(({ batches, failures, layer }) =>
      Effect.gen(function* () {
        yield* Ref.set(failures, 2)
        yield* offer(0, 5)
        yield* offer(5, 10).pipe(Effect.delay("1 millis"), Effect.fork)
        yield* TestClock.adjust("100 millis")
        expect(yield* Ref.get(batches)).toEqual([])
        yield* TestClock.adjust("10 seconds")
        expect((yield* Ref.get(batches)).flat()).toEqual(range(0, 10).map(String))
      }).pipe(Effect.provide(layer))
    )
  )

  it.effect("gives up committing after its drain timeout, and journals what is lost", () =>
    withRepo(({ batches, events, failures, layer }) =>
      Effect.gen(function* () {
        yield* Ref.set(failures, 1000)
        const closing = yield* Effect.fork(Effect.provide(offer(0, 2), layer))
        yield* TestClock.adjust("4 seconds")
        const before = closing.unsafePoll()
        yield* TestClock.adjust("2 seconds")
        yield* closing
        expect(before).toBeNull()
        expect(yield* Ref.get(batches)).toEqual([])
        expect(yield* Ref.get(events)).toMatchObject([
          { _tag: "MessagesDropped", stream: book, count: 2, first: newYear, last: newYear + 1000 }
        ])
      })
    )
  )
})
