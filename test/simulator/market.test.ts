import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { patience } from "../support/pace.ts"
import { connect, isData, members, numberIn, withoutTimes } from "./client.ts"

describe("the simulated market", () => {
  it.scopedLive("is the same for all connections", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 100 })
      const streams = "btcusdt@trade/btcusdt@depth20@100ms/btcusdt@depth@100ms"
      const one = yield* connect(simulator.url(`/stream?streams=${streams}`))
      const other = yield* connect(simulator.url(`/stream?streams=${streams}`))
      const theirs = yield* other.receive(60)
      const offset = one.frames.indexOf(theirs[0] ?? "")
      expect(offset).toBeGreaterThanOrEqual(0)
      const ours = yield* one.receive(offset + theirs.length)
      expect(ours.slice(offset)).toEqual(theirs)
    })
  )

  it.scopedLive("counts trades by one and spans all book updates by diffs", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 200 })
      const client = yield* connect(
        simulator.url("/stream?streams=btcusdt@trade/btcusdt@depth20@100ms/btcusdt@depth@100ms")
      )
      yield* client.receive(300)
      const trades = client.frames
        .filter((frame) => frame.includes("@trade"))
        .map((frame) => numberIn(frame, "t"))
      trades.slice(1).forEach((id, i) => expect(id).toBe((trades[i] ?? 0) + 1))
      const diffs = client.frames.filter((frame) => frame.includes("@depth@"))
      diffs.slice(1).forEach((frame, i) => {
        expect(numberIn(frame, "U")).toBe(numberIn(diffs[i] ?? "", "u") + 1)
        expect(numberIn(frame, "u")).toBeGreaterThanOrEqual(numberIn(frame, "U"))
      })
      const books = client.frames.filter((frame) => frame.includes("@depth20"))
      books.slice(1).forEach((frame, i) => {
        expect(numberIn(frame, "lastUpdateId")).toBeGreaterThan(numberIn(books[i] ?? "", "lastUpdateId"))
      })
    })
  )

  it.scopedLive("has diffs that lead from one whole book to the next", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 500, symbols: ["xrpusdt"] })
      const client = yield* connect(simulator.url("/ws/xrpusdt@depth20/xrpusdt@depth"))
      yield* client.receive(1_000)
      const first = client.frames.find((frame) => frame.includes("lastUpdateId")) ?? ""
      const bids = new Map(levels(first, "bids"))
      const asks = new Map(levels(first, "asks"))
      let id = numberIn(first, "lastUpdateId")
      let compared = 0
      for (const frame of client.frames.slice(client.frames.indexOf(first) + 1)) {
        if (frame.includes("lastUpdateId")) {
          const rest = client.frames.slice(client.frames.indexOf(frame))
          const next = rest.find((other) => other.includes('"U":'))
          if (next === undefined) break
          for (const [side, name, changed] of [
            [bids, "bids", "b"],
            [asks, "asks", "a"]
          ] as const) {
            const touched = new Map(levels(next, changed))
            for (const [price, quantity] of levels(frame, name)) {
              expect(side.get(price) === quantity || touched.has(price)).toBe(true)
            }
          }
          continue
        }
        if (numberIn(frame, "u") <= id) continue
        expect(numberIn(frame, "U")).toBeLessThanOrEqual(id + 1)
        change(bids, levels(frame, "b"))
        change(asks, levels(frame, "a"))
        id = numberIn(frame, "u")
        expect(bids.size).toBe(20)
        expect(asks.size).toBe(20)
        expect(Math.max(...[...bids.keys()].map(Number))).toBeLessThan(
          Math.min(...[...asks.keys()].map(Number))
        )
        compared++
      }
      expect(compared).toBeGreaterThan(100)
    })
  )

  it.scopedLive("keeps prices apart and in order", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: "max", symbols: ["btcusdt", "otherusdt"] })
      const client = yield* connect(simulator.url("/stream?streams=btcusdt@depth20/otherusdt@depth10"))
      const frames = yield* client.receive(20_000)
      for (const frame of frames.filter((_, i) => i % 97 === 0)) {
        const payload = frame.replace(/^.*"data":(.*)\}$/, "$1")
        const bids = levels(payload, "bids").map(([price]) => Number(price))
        const asks = levels(payload, "asks").map(([price]) => Number(price))
        expect(bids).toEqual([...new Set(bids)].sort((a, b) => b - a))
        expect(asks).toEqual([...new Set(asks)].sort((a, b) => a - b))
        expect(asks[0]).toBeGreaterThan(bids[0] ?? Number.POSITIVE_INFINITY)
      }
    })
  )

  it.scopedLive("goes on while nobody listens, or waits if told to", () =>
    Effect.gen(function* () {
      for (const idle of ["advance", "wait"] as const) {
        const simulator = yield* Simulator.make({ rate: 200, idle })
        const path = "/ws/btcusdt@trade"
        const before = yield* connect(simulator.url(path))
        yield* before.receive(5)
        yield* before.close
        yield* before.awaitClose
        const last = numberIn(before.frames.at(-1) ?? "", "t")
        yield* Effect.sleep("300 millis")
        const after = yield* connect(simulator.url(path))
        const [first = ""] = yield* after.receive(1)
        if (idle === "wait") {
          // What was on its way when the client closed is lost to it, but was sent.
          expect(numberIn(first, "t")).toBeGreaterThan(last)
          expect(numberIn(first, "t")).toBeLessThan(last + 30)
        } else {
          expect(numberIn(first, "t")).toBeGreaterThan(last + 30)
        }
      }
    })
  )

  it.scopedLive("repeats itself for the same seed", () =>
    Effect.gen(function* () {
      const run = (seed: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const simulator = yield* Simulator.make({ rate: 1000, seed })
            const client = yield* connect(simulator.url())
            const params = ["btcusdt@trade", "btcusdt@depth20@100ms", "ethusdt@depth@100ms"]
            yield* client.send({ method: "SUBSCRIBE", params, id: 1 })
            return (yield* client.receive(200, isData)).map(withoutTimes)
          })
        )
      const first = yield* run(7)
      expect(yield* run(7)).toEqual(first)
      expect(yield* run(8)).not.toEqual(first)
    })
  )

  it.scopedLive("keeps roughly to its rate, per stream", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 500 })
      const client = yield* connect(simulator.url("/stream?streams=btcusdt@trade/ethusdt@trade"))
      yield* client.receive(1)
      const started = performance.now()
      const before = client.frames.length
      yield* Effect.sleep("1500 millis")
      const perSecond = ((client.frames.length - before) / (performance.now() - started)) * 1000
      expect(perSecond).toBeGreaterThan(500)
      expect(perSecond).toBeLessThan(2_000)
      const { streams } = yield* simulator.status
      const counts = Object.values(streams).map((stream) => stream.messages)
      expect(Math.abs((counts[0] ?? 0) - (counts[1] ?? 0))).toBeLessThanOrEqual(2)
    })
  )

  it.scopedLive("goes as fast as it is read, and waits for a slow reader", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: "max", bookBytes: 1_900 })
      const client = yield* connect(simulator.url("/ws/btcusdt@depth20@100ms"))
      const frames = yield* client.receive(20_000)
      expect(frames[0]?.length).toBeGreaterThanOrEqual(1_900)
      expect(members(frames[0] ?? "{}").lastUpdateId).toBeTypeOf("number")
      yield* client.pause
      const sentSoFar = Effect.map(simulator.status, ({ connections }) => connections[0]?.frames ?? 0)
      const sent = yield* standsStill(sentSoFar)
      yield* client.resume
      yield* client.receive(sent + 1_000)
    })
  )
})

/** Waits until it has been the same for 300 ms, and returns it. */
const standsStill = (count: Effect.Effect<number>): Effect.Effect<number> =>
  Effect.gen(function* () {
    let last = -1
    let now = yield* count
    while (now !== last) {
      yield* Effect.sleep("300 millis")
      last = now
      now = yield* count
    }
    return now
  }).pipe(
    Effect.timeoutFail({ duration: patience, onTimeout: () => new Error("it never stood still") }),
    Effect.orDie
  )

const levels = (frame: string, side: string): Array<readonly [string, string]> =>
  Array.from(
    (new RegExp(`"${side}":\\[((?:\\["[^\\]]*"\\],?)*)\\]`).exec(frame)?.[1] ?? "").matchAll(
      /\["([^"]+)","([^"]+)"\]/g
    ),
    ([, price = "", quantity = ""]) => [price, quantity] as const
  )

const change = (book: Map<string, string>, changes: Array<readonly [string, string]>): void => {
  for (const [price, quantity] of changes) {
    if (Number(quantity) === 0) book.delete(price)
    else book.set(price, quantity)
  }
}
