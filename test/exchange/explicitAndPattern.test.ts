import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { MarketType } from "../../src/domain/StreamId.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, receive, streamOf } from "./harness.ts"

const dataTypes: ReadonlyArray<MarketType> = ["orderbook", "trade"]

describe.concurrent("a market beside a pattern that matches it too", () => {
  it.scopedLive.each([
    ["binance", "btcusdt", (i: number) => `s${i}usdt`, 12],
    ["bybit", "BTCUSDT", (i: number) => `S${i}USDT`, 50],
    ["okx", "BTC-USDT", (i: number) => `S${i}-USDT`, 14],
    ["upbit", "KRW-BTC", (i: number) => `KRW-S${i}`, 12]
  ] as const)("%s: is one stream, and the others are asked for together", ([exchange, symbol, nth, most]) =>
    Effect.gen(function* () {
      const symbols = [symbol, ...Array.from({ length: 149 }, (_, i) => nth(i))]
      const simulator = yield* Simulator.make({ exchange, symbols, rate: 1 })
      const explicit = dataTypes.map((dataType) => streamOf(exchange, symbol, dataType))
      const { eventsOf, of, stream } = yield* receive({
        streams: explicit,
        patterns: [{ exchange, pattern: "*", dataTypes }],
        endpoints: new Map([[exchange, new URL(simulator.url())]]),
        restEndpoints: new Map([[exchange, new URL(simulator.httpUrl("/"))]])
      })
      yield* eventually("all streams", () => eventsOf("StreamConnected").length >= 300)
      yield* eventually("messages", () => explicit.every((id) => of(id).length > 1))
      expect((yield* stream.status).length).toBe(300)
      expect(new Set(eventsOf("StreamConnected").map(({ stream }) => JSON.stringify(stream))).size).toBe(300)
      const { connections, violations } = yield* simulator.status
      // Pings are among what is received, and so is the request for what was asked for before the list was there.
      const received = connections.map(({ received }) => received)
      expect(Math.max(...received)).toBeLessThanOrEqual(most)
      expect(violations).toEqual({})
      // A request of Upbit is the whole list, and begins what was there before anew.
      expect(eventsOf("Discontinuity").length).toBeLessThanOrEqual(exchange === "upbit" ? 2 : 0)
    })
  )
})
