import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Metric } from "effect"
import type { MarketStream } from "../../src/domain/StreamId.ts"
import { skippedOf } from "../../src/exchange/skipped.ts"
import { coinbase } from "../../src/exchange/venues/coinbase.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, receive, settled, simulate, streamOf, textOf } from "./harness.ts"
import { scripted } from "./scripted.ts"

const product = (symbol: string): ReadonlyArray<MarketStream> => [
  streamOf("coinbase", symbol, "orderbook"),
  streamOf("coinbase", symbol, "trade")
]
const [usdBook, usdTrades] = product("BTC-USD")
const [usdcBook, usdcTrades] = product("BTC-USDC")
const both = [...product("BTC-USD"), ...product("BTC-USDC")]

/** Frames of streams that were not asked for, since the process began. */
const notAskedFor = Effect.suspend(() =>
  Effect.map(
    Effect.flatMap(
      Effect.fromNullable(skippedOf("coinbase").get("of a stream that was not asked for")),
      Metric.value
    ),
    ({ count }) => count
  )
)

describe("coinbase: X-USD and X-USDC", () => {
  it.scopedLive("each gets every message of the one book and the one tape, on a connection of its own", () =>
    Effect.gen(function* () {
      const before = yield* notAskedFor
      const { eventsOf, simulator, ...received } = yield* simulate(coinbase, [...both, ...product("ETH-USD")])
      const all = () => both.map((stream) => received.of(stream).length)
      yield* eventually("messages of all", () => all().every((count) => count > 20))
      yield* simulator.inject({ _tag: "terminate" })
      yield* eventually("reconnects", () => eventsOf("ConnectionOpened").length === 4)
      const then = all()
      yield* eventually("messages again", () => all().every((count, i) => count > (then[i] ?? 0) + 20))
      const { connections } = yield* simulator.status
      expect(connections.map(({ subscriptions }) => subscriptions.toSorted()).toSorted()).toEqual([
        ["level2:BTC-USD", "level2:ETH-USD", "market_trades:BTC-USD", "market_trades:ETH-USD"],
        ["level2:BTC-USD", "market_trades:BTC-USD"]
      ])
      const trades = [usdTrades, usdcTrades].map((stream) =>
        stream === undefined ? [] : received.of(stream).map(({ exchangeSequenceId }) => exchangeSequenceId)
      )
      const shared = trades[0]?.filter((id) => trades[1]?.includes(id) === true) ?? []
      expect(shared.length).toBeGreaterThan(20)
      expect(eventsOf("GapDetected")).toEqual([])
      expect(yield* notAskedFor).toBe(before)
    })
  )

  it.scopedLive("each has its own messages where they are two products, whatever they are called", () =>
    Effect.gen(function* () {
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          const [, name] = /"subscribe","product_ids":\["([^"]+)"\],"channel":"level2"/.exec(text) ?? []
          if (name === undefined) return
          let number = 0
          peer.send({
            channel: "subscriptions",
            sequence_num: number++,
            events: [{ subscriptions: { level2: [name] } }]
          })
          const send = (type: string) =>
            peer.send({
              channel: "l2_data",
              sequence_num: number++,
              events: [{ type, product_id: name, updates: [] }]
            })
          send("snapshot")
          peer.every(20, () => send("update"))
        }
      })
      const streams = ["NEW-USD", "NEW-USDC"].map((symbol) => streamOf("coinbase", symbol, "orderbook"))
      const { of } = yield* receive({ streams, endpoints: new Map([["coinbase", url]]) })
      yield* eventually("messages", () => streams.every((stream) => of(stream).length > 10))
      for (const stream of streams) {
        for (const message of of(stream)) expect(textOf(message)).toContain(`"product_id":"${stream.symbol}"`)
      }
    })
  )

  it.scopedLive("a lost frame is a gap of both", () =>
    Effect.gen(function* () {
      const { eventsOf, of, simulator } = yield* simulate(coinbase, both)
      yield* eventually("messages", () => both.every((stream) => of(stream).length > 5))
      yield* simulator.inject({ _tag: "skip", stream: "market_trades:BTC-USD", count: 1 })
      yield* eventually("a gap of all", () => eventsOf("GapDetected").length === 4)
      expect(eventsOf("GapDetected").map(({ size, stream }) => [stream, size])).toEqual(
        expect.arrayContaining(both.map((stream) => [stream, 1]))
      )
    })
  )

  it.scopedLive.each(["BTC-USD", "BTC-USDC"])(
    "the second one alone gets what comes, whether the exchange answers with %s",
    (name) =>
      Effect.gen(function* () {
        const before = yield* notAskedFor
        let number = 0
        let asked = ""
        const { url } = yield* scripted({
          onMessage: (peer, text) => {
            if (!text.includes("level2")) return
            asked = text
            peer.send({
              channel: "subscriptions",
              sequence_num: number++,
              events: [{ subscriptions: { level2: [name] } }]
            })
            const book = (type: string) => ({ type, product_id: "BTC-USD", updates: [] })
            peer.send({ channel: "l2_data", sequence_num: number++, events: [book("snapshot")] })
            peer.every(20, () => {
              peer.send({ channel: "l2_data", sequence_num: number++, events: [book("update")] })
            })
          }
        })
        const id = streamOf("coinbase", "BTC-USDC", "orderbook")
        const { events, of } = yield* receive({
          streams: [id],
          endpoints: new Map([["coinbase", url]])
        })
        yield* eventually("messages", () => of(id).length > 10)
        expect(asked).toContain('"product_ids":["BTC-USDC"]')
        expect(events.map((event) => event._tag)).toEqual(["ConnectionOpened", "StreamConnected"])
        expect(yield* notAskedFor).toBe(before)
      })
  )

  it.scopedLive("one that the list of products brings later, or takes away, costs the other nothing", () =>
    Effect.gen(function* () {
      const before = yield* notAskedFor
      const simulator = yield* Simulator.make({
        exchange: "coinbase",
        symbols: ["ETH-USD", "BTC-USDC"],
        rate: 20
      })
      const received = yield* receive({
        streams: product("BTC-USDC"),
        patterns: [{ exchange: "coinbase", pattern: "*-USD", dataTypes: ["orderbook", "trade"] }],
        endpoints: new Map([["coinbase", new URL(simulator.url())]]),
        restEndpoints: new Map([["coinbase", new URL(simulator.httpUrl("/"))]]),
        refreshEvery: Duration.seconds(1)
      })
      const { eventsOf, of } = received
      const count = (stream: MarketStream | undefined) => (stream === undefined ? 0 : of(stream).length)
      yield* eventually("messages", () => count(usdcBook) > 5 && count(usdcTrades) > 5)
      expect(count(usdBook)).toBe(0)
      yield* simulator.inject({ _tag: "list", symbol: "BTC-USD" })
      yield* eventually("messages of the other", () => count(usdBook) > 20 && count(usdTrades) > 20)
      yield* simulator.inject({ _tag: "delist", symbol: "BTC-USD" })
      yield* eventually("its end", () => eventsOf("SymbolDelisted").length === 1)
      yield* settled("that it goes on", simulator, ({ connections }) => connections.length === 1)
      const then = [count(usdcBook), count(usdcTrades)]
      yield* eventually(
        "messages",
        () => count(usdcBook) > (then[0] ?? 0) + 20 && count(usdcTrades) > (then[1] ?? 0) + 20
      )
      expect(eventsOf("Discontinuity")).toEqual([])
      expect(eventsOf("GapDetected")).toEqual([])
      expect(eventsOf("StreamDisconnected").map(({ stream }) => stream.symbol)).toEqual([
        "BTC-USD",
        "BTC-USD"
      ])
      expect(yield* notAskedFor).toBe(before)
    })
  )
})
