import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually, receive, streamOf } from "./harness.ts"
import { type Peer, scripted } from "./scripted.ts"

const id = streamOf("binance", "btcusdt", "trade")

/** Receives these trades of Binance, one after the other, some time between them. */
const receiveTrades = (...numbers: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const { url } = yield* scripted({
      onMessage: (peer: Peer, text) => {
        peer.send({ result: null, id: JSON.parse(text).id })
        const left = [...numbers]
        peer.every(30, () => {
          const t = left.shift()
          if (t !== undefined) peer.send({ stream: "btcusdt@trade", data: { e: "trade", s: "BTCUSDT", t } })
        })
      }
    })
    const received = yield* receive({ streams: [id], endpoints: new Map([["binance", url]]) })
    yield* eventually("all trades", () => received.of(id).length === numbers.length)
    return { ...received, timeOf: (n: number) => received.of(id)[n]?.timestamp }
  })

describe.concurrent("numbers that begin anew on a connection", () => {
  it.scopedLive("are told of at once, and what is missing among them as well", () =>
    Effect.gen(function* () {
      const { eventsOf, timeOf } = yield* receiveTrades(5000, 5001, 1, 2, 5, 6)
      expect(eventsOf("Discontinuity")).toMatchObject([
        { reason: "set back", after: timeOf(1), before: timeOf(2) }
      ])
      expect(eventsOf("GapDetected")).toMatchObject([{ size: 2, after: timeOf(3), before: timeOf(4) }])
    })
  )
})

describe.concurrent("a gap behind messages that came twice", () => {
  it.scopedLive("begins with the last one that was new", () =>
    Effect.gen(function* () {
      const { eventsOf, timeOf } = yield* receiveTrades(10, 11, 12, 11, 12, 15)
      expect(eventsOf("GapDetected")).toMatchObject([{ size: 2, after: timeOf(2), before: timeOf(5) }])
    })
  )
})
