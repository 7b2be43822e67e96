import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Fiber } from "effect"
import { snapshotsOf } from "../../src/domain/SnapshotBatch.ts"
import { SnapshotQueue } from "../../src/ingest/SnapshotQueue.ts"
import { book, range, snapshot, trade } from "../support/snapshots.ts"

const rowsOf = Effect.map(
  Effect.flatMap(SnapshotQueue, (queue) => queue.takeAll),
  (batch) => Array.from(snapshotsOf(batch), (row) => ({ ...row, data: Buffer.from(row.data).toString() }))
)
const plain = (offered: ReturnType<typeof snapshot>) => ({
  ...offered,
  data: Buffer.from(offered.data).toString()
})

describe("SnapshotQueue", () => {
  it.effect("hands over everything in order, and copies the payloads", () =>
    Effect.gen(function* () {
      const queue = yield* SnapshotQueue
      const sent = range(0, 10).map((n) => snapshot(n, n % 3 === 0 ? trade : book))
      const expected = sent.map(plain)
      for (const each of sent) {
        queue.unsafeOffer(each)
        each.data.fill(0)
      }
      expect(yield* rowsOf).toEqual(expected)
      expect(yield* rowsOf).toEqual([])
    }).pipe(Effect.provide(SnapshotQueue.layer({ capacity: 100 })))
  )

  it.effect("drops the oldest when it is full, and counts them by stream", () =>
    Effect.gen(function* () {
      const queue = yield* SnapshotQueue
      for (const n of range(0, 25)) queue.unsafeOffer(snapshot(n, n < 4 ? trade : book))
      expect(yield* queue.counts).toMatchObject({ received: 25, dropped: 15, depth: 10 })
      expect(yield* queue.takeDrops).toEqual([
        { stream: trade, count: 4, first: snapshot(0).timestamp, last: snapshot(3).timestamp },
        { stream: book, count: 11, first: snapshot(4).timestamp, last: snapshot(14).timestamp }
      ])
      expect(yield* queue.takeDrops).toEqual([])
      expect(yield* rowsOf).toEqual(range(15, 25).map((n) => plain(snapshot(n))))
    }).pipe(Effect.provide(SnapshotQueue.layer({ capacity: 10 })))
  )

  it.effect("holds more at once where it may, and drops nothing to hold less", () =>
    Effect.gen(function* () {
      const queue = yield* SnapshotQueue
      for (const n of range(0, 10)) queue.unsafeOffer(snapshot(n))
      yield* queue.setCapacity(20)
      for (const n of range(10, 20)) queue.unsafeOffer(snapshot(n))
      yield* queue.setCapacity(5)
      expect(yield* queue.capacity).toBe(5)
      expect(yield* queue.counts).toMatchObject({ dropped: 0, depth: 20 })
      expect((yield* rowsOf).length).toBe(20)
      for (const n of range(20, 30)) queue.unsafeOffer(snapshot(n))
      expect(yield* queue.counts).toMatchObject({ dropped: 5, depth: 5 })
    }).pipe(Effect.provide(SnapshotQueue.layer({ capacity: 10 })))
  )

  it.effect("is bounded in bytes too", () =>
    Effect.gen(function* () {
      const queue = yield* SnapshotQueue
      for (const n of range(0, 10)) queue.unsafeOffer(snapshot(n, book, { data: new Uint8Array(3_000_000) }))
      expect((yield* queue.counts).depth).toBe(3)
    }).pipe(Effect.provide(SnapshotQueue.layer({ capacity: 100, maxBytes: 10_000_000 })))
  )

  it.effect("signals that it is half full, once for each filling", () =>
    Effect.gen(function* () {
      const queue = yield* SnapshotQueue
      const waiting = yield* Effect.fork(queue.awaitHalfFull)
      for (const n of range(0, 4)) queue.unsafeOffer(snapshot(n))
      yield* Effect.yieldNow()
      expect(waiting.unsafePoll()).toBeNull()
      queue.unsafeOffer(snapshot(4))
      yield* Fiber.join(waiting)
      yield* queue.takeAll
      const again = yield* Effect.fork(queue.awaitHalfFull)
      yield* Effect.yieldNow()
      expect(again.unsafePoll()).toBeNull()
      yield* Fiber.interrupt(again)
    }).pipe(Effect.provide(SnapshotQueue.layer({ capacity: 10 })))
  )

  it.effect("is half full by bytes too, with messages of any size", () =>
    Effect.forEach([2_000_000, 700_000, 10], (size) =>
      Effect.gen(function* () {
        const queue = yield* SnapshotQueue
        const data = new Uint8Array(size)
        for (let round = 0; round < 2; round++) {
          const waiting = yield* Effect.fork(queue.awaitHalfFull)
          const needed = Math.ceil(5_000_000 / size)
          for (let n = 0; n < needed - 1; n++) queue.unsafeOffer(snapshot(n, book, { data }))
          yield* Effect.yieldNow()
          expect(waiting.unsafePoll()).toBeNull()
          queue.unsafeOffer(snapshot(needed, book, { data }))
          yield* Fiber.join(waiting)
          expect((yield* queue.counts).dropped).toBe(0)
          yield* queue.release(yield* queue.takeAll)
        }
      }).pipe(Effect.provide(SnapshotQueue.layer({ capacity: 10_000_000, maxBytes: 10_000_000 })))
    )
  )

  it.effect("keeps nothing of an empty batch or a released one", () =>
    Effect.gen(function* () {
      const queue = yield* SnapshotQueue
      for (let i = 0; i < 1000; i++) yield* queue.takeAll
      expect((yield* queue.counts).unreleased).toBe(0)
      queue.unsafeOffer(snapshot(1))
      const batch = yield* queue.takeAll
      yield* queue.takeAll
      expect((yield* queue.counts).unreleased).toBe(1)
      yield* queue.release(batch)
      yield* queue.release(batch)
      expect((yield* queue.counts).unreleased).toBe(0)
    }).pipe(Effect.provide(SnapshotQueue.layer({ capacity: 10 })))
  )

  it("keeps the newest rows and accounts for all others, whatever the sizes", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.integer({ min: 1, max: 40 }),
        FastCheck.array(FastCheck.array(FastCheck.integer({ min: 0, max: 700_000 }), { maxLength: 30 }), {
          maxLength: 4
        }),
        (capacity, rounds) =>
          Effect.runSync(
            Effect.gen(function* () {
              const queue = yield* SnapshotQueue
              let n = 0
              let lost = 0
              for (const sizes of rounds) {
                const sent = sizes.map((size) => snapshot(n++, book, { data: new Uint8Array(size).fill(n) }))
                for (const each of sent) queue.unsafeOffer(each)
                const rows = Array.from(snapshotsOf(yield* queue.takeAll))
                const kept = sent.slice(-capacity)
                lost += sent.length - kept.length
                expect(rows.map((row) => row.exchangeSequenceId)).toEqual(
                  kept.map((row) => row.exchangeSequenceId)
                )
                for (const [i, row] of rows.entries()) {
                  expect(Buffer.compare(row.data, kept[i]?.data ?? new Uint8Array())).toBe(0)
                }
              }
              expect(yield* queue.counts).toMatchObject({ received: n, dropped: lost, depth: 0 })
            }).pipe(Effect.provide(SnapshotQueue.layer({ capacity })))
          )
      ),
      { numRuns: 50 }
    )
  })
})
