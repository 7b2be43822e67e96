import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, FastCheck, Stream } from "effect"
import { makeHeap } from "../../src/reading/heap.ts"
import { inOrder } from "../../src/reading/inOrder.ts"
import { makeOnceEach } from "../../src/reading/onceEach.ts"
import type { RecordedMessage, RecordedPage, Source } from "../../src/reading/Recorded.ts"

const stream = { exchange: "binance", symbol: "btcusdt", dataType: "trade" }

const messageAt = (timestamp: number, id = String(timestamp), text = id): RecordedMessage => ({
  stream,
  exchangeSequenceId: id,
  timestamp,
  exchangeTimestamp: null,
  data: Buffer.from(text)
})

/** A place with these pages, and how many of them were read. */
const sourceOf = (pages: ReadonlyArray<RecordedPage>, from = pages.flat()[0]?.timestamp ?? 0) => {
  const counts = { opened: 0, read: 0 }
  const source: Source<never> = {
    from,
    open: Effect.sync(() => {
      counts.opened++
      return Effect.sync(() => pages[counts.read++])
    })
  }
  return { counts, source }
}

const collect = (sources: ReadonlyArray<Source<never>>, isWanted = (_: RecordedMessage) => true) =>
  Effect.map(Stream.runCollect(inOrder(sources, isWanted)), (messages) => Chunk.toReadonlyArray(messages))

const times = FastCheck.array(FastCheck.nat(50), { maxLength: 60 }).map((all) => all.sort((a, b) => a - b))

describe("the messages of several places", () => {
  it.effect.prop(
    "come in one order of receive time, none twice and none lost",
    [FastCheck.array(FastCheck.tuple(times, FastCheck.integer({ min: 1, max: 7 })), { maxLength: 6 })],
    ([places]) =>
      Effect.gen(function* () {
        const sources = places
          .map(([all, size]) => {
            const messages = all.map((at) => messageAt(at))
            const pages = Array.from({ length: Math.ceil(messages.length / size) }, (_, i) =>
              messages.slice(i * size, (i + 1) * size)
            )
            return sourceOf(pages).source
          })
          .sort((a, b) => a.from - b.from)
        const found = yield* collect(sources)
        expect(found.map(({ timestamp }) => timestamp)).toEqual(
          places.flatMap(([all]) => all).sort((a, b) => a - b)
        )
      })
  )

  it.effect("keep the order of a place whose clock was set back", () =>
    Effect.gen(function* () {
      const steps = [10, 20, 15, 16, 30].map((at) => messageAt(at))
      const others = [5, 19, 21, 25].map((at) => messageAt(at, `o${at}`))
      const found = yield* collect([sourceOf([others]).source, sourceOf([steps]).source])
      const ids = found.map(({ exchangeSequenceId }) => exchangeSequenceId)
      expect(ids.filter((id) => !id.startsWith("o"))).toEqual(["10", "20", "15", "16", "30"])
      expect(ids.filter((id) => id.startsWith("o"))).toEqual(["o5", "o19", "o21", "o25"])
      expect(ids.indexOf("16")).toBeLessThan(ids.indexOf("o21"))
    })
  )

  it.effect("are read when the order reaches their place, a page at a time", () =>
    Effect.gen(function* () {
      const early = sourceOf([[messageAt(1)], [messageAt(2)], [messageAt(9)]])
      const late = sourceOf([[messageAt(8)]])
      yield* Stream.runDrain(
        Stream.take(
          inOrder([early.source, late.source], () => true),
          2
        )
      )
      expect(early.counts.opened).toBe(1)
      expect(late.counts.opened).toBe(0)
    })
  )

  it("come once where two have the same one, and both where only the id is the same", () => {
    const isNew = makeOnceEach()
    expect(isNew(messageAt(1, "7", "a"))).toBe(true)
    expect(isNew(messageAt(2, "7", "a"))).toBe(false)
    expect(isNew(messageAt(3, "7", "b"))).toBe(true)
    // Stored under an id of its own.
    const hash = Array.from([messageAt(4, "7", "b")])
    expect(hash.map(isNew)).toEqual([false])
    // Ten minutes later it is another one.
    expect(isNew(messageAt(700_000_000, "7", "a"))).toBe(true)
  })
})

describe("a heap", () => {
  it.prop(
    "gives its items in order, also after the least has grown",
    [FastCheck.array(FastCheck.nat(100))],
    ([all]) => {
      const heap = makeHeap<{ value: number }>((a, b) => a.value - b.value)
      for (const value of all) heap.push({ value })
      const least = heap.least()
      if (least !== undefined) {
        least.value += 50
        heap.leastGrew()
      }
      const taken: Array<number> = []
      for (let item = heap.takeLeast(); item !== undefined; item = heap.takeLeast()) taken.push(item.value)
      expect(taken).toEqual(taken.toSorted((a, b) => a - b))
      expect(taken.length).toBe(all.length)
    }
  )
})
