import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, Ref, TestClock } from "effect"
import { type SnapshotBatch, snapshotsOf } from "../../src/domain/SnapshotBatch.ts"
import { Batcher } from "../../src/ingest/Batcher.ts"
import { SnapshotQueue } from "../../src/ingest/SnapshotQueue.ts"
import { Storage, StorageError } from "../../src/thread/Storage.ts"
import { range, snapshot } from "../support/snapshots.ts"

/** Runs a test with a repo that notes the ids of each batch and fails as often as `failures` says. */
const withRepo = <A, E>(
  test: (repo: {
    readonly batches: Ref.Ref<ReadonlyArray<ReadonlyArray<string>>>
    readonly failures: Ref.Ref<number>
    readonly layer: Layer.Layer<Batcher | SnapshotQueue>
  }) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const batches = yield* Ref.make<ReadonlyArray<ReadonlyArray<string>>>([])
    const failures = yield* Ref.make(0)
    const append = (batch: SnapshotBatch) =>
      Effect.gen(function* () {
        if ((yield* Ref.getAndUpdate(failures, (n) => n - 1)) > 0) {
          return yield* new StorageError({ reason: "database is locked" })
        }
        yield* Ref.update(batches, (all) => [
          ...all,
          Array.from(snapshotsOf(batch), (row) => row.exchangeSequenceId)
        ])
        return { inserted: batch.length, duplicates: 0, rejected: 0 }
      })
    const layer = Layer.provideMerge(
      Layer.provide(Batcher.layer({ interval: Duration.seconds(5) }), Layer.mock(Storage, { append })),
      SnapshotQueue.layer({ capacity: 10 })
    )
    return yield* test({ batches, failures, layer })
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

  it.effect("keeps a batch that fails, tries again next interval, and lets the queue slide behind it", () =>
    withRepo(({ batches, failures, layer }) =>
      Effect.gen(function* () {
        yield* Ref.set(failures, 2)
        yield* offer(0, 2)
        yield* TestClock.adjust("5 seconds")
        yield* offer(2, 20)
        yield* TestClock.adjust("5 seconds")
        expect(yield* Ref.get(batches)).toEqual([])
        yield* TestClock.adjust("5 seconds")
        expect((yield* Ref.get(batches))[0]).toEqual(["0", "1"])
        yield* TestClock.adjust("5 seconds")
        expect(yield* Ref.get(batches)).toEqual([["0", "1"], range(10, 20).map(String)])
        const queue = yield* SnapshotQueue
        expect((yield* queue.counts).dropped).toBe(8)
      }).pipe(Effect.provide(layer))
    )
  )

  it.effect("commits what is left when it is closed, the batch that failed before included", () =>
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

  it.effect("gives up committing after its time when it is closed", () =>
    withRepo(({ batches, failures, layer }) =>
      Effect.gen(function* () {
        yield* Ref.set(failures, 1000)
        const closing = yield* Effect.fork(Effect.provide(offer(0, 2), layer))
        yield* TestClock.adjust("6 seconds")
        expect(closing.unsafePoll()).toBeNull()
        yield* TestClock.adjust("2 seconds")
        yield* closing
        expect(yield* Ref.get(batches)).toEqual([])
      })
    )
  )
})
