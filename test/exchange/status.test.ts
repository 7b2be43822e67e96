import { createServer } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, FastCheck } from "effect"
import type { ExchangeEvent } from "../../src/domain/ExchangeEvent.ts"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { makeStatusWatch } from "../../src/exchange/StatusWatch.ts"
import type { StatusFeed } from "../../src/exchange/statusFeed.ts"
import { binance } from "../../src/exchange/venues/binance.ts"
import { bybit } from "../../src/exchange/venues/bybit.ts"
import { coinbase } from "../../src/exchange/venues/coinbase.ts"
import { kraken } from "../../src/exchange/venues/kraken.ts"
import { okx } from "../../src/exchange/venues/okx.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, holesIn, receive, settled, simulate, streamOf } from "./harness.ts"
import { scripted } from "./scripted.ts"

const krakenStatus = (system: unknown) => ({
  channel: "status",
  type: "update",
  data: [{ version: "2.0.10", system, api_version: "v2", connection_id: 1 }]
})

const second = 1_000_000

describe("what exchange status changed", () => {
  const watched = () => {
    const events: Array<ExchangeEvent> = []
    const watch = makeStatusWatch("kraken", (event) => events.push(event))
    const said = () =>
      events.map((event) => (event._tag === "ExchangeStatus" ? [event.at / second, event.status] : []))
    return { watch, events, said }
  }

  it("is told when it changes, however many connections say it", () => {
    const { said, watch } = watched()
    for (let n = 0; n < 10; n++) watch.hear({ status: "online" }, n * second)
    for (let n = 10; n < 20; n++) watch.hear({ status: "maintenance" }, n * second)
    watch.hear({ status: "maintenance", text: "until noon" }, 20 * second)
    watch.hear({ status: "online" }, 30 * second)
    expect(said()).toEqual([
      [0, "online"],
      [10, "maintenance"],
      [20, "maintenance"],
      [30, "online"]
    ])
  })

  it("is bounded, and ends with the latest", () => {
    const { events, said, watch } = watched()
    for (let n = 0; n < 100_001; n++) watch.hear({ status: n % 2 === 0 ? "online" : "post_only" }, n)
    expect(events.length).toBe(60)
    expect(said().at(-1)?.[1]).toBe("post_only")
    watch.tick(3600 * second - 1)
    expect(events.length).toBe(60)
    watch.tick(3601 * second)
    expect(said().at(-1)?.[1]).toBe("online")
    watch.tick(7300 * second)
    expect(events.length).toBe(61)
    for (let n = 0; n < 1000; n++) watch.hear({ status: "ongoing", subject: `m${n}` }, 9000 * second + n)
    expect(events.length).toBe(121)
  })

  it("is not told of what is as usual, unless it was not before", () => {
    const { said, watch } = watched()
    const usual = { status: "online", isUsual: true }
    for (const subject of ["A", "B"]) watch.hear({ ...usual, subject }, 0)
    watch.hear({ status: "offline", subject: "A" }, second)
    for (const subject of ["A", "B", "A"]) watch.hear({ ...usual, subject }, 2 * second)
    watch.hear({ status: "offline", subject: "A" }, 3 * second)
    expect(said()).toEqual([
      [1, "offline"],
      [2, "online"],
      [3, "offline"]
    ])
  })

  it("an announcement is told once, and again when it comes again later", () => {
    const { said, watch } = watched()
    const notice = { status: "notice", text: "64008", isPassing: true }
    for (const time of [0, 1, 500, 1000, 2000]) watch.hear(notice, time * second)
    expect(said()).toEqual([
      [0, "notice"],
      [2000, "notice"]
    ])
  })

  it("is printed as it is, without what a terminal would obey", () => {
    const { events, watch } = watched()
    watch.hear({ status: "main\u001b[31mtenance\n", text: "x".repeat(100_000) }, 1)
    expect(events).toMatchObject([{ status: "main [31mtenance ", text: "x".repeat(500) }])
  })
})

