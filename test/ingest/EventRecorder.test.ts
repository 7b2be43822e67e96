import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, TestClock } from "effect"
import type { Heard, ReceivingEvent } from "../../src/domain/JournalEvent.ts"
import type { Appended } from "../../src/domain/StorageAnswers.ts"
import type { StreamId } from "../../src/domain/StreamId.ts"
import { Batcher } from "../../src/ingest/Batcher.ts"
import { EventRecorder } from "../../src/ingest/EventRecorder.ts"
import { SnapshotQueue } from "../../src/ingest/SnapshotQueue.ts"
import { Storage, StorageError } from "../../src/storage/Storage.ts"
import { book, snapshot, trade } from "../support/snapshots.ts"

const nothing: Effect.Effect<void, StorageError> = Effect.void

/** A storage that can be made to fail, or to hang, and what it was told. */
const makeStorage = () => {
  const told = {
    events: [] as ReceivingEvent[],
    signs: [] as number[],
    heard: [] as Heard[],
    /** What came to storage, in order: how many events, or "batch". */
    order: [] as (number | "batch")[],
    appended: { duplicates: 0, rejected: 0 } as Omit<Appended, "inserted">,
    appends: nothing,
    records: nothing
  }
  const layer = Layer.mock(Storage, {
    append: ({ length }, heard) =>
      Effect.suspend(() =>
        Effect.map(told.appends, () => {
          told.order.push("batch")
          if (heard !== undefined) told.heard.push(heard)
          return { inserted: length - told.appended.rejected, ...told.appended }
        })
      ),
    record: (events, aliveAt, heard) =>
      Effect.suspend(() =>
        Effect.map(told.records, () => {
          told.order.push(events.length)
          told.events.push(...events)
          if (aliveAt !== null) told.signs.push(aliveAt)
          if (heard !== undefined) told.heard.push(heard)
        })
      )
  })
  return { told, layer }
}

const recording = (
  storage: Layer.Layer<Storage>,
  {
    heard = Effect.succeed({}),
    maxWaiting = 10
  }: { readonly heard?: Effect.Effect<Heard>; readonly maxWaiting?: number } = {}
) =>
  Batcher.layer({ interval: Duration.seconds(1) }).pipe(
    Layer.provideMerge(EventRecorder.layer({ heard, maxWaiting })),
    Layer.provide(storage),
    Layer.provideMerge(SnapshotQueue.layer({ capacity: 2 }))
  )

const busy = new StorageError({ reason: "database is locked" })

const gap = (at: number, stream: StreamId = book): ReceivingEvent => ({
  _tag: "GapDetected",
  at,
  stream,
  rule: "counter",
  scope: "stream",
  expected: 1,
  received: 2,
  size: 1,
  after: at - 1,
  before: at
})

const connected = (at: number, connection: string): ReceivingEvent => ({
  _tag: "StreamConnected",
  at,
  stream: trade,
  connection
})

const disconnected = (at: number, connection: string, heard = at): ReceivingEvent => ({
  _tag: "StreamDisconnected",
  at,
  stream: trade,
  connection,
  heard,
  kind: "closed",
  reason: "",
  code: null
})

