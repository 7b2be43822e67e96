import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { ExchangeEvent } from "../../src/domain/ExchangeEvent.ts"
import { type MarketStream, streamKey } from "../../src/domain/StreamId.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import { protocols } from "../../src/simulator/protocols.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, holesIn, receive, settled, streamOf } from "./harness.ts"

const isOf =
  (stream: MarketStream) =>
  (event: ExchangeEvent): boolean =>
    "stream" in event && streamKey(event.stream) === streamKey(stream)

describe.concurrent("other markets, while it receives", () => {
  it.scopedLive.each(Array.from(exchanges.keys()))("%s: streams that stay notice nothing", (name) =>
    Effect.gen(function* () {
      const [first = "", second = "", third = ""] = protocols.get(name)?.symbols ?? []
      const [stays, goes, comes] = [first, second, third].map((symbol) => streamOf(name, symbol, "trade"))
      if (stays === undefined || goes === undefined || comes === undefined) return
      const simulator = yield* Simulator.make({ exchange: name, rate: 20 })
      const { events, eventsOf, of, stream } = yield* receive({
        streams: [stays, goes],
        endpoints: new Map([[name, new URL(simulator.url())]])
      })
      yield* eventually("messages", () => [stays, goes].every((stream) => of(stream).length > 5))
      const from = Date.now() * 1000
      const before = yield* stream.connections
      const change = yield* stream.change({ streams: [comes, stays], patterns: [] })
      expect(change).toEqual({ added: [comes], named: [comes], matched: [], ended: [goes] })
      yield* eventually("messages of what was added", () => of(comes).length > 5)
      yield* settled("that it was unsubscribed", simulator, ({ connections }) =>
        connections.every(({ subscriptions }) => subscriptions.length === 2)
      )
      yield* Effect.sleep("300 millis")
      const last = of(goes).length
      const known = of(stays).length
      yield* eventually("more messages", () => of(stays).length > known + 5)
      expect(of(goes).length).toBe(last)
      expect((yield* stream.connections).map(({ connection }) => connection)).toEqual(
        before.map(({ connection }) => connection)
      )
      expect((yield* simulator.status).accepted).toBe(1)
      expect(eventsOf("ConnectionEnded")).toEqual([])
      expect(events.filter(isOf(stays)).map(({ _tag }) => _tag)).toEqual(["StreamConnected"])
      expect(eventsOf("StreamDisconnected")).toMatchObject([{ stream: goes, kind: "empty" }])
      const holes = holesIn([stays], events, { from, to: of(stays).at(-1)?.timestamp ?? 0 })
      expect(holes.get(streamKey(stays))).toEqual([])
      expect((yield* stream.status).map(streamKey)).toEqual([stays, comes].map(streamKey))

      // It comes back on the connection that is open.
      yield* stream.change({ streams: [comes, stays, goes], patterns: [] })
      yield* eventually("messages of what came back", () => of(goes).length > last + 5)
      expect(events.filter(isOf(stays)).map(({ _tag }) => _tag)).toEqual(["StreamConnected"])
      expect((yield* simulator.status).accepted).toBe(1)
    })
  )

  it.scopedLive("an exchange is added, ends with its last stream, and comes back", () =>
    Effect.gen(function* () {
      const binance = yield* Simulator.make({ exchange: "binance", rate: 20 })
      const okx = yield* Simulator.make({ exchange: "okx", rate: 20 })
      const btc = streamOf("binance", "btcusdt", "trade")
      const eth = streamOf("okx", "ETH-USDT", "trade")
      const { events, eventsOf, of, stream } = yield* receive({
        streams: [btc],
        endpoints: new Map([
          ["binance", new URL(binance.url())],
          ["okx", new URL(okx.url())]
        ])
      })
      yield* eventually("messages", () => of(btc).length > 5)
      for (const times of [1, 2]) {
        const known = of(eth).length
        yield* stream.change({ streams: [btc, eth], patterns: [] })
        yield* eventually("messages of another exchange", () => of(eth).length > known + 5)
        yield* stream.change({ streams: [btc], patterns: [] })
        yield* settled("its end", okx, ({ connections }) => connections.length === 0)
        yield* eventually("that it was told", () => eventsOf("ConnectionEnded").length === times)
        expect(eventsOf("ConnectionEnded").at(-1)).toMatchObject({ exchange: "okx", kind: "empty" })
        expect((yield* stream.status).map(streamKey)).toEqual([streamKey(btc)])
      }
      // Without a pause in between, nothing is lost of the wish.
      yield* stream.change({ streams: [btc, eth], patterns: [] })
      yield* eventually("its connection", () => eventsOf("ConnectionOpened").length === 4)
      yield* stream.change({ streams: [btc], patterns: [] })
      yield* stream.change({ streams: [btc, eth], patterns: [] })
      const known = of(eth).length
      yield* eventually("messages again", () => of(eth).length > known + 5)
      expect(events.filter(isOf(btc)).map(({ _tag }) => _tag)).toEqual(["StreamConnected"])
    })
  )

  it.scopedLive("patterns are added, changed and ended, and names that they match stay", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ exchange: "okx", rate: 20 })
      const [btc, eth, sol] = ["BTC-USDT", "ETH-USDT", "SOL-USDT"].map((symbol) =>
        streamOf("okx", symbol, "trade")
      )
      if (btc === undefined || eth === undefined || sol === undefined) return
      const { events, eventsOf, of, stream } = yield* receive({
        streams: [btc],
        endpoints: new Map([["okx", new URL(simulator.url())]]),
        restEndpoints: new Map([["okx", new URL(simulator.httpUrl("/"))]]),
        refreshEvery: Duration.hours(1)
      })
      const pattern = (pattern: string) => ({ exchange: "okx", pattern, dataTypes: ["trade" as const] })
      const recorded = Effect.map(stream.status, (all) => all.map(streamKey).toSorted())
      yield* eventually("messages", () => of(btc).length > 5)
      const toAll = yield* stream.change({ streams: [], patterns: [pattern("*-USDT")] })
      expect(toAll).toEqual({ added: [], named: [], matched: [btc], ended: [] })
      yield* eventually("messages of all", () => [eth, sol].every((stream) => of(stream).length > 5))
      const toSome = yield* stream.change({ streams: [eth], patterns: [pattern("B*")] })
      expect(toSome).toMatchObject({ added: [], named: [eth], matched: [] })
      expect(toSome.ended.map(streamKey)).toContain(streamKey(sol))
      expect(toSome.ended.map(streamKey)).not.toContain(streamKey(btc))
      expect(yield* recorded).toEqual([btc, eth].map(streamKey))
      expect(yield* stream.change({ streams: [eth], patterns: [pattern("B*")] })).toEqual({
        added: [],
        named: [],
        matched: [],
        ended: []
      })
      const toNone = yield* stream.change({ streams: [eth], patterns: [] })
      expect(toNone).toEqual({ added: [], named: [], matched: [], ended: [btc] })
      expect(yield* recorded).toEqual([streamKey(eth)])
      expect((yield* simulator.status).accepted).toBe(1)
      expect(eventsOf("SymbolListed")).toEqual([])
      expect(eventsOf("SymbolDelisted")).toEqual([])
      expect(events.filter(isOf(eth)).map(({ _tag }) => _tag)).toEqual(["StreamConnected"])
    })
  )
})