describe("kraken's status", () => {
  const streams = ["BTC/USD", "ETH/USD"].flatMap((symbol) => [
    streamOf("kraken", symbol, "trade"),
    streamOf("kraken", symbol, "orderbook")
  ])

  it.scopedLive("is told when it changes, and makes no hole nor closes one", () =>
    Effect.gen(function* () {
      const { events, eventsOf, of, simulator } = yield* simulate(kraken, streams)
      yield* eventually("messages", () => streams.every((stream) => of(stream).length > 5))
      yield* simulator.inject({ _tag: "announce", status: "maintenance" })
      yield* eventually("it", () => eventsOf("ExchangeStatus").length === 2)
      yield* simulator.inject({ _tag: "terminate" })
      yield* eventually("a reconnect", () => eventsOf("ConnectionOpened").length === 2)
      yield* simulator.inject({ _tag: "announce", status: "online" })
      yield* eventually("the end of it", () => eventsOf("ExchangeStatus").length === 3)
      yield* Effect.sleep("300 millis")
      expect(eventsOf("ExchangeStatus").map(({ exchange, status }) => [exchange, status])).toEqual([
        ["kraken", "online"],
        ["kraken", "maintenance"],
        ["kraken", "online"]
      ])
      const window = { from: Number(events[0]?.at), to: Date.now() * 1000 }
      const others = events.filter((event) => event._tag !== "ExchangeStatus")
      expect(holesIn(streams, events, window)).toEqual(holesIn(streams, others, window))
    })
  )

  it.scopedLive("in a frame that cannot be read means nothing, and leaves nothing in doubt", () =>
    Effect.gen(function* () {
      let id = 0
      const { url } = yield* scripted({
        onOpen: (peer) => {
          for (const frame of [{ channel: "status" }, krakenStatus(7), krakenStatus("limit_only")])
            peer.send(frame)
        },
        onMessage: (peer, text) => {
          if (!text.includes('"subscribe"')) return
          const { req_id } = JSON.parse(text)
          const result = { channel: "trade", symbol: "BTC/USD" }
          peer.send({ method: "subscribe", success: true, req_id, result })
          peer.every(20, () => {
            const trade = { symbol: "BTC/USD", trade_id: ++id, timestamp: "2026-08-22T17:30:53.3Z" }
            peer.send({ channel: "trade", type: "update", data: [trade] })
          })
        }
      })
      const stream = streamOf("kraken", "BTC/USD", "trade")
      const { events, of } = yield* receive({ streams: [stream], endpoints: new Map([["kraken", url]]) })
      yield* eventually("messages", () => of(stream).length > 5)
      expect(events.map((event) => event._tag).toSorted()).toEqual([
        "ConnectionOpened",
        "ExchangeStatus",
        "StreamConnected"
      ])
      expect(events).toContainEqual(expect.objectContaining({ status: "limit_only" }))
    })
  )
})

describe("okx's maintenance", () => {
  /** Asks at once. */
  const asking = { ...okx, opening: okx.later ?? [], later: [] }
  const stream = streamOf("okx", "BTC-USDT", "trade")

  it.scopedLive("is asked for, and each one is told by itself", () =>
    Effect.gen(function* () {
      const { eventsOf, of, simulator } = yield* simulate(asking, [stream])
      yield* eventually("messages", () => of(stream).length > 5)
      expect(eventsOf("ExchangeStatus")).toEqual([])
      yield* simulator.inject({ _tag: "announce", status: "ongoing", text: "Spot system upgrade" })
      yield* simulator.inject({ _tag: "announce", status: "scheduled", text: "Options" })
      yield* eventually("both", () => eventsOf("ExchangeStatus").length === 2)
      expect(eventsOf("ExchangeStatus")).toMatchObject([
        { status: "ongoing", subject: "Spot system upgrade", text: expect.stringContaining("2026-12-31T") },
        { status: "scheduled", subject: "Options" }
      ])
      expect(eventsOf("SubscriptionRefused")).toEqual([])
    })
  )

  it.scopedLive("a server that does not have it costs nothing", () =>
    Effect.gen(function* () {
      let id = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          if (!text.includes('"op"')) return
          const { args, id: request } = JSON.parse(text)
          const [arg] = args
          if (arg.channel === "status") {
            const msg = "Wrong URL or channel:status,instId:undefined doesn't exist."
            peer.send({ event: "error", msg, code: "60018" })
            return
          }
          peer.send({ id: request, event: "subscribe", arg })
          peer.every(20, () =>
            peer.send({ arg, data: [{ tradeId: String(++id), count: "1", ts: "1784849123233" }] })
          )
        }
      })
      const { events, of } = yield* receive({
        exchanges: new Map([["okx", asking]]),
        streams: [stream],
        endpoints: new Map([["okx", url]])
      })
      yield* eventually("messages", () => of(stream).length > 5)
      expect(events.map((event) => event._tag)).toEqual(["ConnectionOpened", "StreamConnected"])
    })
  )
})