describe("EventRecorder", () => {
  it.effect("journals no sign of life while a batch is under way, even if the queue is empty", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      yield* Effect.gen(function* () {
        yield* TestClock.adjust("6 seconds")
        const before = told.signs.length
        expect(before).toBeGreaterThan(0)
        const queue = yield* SnapshotQueue
        told.appends = Effect.delay(Effect.void, "20 seconds")
        queue.unsafeOffer(snapshot(1))
        yield* TestClock.adjust("15 seconds")
        expect((yield* queue.counts).depth).toBe(0)
        expect(told.signs.length).toBe(before)
        yield* TestClock.adjust("15 seconds")
        expect(told.signs.length).toBeGreaterThan(before)
      }).pipe(Effect.provide(recording(layer)))
    })
  )

  it.effect(
    "journals what was dropped in the last second, and a last sign of life once everything is committed",
    () =>
      Effect.gen(function* () {
        const { layer, told } = makeStorage()
        yield* Effect.gen(function* () {
          yield* TestClock.adjust("2500 millis")
          const queue = yield* SnapshotQueue
          for (const n of [1, 2, 3]) queue.unsafeOffer(snapshot(n))
        }).pipe(Effect.provide(recording(layer)))
        expect(told.events).toMatchObject([{ _tag: "MessagesDropped", stream: book, count: 1 }])
        expect(told.signs.at(-1)).toBe(2_500_000)
      })
  )

  it.effect("journals no last sign of life if messages could not be committed", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      const closing = yield* Effect.gen(function* () {
        yield* TestClock.adjust("2500 millis")
        told.appends = busy
        ;(yield* SnapshotQueue).unsafeOffer(snapshot(1))
      }).pipe(Effect.provide(recording(layer)), Effect.fork)
      yield* TestClock.adjust("30 seconds")
      yield* closing
      expect(told.signs.every((at) => at <= 2_500_000)).toBe(true)
      expect(told.signs.at(-1)).not.toBe(2_500_000)
    })
  )

  it.effect("claims no time after receiving ended, however long closing takes", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      let heardAt = 1
      yield* Effect.gen(function* () {
        const recorder = yield* EventRecorder
        yield* TestClock.adjust("2500 millis")
        heardAt = 2_400_000
        yield* recorder.endReceiving
        heardAt = 2_700_000
        yield* TestClock.adjust("20 seconds")
      }).pipe(Effect.provide(recording(layer, { heard: Effect.sync(() => ({ c1: heardAt })) })))
      expect(Math.max(...told.signs)).toBe(2_500_000)
      expect(told.heard.at(-1)).toEqual({ c1: 2_400_000 })
    })
  )

  it.effect("passes with every batch when connections were heard after it was taken", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      let heardAt = 1
      yield* Effect.gen(function* () {
        const queue = yield* SnapshotQueue
        yield* TestClock.adjust("6 seconds")
        told.heard = []
        for (heardAt = 2; heardAt < 4; heardAt++) {
          queue.unsafeOffer(snapshot(heardAt))
          yield* TestClock.adjust("1 seconds")
        }
        expect(told.heard).toEqual([{ c1: 2 }, { c1: 3 }])
      }).pipe(Effect.provide(recording(layer, { heard: Effect.sync(() => ({ c1: heardAt })) })))
    })
  )

  it.effect("journals the events before a batch, before the batch is committed", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      yield* Effect.gen(function* () {
        const queue = yield* SnapshotQueue
        const recorder = yield* EventRecorder
        yield* TestClock.adjust("10500 millis")
        told.order = []
        recorder.unsafeRecord(gap(1))
        queue.unsafeOffer(snapshot(1))
        // Two give way.
        for (const n of [2, 3]) queue.unsafeOffer(snapshot(n))
        told.records = busy
        yield* TestClock.adjust("3 seconds")
        expect(told.order).toEqual([])
        told.records = nothing
        yield* TestClock.adjust("10 seconds")
        expect(told.order.slice(0, 2)).toEqual([2, "batch"])
      }).pipe(Effect.provide(recording(layer)))
    })
  )

  it.effect("journals no sign of life while an event is not journalled", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      yield* Effect.gen(function* () {
        const recorder = yield* EventRecorder
        yield* TestClock.adjust("2500 millis")
        told.records = busy
        for (let at = 1; at <= 5; at++) recorder.unsafeRecord(gap(at))
        yield* TestClock.adjust("20 seconds")
        told.records = Effect.suspend(() => {
          // It dies just after this.
          told.records = busy
          return nothing
        })
        const before = told.signs.length
        yield* TestClock.adjust("2 seconds")
        expect(told.events.filter((event) => event._tag === "GapDetected").length).toBe(3)
        expect(told.signs.length).toBe(before)
        told.records = nothing
      }).pipe(Effect.provide(recording(layer, { maxWaiting: 3 })))
    })
  )

  it.effect("journals a run of gaps once a second, and before the messages around them are committed", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      yield* Effect.gen(function* () {
        const recorder = yield* EventRecorder
        const queue = yield* SnapshotQueue
        for (let at = 1; at <= 1000; at++) recorder.unsafeRecord(gap(at))
        queue.unsafeOffer(snapshot(1))
        queue.unsafeOffer(snapshot(2))
        while (!told.order.includes("batch")) yield* TestClock.adjust("10 millis")
        expect(told.order.indexOf("batch")).toBeGreaterThan(0)
        expect(told.events.at(-1)).toMatchObject({ count: 990, after: 10, before: 1000 })
        for (let second = 0; second < 60; second++) {
          for (let at = 1; at <= 1000; at++) recorder.unsafeRecord(gap(1000 * second + at))
          yield* TestClock.adjust("1 second")
        }
        expect(told.events.length).toBeLessThanOrEqual(11 + 61)
      }).pipe(Effect.provide(recording(layer, { maxWaiting: 100 })))
    })
  )

  it.effect("journals a hole where the database refused messages", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      yield* Effect.gen(function* () {
        const queue = yield* SnapshotQueue
        told.appended = {
          duplicates: 0,
          rejected: 1,
          exceptions: [{ stream: 0, duplicates: 0, rejected: 1 }]
        }
        for (const n of [1, 2]) queue.unsafeOffer(snapshot(n))
        yield* TestClock.adjust("3 seconds")
        const [first, last] = [snapshot(1).timestamp, snapshot(2).timestamp]
        expect(told.events).toEqual([{ _tag: "MessagesDropped", stream: book, count: 1, first, last }])
      }).pipe(Effect.provide(recording(layer)))
    })
  )

  it.effect("closes within 2 s even if storage hangs", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      told.records = Effect.uninterruptible(Effect.never)
      const closing = yield* Effect.fork(Effect.provide(Effect.void, recording(layer)))
      yield* TestClock.adjust("2100 millis")
      expect(closing.unsafePoll()).not.toBeNull()
    })
  )

  it.effect("leaves in doubt what it had no room for, and keeps the state of connections", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      yield* Effect.gen(function* () {
        const recorder = yield* EventRecorder
        told.records = busy
        recorder.unsafeRecord(connected(5, "old"))
        for (const at of [10, 20]) recorder.unsafeRecord(gap(at))
        yield* TestClock.adjust("3 seconds")
        for (const at of [30, 40]) recorder.unsafeRecord(gap(at))
        recorder.unsafeRecord(disconnected(50, "old"))
        recorder.unsafeRecord(connected(60, "short"))
        recorder.unsafeRecord(disconnected(70, "short"))
        recorder.unsafeRecord(connected(80, "new"))
        told.records = Effect.void
        yield* TestClock.adjust("3 seconds")
      }).pipe(Effect.provide(recording(layer, { maxWaiting: 3 })))
      expect(told.events).toEqual([
        connected(5, "old"),
        gap(10),
        gap(20),
        { _tag: "Discontinuity", at: 40, stream: book, reason: "untold", after: 29, before: 40 },
        { _tag: "Discontinuity", at: 80, stream: trade, reason: "untold", after: 50, before: 80 },
        disconnected(50, "old"),
        connected(80, "new")
      ])
    })
  )

  it.effect("leaves everything in doubt that it had no room for, if the clock was set meanwhile", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      yield* Effect.gen(function* () {
        const recorder = yield* EventRecorder
        told.records = busy
        for (const at of [10, 20, 30]) recorder.unsafeRecord(gap(at))
        recorder.unsafeRecord(disconnected(40, "old", 35))
        recorder.unsafeRecord({ _tag: "ClockStepped", at: 100, from: 50, to: 100 })
        recorder.unsafeRecord(connected(110, "new"))
        recorder.unsafeRecord({ _tag: "ClockStepped", at: 60, from: 120, to: 60 })
        recorder.unsafeRecord(gap(70))
        told.records = Effect.void
        yield* TestClock.adjust("3 seconds")
      }).pipe(Effect.provide(recording(layer, { maxWaiting: 3 })))
      expect(told.events.slice(3)).toEqual([
        { _tag: "ClockStepped", at: 35, from: 120, to: 35 },
        { _tag: "ClockStepped", at: 60, from: 35, to: 60 },
        { _tag: "Discontinuity", at: 110, stream: trade, reason: "untold", after: 35, before: 110 },
        disconnected(40, "old", 35),
        connected(110, "new"),
        { _tag: "Discontinuity", at: 70, stream: book, reason: "untold", after: 69, before: 70 }
      ])
    })
  )

  it.effect("leaves in doubt an unreadable or silent stream that it had no room for", () =>
    Effect.gen(function* () {
      const { layer, told } = makeStorage()
      const unreadable = (at: number, stream: StreamId): ReceivingEvent => {
        return { _tag: "StreamUnreadable", at, stream, reason: "compressed", after: at - 5 }
      }
      const readable = (at: number, stream: StreamId): ReceivingEvent => {
        return { _tag: "StreamReadable", at, stream, frames: 1, kept: 1, after: null }
      }
      yield* Effect.gen(function* () {
        const recorder = yield* EventRecorder
        told.records = busy
        for (const at of [10, 20, 30]) recorder.unsafeRecord(gap(at))
        recorder.unsafeRecord(readable(40, trade))
        recorder.unsafeRecord(unreadable(50, book))
        recorder.unsafeRecord(readable(60, book))
        recorder.unsafeRecord(unreadable(70, book))
        told.records = Effect.void
        yield* TestClock.adjust("3 seconds")
      }).pipe(Effect.provide(recording(layer, { maxWaiting: 3 })))
      expect(told.events.slice(3)).toEqual([
        { _tag: "Discontinuity", at: 40, stream: trade, reason: "untold", after: 40, before: 40 },
        readable(40, trade),
        { _tag: "Discontinuity", at: 70, stream: book, reason: "untold", after: 45, before: 70 },
        unreadable(70, book)
      ])
    })
  )
})
