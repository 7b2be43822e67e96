import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { binance } from "../../src/exchange/venues/binance.ts"
import { okx } from "../../src/exchange/venues/okx.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, holesIn, receive, simulate, streamOf } from "./harness.ts"
import { scripted } from "./scripted.ts"

const id = streamOf("binance", "btcusdt", "trade")

describe.concurrent("a connection that was to take over and is lost", () => {
  it.scopedLive("changes nothing for streams that are live", () =>
    Effect.gen(function* () {
      let trades = 0
      let lost = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          peer.send({ result: null, id: JSON.parse(text).id })
          if (!text.includes('"SUBSCRIBE"')) return
          if (peer.id === 2) {
            setTimeout(() => {
              lost++
              peer.reset()
            }, 300)
            return
          }
          peer.every(20, () =>
            peer.send({ stream: "btcusdt@trade", data: { e: "trade", s: "BTCUSDT", t: ++trades } })
          )
          if (peer.id !== 1) return
          const notice = { stream: "!serverShutdown", data: { e: "serverShutdown", E: 1 } }
          setTimeout(() => peer.send(notice), 500)
        }
      })
      const { eventsOf, of, stream } = yield* receive({
        streams: [id],
        endpoints: new Map([["binance", url]])
      })
      yield* eventually("messages", () => of(id).length > 5)
      const states = new Set<string | undefined>()
      const isReplaced = () => eventsOf("ConnectionEnded").some(({ kind }) => kind === "replaced")
      yield* Effect.repeat(
        Effect.flatMap(stream.status, ([status]) => Effect.sync(() => states.add(status?.state))).pipe(
          Effect.zipRight(Effect.sleep("5 millis"))
        ),
        { until: isReplaced }
      )
      expect(lost).toBe(1)
      expect([...states]).toEqual(["live"])
      expect(Object.fromEntries((yield* stream.status)[0]?.reconnects ?? [])).toEqual({ replaced: 1 })
    })
  )
})

describe.concurrent("a defect in a connection", () => {
  it.scopedLive("ends its streams, until another connection has them", () =>
    Effect.gen(function* () {
      let made = 0
      const broken: Exchange = {
        ...binance,
        makeDecoder: (streams, connection) => {
          if (++made === 2) throw new Error("broken")
          return binance.makeDecoder(streams, connection)
        }
      }
      const { events, eventsOf, of, simulator } = yield* simulate(broken, [id], { rate: 50 })
      yield* eventually("messages", () => of(id).length > 20)
      yield* simulator.inject({ _tag: "shutdown" })
      yield* eventually("another connection", () => eventsOf("StreamConnected").length === 2)
      const [first, second] = eventsOf("StreamConnected")
      const [end] = eventsOf("StreamDisconnected")
      expect(end).toMatchObject({
        connection: first?.connection,
        kind: "closed",
        reason: "a defect: Error: broken"
      })
      expect(eventsOf("ConnectionEnded")).toHaveLength(1)
      const [from, to] = [first?.at ?? 0, second?.at ?? 0]
      const down = holesIn([id], events, { from, to })
        .get("binance:btcusdt:trade")
        ?.find(({ reasons }) => reasons.includes("down"))
      expect(down?.from).toBeLessThanOrEqual(end?.at ?? 0)
      expect((down?.to ?? 0) - (down?.from ?? 0)).toBeGreaterThan(500_000)
      expect((yield* simulator.status).connections).toHaveLength(1)
    })
  )
})

describe.concurrent("pings", () => {
  it.scopedLive("okx: take no places of the requests that an hour has", () =>
    Effect.gen(function* () {
      const few: Exchange = {
        ...okx,
        limits: {
          ...okx.limits,
          messages: okx.limits.messages.map((quota) => (quota.count === 480 ? { ...quota, count: 6 } : quota))
        },
        keepalive: { ...okx.keepalive, every: Duration.millis(150) }
      }
      const simulator = yield* Simulator.make({ exchange: "okx", symbols: ["BTC-USDT"], rate: 20 })
      const { of, stream } = yield* receive({
        exchanges: new Map([["okx", few]]),
        streams: [],
        patterns: [{ exchange: "okx", pattern: "*", dataTypes: ["trade"] }],
        endpoints: new Map([["okx", new URL(simulator.url())]]),
        restEndpoints: new Map([["okx", new URL(simulator.httpUrl("/"))]]),
        refreshEvery: Duration.millis(300)
      })
      yield* eventually("messages", () => of(streamOf("okx", "BTC-USDT", "trade")).length > 5)
      yield* Effect.repeat(Effect.zipRight(Effect.sleep("50 millis"), stream.connections), {
        until: ([connection]) => (connection?.pings ?? 0) > 8
      })
      yield* simulator.inject({ _tag: "list", symbol: "ETH-USDT" })
      yield* eventually("the new symbol", () => of(streamOf("okx", "ETH-USDT", "trade")).length > 2)
    })
  )
})