describe("a connection for what exchange status changed", () => {
  /** Made at once, and anew after 100 ms. */
  const soon = (exchange: Exchange, feed: Partial<StatusFeed> = {}): Exchange =>
    exchange.statusFeed === undefined
      ? exchange
      : { ...exchange, statusFeed: { ...exchange.statusFeed, after: Duration.millis(100), ...feed } }
  const dataEvents = ["ConnectionOpened", "StreamConnected"]

  it.scopedLive("of Bybit: each maintenance is told by itself", () =>
    Effect.gen(function* () {
      const stream = streamOf("bybit", "BTCUSDT", "trade")
      const { events, eventsOf, of, simulator } = yield* simulate(soon(bybit), [stream])
      yield* eventually("messages", () => of(stream).length > 5)
      yield* settled("its subscription", simulator, ({ connections }) =>
        connections.some(({ received, target }) => target.includes("/misc/status") && received > 1)
      )
      expect(eventsOf("ExchangeStatus")).toEqual([])
      yield* simulator.inject({ _tag: "announce", status: "ongoing", text: "Spot upgrade" })
      yield* simulator.inject({ _tag: "announce", status: "completed", text: "Spot upgrade" })
      yield* eventually("both", () => eventsOf("ExchangeStatus").length === 2)
      expect(eventsOf("ExchangeStatus")).toMatchObject([
        {
          exchange: "bybit",
          status: "ongoing",
          subject: "Spot upgrade",
          text: expect.stringContaining("2026-12-31T")
        },
        { exchange: "bybit", status: "completed", subject: "Spot upgrade" }
      ])
      expect(events.map((event) => event._tag).filter((tag) => tag !== "ExchangeStatus")).toEqual(dataEvents)
    })
  )

  it.scopedLive("of Coinbase: each product that is not as usual is told, and goes on over a reconnect", () =>
    Effect.gen(function* () {
      const streams = ["BTC-USD", "ETH-USD"].map((symbol) => streamOf("coinbase", symbol, "trade"))
      const { eventsOf, of, simulator } = yield* simulate(soon(coinbase), streams)
      yield* eventually("messages", () => streams.every((stream) => of(stream).length > 5))
      yield* settled("its subscription", simulator, ({ connections }) =>
        connections.some(({ received, subscriptions }) => received > 1 && subscriptions.length === 0)
      )
      expect(eventsOf("ExchangeStatus")).toEqual([])
      yield* simulator.inject({ _tag: "announce", status: "offline", text: "back at noon" })
      yield* eventually("both", () => eventsOf("ExchangeStatus").length === 2)
      yield* simulator.inject({ _tag: "terminate" })
      yield* simulator.inject({ _tag: "announce", status: "online" })
      yield* eventually("the end of it", () => eventsOf("ExchangeStatus").length === 4)
      expect(eventsOf("ExchangeStatus").map(({ status, subject }) => [subject, status])).toEqual([
        ["BTC-USD", "offline"],
        ["ETH-USD", "offline"],
        ["BTC-USD", "online"],
        ["ETH-USD", "online"]
      ])
    })
  )

  it.scopedLive.each([
    ["bybit", "BTCUSDT", bybit],
    ["coinbase", "BTC-USD", coinbase]
  ] as const)(
    "of %s: refused, broken or saying anything else it is no matter of the data",
    ([, symbol, exchange]) =>
      Effect.gen(function* () {
        let opened = 0
        const { url } = yield* scripted({
          onOpen: (peer) => {
            opened++
            for (const frame of [
              "nonsense",
              Buffer.from([0xff, 0xfe]),
              { type: "error", message: "failure to subscribe" },
              { success: false, ret_msg: "error:handler not found,topic:system.status", op: "subscribe" },
              { channel: "status", events: 7 },
              { topic: "system.status", data: [{ state: 7 }] }
            ]) {
              peer.send(frame)
            }
          },
          onMessage: (peer) => peer.reset()
        })
        const stream = streamOf(exchange.name, symbol, "trade")
        let attempts = 0
        // Every other time nobody is there.
        const urlOf = () => (attempts++ % 2 === 0 ? url.href : "ws://127.0.0.1:1/")
        const { events, of } = yield* simulate(soon(exchange, { urlOf }), [stream])
        yield* eventually("three attempts", () => opened >= 3)
        const before = of(stream).length
        yield* eventually("messages", () => of(stream).length > before + 5)
        expect(events.map((event) => event._tag)).toEqual(dataEvents)
      })
  )

  it.scopedLive("of Bybit: what is so now is looked up, and what ended meanwhile", () =>
    Effect.gen(function* () {
      const maintenance = (title: string, state: string, begin: number) => ({
        title,
        state,
        begin: `${begin}`,
        env: 1
      })
      const answers = [
        [maintenance("A", "ongoing", 1_798_700_000_000), maintenance("A", "completed", 1_700_000_000_000)],
        [maintenance("A", "completed", 1_798_700_000_000), maintenance("B", "completed", 1_700_000_000_000)]
      ]
      let asked = 0
      const { url } = yield* Effect.acquireRelease(
        Effect.async<{ readonly url: URL; readonly close: () => void }>((resume) => {
          const server = createServer((request, response) => {
            const list = request.url === "/v5/system/status" ? answers[Math.min(asked++, 1)] : []
            response.end(JSON.stringify({ retCode: 0, result: { list } }))
          }).listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" && address !== null ? address.port : 0
            const close = () => {
              server.close()
              server.closeAllConnections()
            }
            resume(Effect.succeed({ url: new URL(`http://127.0.0.1:${port}`), close }))
          })
        }),
        ({ close }) => Effect.sync(close)
      )
      const stream = streamOf("bybit", "BTCUSDT", "trade")
      const simulator = yield* Simulator.make({ exchange: "bybit", rate: 20 })
      const { eventsOf } = yield* receive({
        exchanges: new Map([["bybit", soon(bybit)]]),
        streams: [stream],
        endpoints: new Map([["bybit", new URL(simulator.url())]]),
        restEndpoints: new Map([["bybit", url]])
      })
      yield* eventually("the first", () => eventsOf("ExchangeStatus").length === 1)
      yield* simulator.inject({ _tag: "terminate" })
      yield* eventually("its end", () => eventsOf("ExchangeStatus").length === 2)
      expect(eventsOf("ExchangeStatus")).toMatchObject([
        { subject: "A", status: "ongoing" },
        { subject: "A", status: "completed" }
      ])
    })
  )

  it.prop(
    "whatever comes, reading it never throws",
    [FastCheck.uint8Array(), FastCheck.json()],
    ([bytes, json]) => {
      for (const exchange of [bybit, coinbase]) {
        for (const frame of [Buffer.from(bytes), Buffer.from(json)]) {
          expect(exchange.statusFeed?.read(frame)).toEqual([])
        }
      }
    }
  )

  it("is where the data are, and nowhere else", () => {
    const urls = (exchange: Exchange, ...from: ReadonlyArray<string>) =>
      from.map((url) => exchange.statusFeed?.urlOf(url))
    expect(urls(bybit, bybit.url, "ws://127.0.0.1:9443/v5/public/spot", "wss://else.where/spot")).toEqual([
      "wss://stream.bybit.com/v5/public/misc/status",
      "ws://127.0.0.1:9443/v5/public/misc/status",
      undefined
    ])
    expect(urls(coinbase, coinbase.url)).toEqual([coinbase.url])
  })
})

describe("the notice of a closing", () => {
  it.scopedLive.each([
    [binance, "btcusdt", "serverShutdown"],
    [okx, "BTC-USDT", "notice"]
  ] as const)("is told once for all connections: %s", ([exchange, symbol, status]) =>
    Effect.gen(function* () {
      const stream = streamOf(exchange.name, symbol, "trade")
      const { eventsOf, of, simulator } = yield* simulate(exchange, [stream])
      yield* eventually("messages", () => of(stream).length > 5)
      for (let n = 0; n < 3; n++) yield* simulator.inject({ _tag: "shutdown" })
      yield* eventually("another connection", () => eventsOf("ConnectionOpened").length === 2)
      yield* simulator.inject({ _tag: "shutdown" })
      yield* Effect.sleep("500 millis")
      expect(eventsOf("ExchangeStatus")).toMatchObject([{ exchange: exchange.name, status, isPassing: true }])
    })
  )
})
