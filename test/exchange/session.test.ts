import { createServer, type Server } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { distance, plus } from "../../src/domain/Integer.ts"
import { makeReceiveClock, ReceiveClock } from "../../src/exchange/ReceiveClock.ts"
import { bybit } from "../../src/exchange/venues/bybit.ts"
import { retryAfterOf } from "../../src/exchange/WebSocket.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, receive, streamOf } from "./harness.ts"
import { type Peer, scripted } from "./scripted.ts"

const binanceTrade = (symbol: string, id: number) => ({
  stream: `${symbol}@trade`,
  data: { e: "trade", s: symbol.toUpperCase(), t: id, T: 1_789_295_134_225 }
})

/** The id of a Binance request, acknowledged. */
const acknowledge = (peer: Peer, text: string) => peer.send({ result: null, id: JSON.parse(text).id })

const idOf = (text: string): unknown => JSON.parse(text).req_id ?? JSON.parse(text).id

describe.concurrent("silence", () => {
  it.scopedLive(
    "a connection whose only stream is silent is never off for long, however well it answers",
    () =>
      Effect.gen(function* () {
        const id = streamOf("binance", "btcusdt", "trade")
        let trades = 0
        const { url } = yield* scripted({
          onMessage: (peer, text) => {
            acknowledge(peer, text)
            const frozen = peer.id === 1 && trades >= 20
            if (text.includes('"SUBSCRIBE"') && !frozen) {
              peer.every(20, () => {
                if (peer.id === 2 || trades < 20) peer.send(binanceTrade("btcusdt", ++trades))
              })
            }
          }
        })
        const { eventsOf, of } = yield* receive({
          streams: [id],
          endpoints: new Map([["binance", url]]),
          silenceTimeout: Duration.seconds(11)
        })
        yield* eventually("the messages before", () => of(id).length === 20)
        yield* eventually("messages again", () => of(id).length > 20)
        expect(eventsOf("SubscriptionRefused")).toEqual([])
        expect(eventsOf("StreamSilent").map((event) => event.action)).toEqual(["resubscribed", "moved"])
        yield* eventually("the end of the old connection", () => eventsOf("ConnectionEnded").length > 0)
        expect(eventsOf("ConnectionEnded").map((event) => event.kind)).toEqual(["silent"])
      })
  )

  it.scopedLive(
    "what had messages is not refused where nothing is acknowledged, however long it says nothing",
    () =>
      Effect.gen(function* () {
        const id = streamOf("upbit", "KRW-BTC", "trade")
        let trades = 0
        const { url } = yield* scripted({
          onMessage: (peer) => {
            const send = () =>
              peer.send({ type: "trade", code: "KRW-BTC", trade_timestamp: 1, sequential_id: ++trades })
            if (peer.id === 1 && trades === 0) for (let i = 0; i < 20; i++) send()
            if (peer.id === 2) setTimeout(send, 12_000)
          }
        })
        const { eventsOf, of } = yield* receive({
          streams: [id],
          endpoints: new Map([["upbit", url]]),
          silenceTimeout: Duration.seconds(11)
        })
        yield* eventually("messages again", () => of(id).length > 20)
        expect(eventsOf("SubscriptionRefused")).toEqual([])
        expect(eventsOf("StreamConnected").length).toBe(2)
      })
  )

  it.scopedLive("bybit: a stream that is still subscribed when it is asked for again is asked for once", () =>
    Effect.gen(function* () {
      const id = streamOf("bybit", "BTCUSDT", "trade")
      const asked: Array<string> = []
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          const { op, req_id } = JSON.parse(text)
          if (op === "subscribe") asked.push(text)
          peer.send(
            op === "subscribe" && asked.length > 1
              ? { success: false, ret_msg: "error:already subscribed,topic:publicTrade.BTCUSDT", req_id, op }
              : { success: true, ret_msg: "subscribe", req_id, op }
          )
          if (op !== "subscribe" || asked.length > 1) return
          for (let i = 0; i < 20; i++) {
            peer.send({ topic: "publicTrade.BTCUSDT", type: "snapshot", data: [{ i: String(i), T: 1 }] })
          }
        }
      })
      const { eventsOf } = yield* receive({
        streams: [id],
        endpoints: new Map([["bybit", url]]),
        silenceTimeout: Duration.seconds(3)
      })
      yield* eventually("that it was asked for again", () => asked.length >= 2)
      yield* Effect.sleep("2 seconds")
      expect(asked.length).toBe(2)
      expect(eventsOf("SubscriptionRefused")).toEqual([])
    })
  )
})

describe.concurrent("a stream that is only quiet", () => {
  it.scopedLive("loses nothing by being asked for again and moved to another connection", () =>
    Effect.gen(function* () {
      const [quiet, lively] = [
        streamOf("binance", "ethusdt", "trade"),
        streamOf("binance", "btcusdt", "trade")
      ]
      const peers = new Set<Peer>()
      let trades = 0
      let others = 0
      const trade = () => {
        trades++
        for (const peer of peers) peer.send(binanceTrade("ethusdt", trades))
      }
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          acknowledge(peer, text)
          if (text.includes("btcusdt")) peer.every(50, () => peer.send(binanceTrade("btcusdt", ++others)))
          if (!text.includes("ethusdt")) return
          if (text.includes("UNSUBSCRIBE")) peers.delete(peer)
          else peers.add(peer)
          if (trades === 0) for (let i = 0; i < 20; i++) trade()
          else if (text.includes("UNSUBSCRIBE") || peer.id > 1) for (let i = 0; i < 20; i++) trade()
          if (peer.id > 1) peer.every(10, trade)
        }
      })
      const { eventsOf, of, stream } = yield* receive({
        streams: [quiet, lively],
        endpoints: new Map([["binance", url]]),
        silenceTimeout: Duration.seconds(3)
      })
      yield* eventually("the end on the old connection", () => eventsOf("StreamDisconnected").length > 0)
      const moved = of(quiet).length
      yield* eventually("messages after it", () => of(quiet).length > moved + 50)
      expect(eventsOf("StreamSilent").map(({ action }) => action)).toEqual(["resubscribed", "moved"])
      const ids = [...new Set(of(quiet).map((snapshot) => Number(snapshot.exchangeSequenceId)))]
      expect(ids).toEqual(ids.map((_, i) => i + 1))
      expect(eventsOf("GapDetected")).toEqual([])
      expect(eventsOf("Discontinuity")).toEqual([])
      expect(eventsOf("ConnectionEnded")).toEqual([])
      expect((yield* stream.status).map(({ state }) => state)).toEqual(["live", "live"])
      expect(peers.size).toBe(1)
    })
  )

  it.scopedLive("and was never heard has ten times the timeout", () =>
    Effect.gen(function* () {
      const streams = Array.from({ length: 100 }, (_, i) => streamOf("binance", `a${i}usdt`, "trade"))
      const asked: Array<string> = []
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          asked.push(text)
          acknowledge(peer, text)
        }
      })
      const { eventsOf } = yield* receive({
        streams,
        endpoints: new Map([["binance", url]]),
        silenceTimeout: Duration.seconds(1)
      })
      const begin = Date.now()
      yield* eventually("that they are asked for again", () => eventsOf("StreamSilent").length > 0)
      expect(Date.now() - begin).toBeGreaterThan(9000)
      yield* eventually("the request", () => asked.length > 1)
      expect(asked.every((text) => !text.includes("UNSUBSCRIBE"))).toBe(true)
      expect(eventsOf("ConnectionOpened").length).toBe(1)
    })
  )

  it.scopedLive("or silent, whatever is done, goes back and forth between two connections", () =>
    Effect.gen(function* () {
      const streams = ["BTC-USDT", "ETH-USDT", "SOL-USDT"].map((symbol) => streamOf("okx", symbol, "trade"))
      const [dead] = streams
      let hasSpoken = false
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          if (text === "ping") return peer.send("pong")
          const { args, id, op } = JSON.parse(text)
          for (const arg of args) {
            peer.send({ event: op, id, arg })
            if (op === "unsubscribe") continue
            let trades = 1000
            const send = () =>
              peer.send({
                arg,
                data: [{ instId: arg.instId, tradeId: String(++trades), count: "1", ts: "1" }]
              })
            if (arg.instId === dead?.symbol) {
              if (!hasSpoken) for (let i = 0; i < 20; i++) send()
              hasSpoken = true
            } else {
              peer.every(50, send)
            }
          }
        }
      })
      const { eventsOf, stream } = yield* receive({
        streams,
        endpoints: new Map([["okx", url]]),
        silenceTimeout: Duration.seconds(1)
      })
      const moves = () => eventsOf("StreamSilent").filter(({ action }) => action === "moved").length
      yield* eventually("three moves", () => moves() >= 3)
      yield* Effect.sleep("1 second")
      expect((yield* stream.connections).length).toBeLessThanOrEqual(2)
      expect(eventsOf("StreamSilent").every((event) => event.stream.symbol === dead?.symbol)).toBe(true)
      expect(eventsOf("GapDetected")).toEqual([])
    })
  )
})

describe.concurrent("subscriptions", () => {
  it.scopedLive("what comes while a connection is being opened is asked for on it", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const { url } = yield* scripted({ handshake: 1500, onMessage: (_, text) => asked.push(text) })
      const list = yield* Simulator.make({ exchange: "okx", symbols: ["ETH-USDT"] })
      yield* receive({
        streams: [streamOf("okx", "BTC-USDT", "trade")],
        patterns: [{ exchange: "okx", pattern: "ETH*", dataTypes: ["trade"] }],
        endpoints: new Map([["okx", url]]),
        restEndpoints: new Map([["okx", new URL(list.httpUrl("/"))]])
      })
      yield* eventually("the first one", () => asked.some((text) => text.includes("BTC-USDT")))
      yield* eventually("the other one", () => asked.some((text) => text.includes("ETH-USDT")), 3)
    })
  )

  it.scopedLive("kraken: a refused unsubscription ends nothing", () =>
    Effect.gen(function* () {
      const id = streamOf("kraken", "BTC/USD", "trade")
      let trades = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          const { method, params, req_id } = JSON.parse(text)
          if (method === "unsubscribe") {
            peer.send({ method, success: false, error: "Subscription Not Found", symbol: "BTC/USD", req_id })
          }
          if (method !== "subscribe") return
          peer.send({ method, success: true, result: { channel: params.channel, symbol: "BTC/USD" }, req_id })
          for (let i = 0; i < 20; i++) {
            peer.send({ channel: "trade", type: "update", data: [{ symbol: "BTC/USD", trade_id: ++trades }] })
          }
        }
      })
      const { eventsOf, of } = yield* receive({
        streams: [id],
        endpoints: new Map([["kraken", url]]),
        silenceTimeout: Duration.seconds(2)
      })
      yield* eventually("messages after it was asked for again", () => of(id).length === 40)
      expect(eventsOf("StreamSilent").map((event) => event.action)).toEqual(["resubscribed"])
      expect(eventsOf("SubscriptionRefused")).toEqual([])
      expect(eventsOf("ConnectionEnded")).toEqual([])
    })
  )

  it.scopedLive("okx: a stream that is refused after it was taken has ended", () =>
    Effect.gen(function* () {
      const [id, other] = [streamOf("okx", "BTC-USDT", "trade"), streamOf("okx", "ETH-USDT", "trade")]
      let asked = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          if (text === "ping") return peer.send("pong")
          const { args, op } = JSON.parse(text)
          if (op !== "subscribe") return
          for (const arg of args) {
            const isOther = arg.instId === "ETH-USDT"
            if (!isOther && ++asked > 1) {
              const msg = "Wrong URL or channel:trades,instId:BTC-USDT doesn't exist."
              peer.send({ event: "error", code: "60018", msg, id: idOf(text) })
              continue
            }
            let trades = 0
            const send = () =>
              peer.send({
                arg,
                data: [{ instId: arg.instId, tradeId: String(++trades), ts: "1", count: "1" }]
              })
            peer.send({ event: "subscribe", arg, id: idOf(text) })
            if (isOther) peer.every(50, send)
            else for (let i = 0; i < 20; i++) send()
          }
        }
      })
      const { events, eventsOf } = yield* receive({
        streams: [id, other],
        endpoints: new Map([["okx", url]]),
        silenceTimeout: Duration.seconds(2)
      })
      yield* eventually("the refusal", () => eventsOf("SubscriptionRefused").length > 0)
      const connection = eventsOf("StreamConnected").find((event) => event.stream === id)?.connection
      expect(eventsOf("StreamDisconnected")).toMatchObject([{ stream: id, connection, kind: "closed" }])
      expect(eventsOf("StreamDisconnected")[0]?.reason).toContain("60018")
      expect(events.filter((event) => event._tag === "ConnectionEnded")).toEqual([])
    })
  )

  it.scopedLive("a refused stream is asked for again, also if the connection ends before the answer", () =>
    Effect.gen(function* () {
      const streams = ["BTC-USDT", "NEW-USDT"].map((symbol) => streamOf("okx", symbol, "trade"))
      const asked: Array<number> = []
      let ahead = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          if (text === "ping") return peer.send("pong")
          for (const arg of JSON.parse(text).args) {
            if (arg.instId === "BTC-USDT") peer.send({ event: "subscribe", arg, id: idOf(text) })
            else if (asked.push(peer.id) === 1) {
              const msg = "Wrong URL or channel:trades,instId:NEW-USDT doesn't exist."
              peer.send({ event: "error", code: "60018", msg, id: idOf(text) })
            } else if (peer.id === 1) peer.reset()
          }
        }
      })
      const clock = yield* Effect.provide(ReceiveClock, ReceiveClock.layer)
      const { eventsOf } = yield* receive(
        { streams, endpoints: new Map([["okx", url]]) },
        Layer.succeed(ReceiveClock, { ...clock, unsafeElapsed: () => clock.unsafeElapsed() + ahead })
      )
      yield* eventually("the refusal", () => eventsOf("SubscriptionRefused").length > 0)
      ahead = 301_000_000
      yield* eventually("the next connection asking for it", () => asked.includes(2))
      expect(asked).toEqual([1, 1, 2])
    })
  )
})

describe.concurrent("the end of a new connection", () => {
  it.scopedLive("is told with what the server said, also where we were about to send", () =>
    Effect.gen(function* () {
      const goodbye = Buffer.concat([Buffer.from([0x88, 5, 0x0f, 0xa0]), Buffer.from("bye")])
      const { url } = yield* scripted({ onOpen: (peer) => peer.sendRaw(goodbye) })
      const { eventsOf } = yield* receive({
        streams: ["btcusdt", "ethusdt"].map((symbol) => streamOf("binance", symbol, "trade")),
        endpoints: new Map([["binance", url]])
      })
      yield* eventually("two ends", () => eventsOf("ConnectionEnded").length >= 2)
      expect(eventsOf("ConnectionEnded").map(({ code, reason }) => [code, reason])).toEqual(
        eventsOf("ConnectionEnded").map(() => [4000, "closed with code 4000 bye"])
      )
    })
  )
})

describe.concurrent("a refused handshake", () => {
  it.scopedLive("holds back every connection of the exchange for as long as the server wants", () =>
    Effect.gen(function* () {
      const attempts: Array<number> = []
      const server = yield* Effect.acquireRelease(
        Effect.async<Server>((resume) => {
          const server = createServer()
          server.on("upgrade", (_request, socket) => {
            attempts.push(performance.now())
            socket.on("error", () => {})
            socket.end("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 6\r\nConnection: close\r\n\r\n")
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const { eventsOf } = yield* receive({
        streams: ["BTC-USD", "ETH-USD"].map((symbol) => streamOf("coinbase", symbol, "trade")),
        endpoints: new Map([["coinbase", new URL(`ws://127.0.0.1:${port}/`)]])
      })
      yield* eventually("two attempts", () => attempts.length >= 2)
      expect((attempts[1] ?? 0) - (attempts[0] ?? 0)).toBeGreaterThan(5900)
      expect(eventsOf("ConnectionEnded")[0]?.reason).toBe(
        "the server answered with HTTP status 429, and wants no attempt for 6 s"
      )
    })
  )

  it("may name a time or a date of the server's clock", () => {
    const date = "Mon, 30 Nov 2026 12:00:00 GMT"
    expect(retryAfterOf("120", date)).toBe(120_000)
    expect(retryAfterOf("Mon, 30 Nov 2026 12:01:00 GMT", date)).toBe(60_000)
    expect(retryAfterOf("99999999", date)).toBe(3 * 86_400_000)
    expect([undefined, "soon", "-5", "0"].map((text) => retryAfterOf(text, date))).toEqual(
      Array(4).fill(undefined)
    )
  })
})

describe.concurrent("an error that names nothing", () => {
  it.scopedLive(
    "ends the connection, refuses no stream, and lengthens the pause although data came before",
    () =>
      Effect.gen(function* () {
        const opened: Array<number> = []
        const streams = ["KRW-BTC", "KRW-ETH"].map((symbol) => streamOf("upbit", symbol, "trade"))
        let id = 0
        const { url } = yield* scripted({
          onOpen: () => opened.push(performance.now()),
          onMessage: (peer) => {
            for (const { symbol } of streams) {
              peer.send({ type: "trade", code: symbol, trade_timestamp: 1, sequential_id: ++id })
            }
            setTimeout(() => peer.send({ error: { name: "SERVER_ERROR", message: "try again" } }), 50)
          }
        })
        const { eventsOf } = yield* receive({ streams, endpoints: new Map([["upbit", url]]) })
        yield* eventually("three more connections", () => opened.length >= 4)
        const pauses = opened.slice(1).map((at, i) => at - (opened[i] ?? 0))
        expect(pauses[2]).toBeGreaterThan(3200)
        expect(eventsOf("SubscriptionRefused")).toEqual([])
        expect(eventsOf("ConnectionEnded").map(({ kind, reason }) => [kind, reason])).toEqual(
          eventsOf("ConnectionEnded").map(() => ["error", "SERVER_ERROR try again"])
        )
      })
  )

  it.scopedLive.each([
    ["kraken", "BTC/USD", { Error: "Exceeded msg rate" }, "Exceeded msg rate"],
    ["okx", "BTC-USDT", { event: "error", code: "60013", msg: "Invalid args" }, "60013 Invalid args"],
    ["coinbase", "BTC-USD", { type: "error", message: "rate limit" }, "rate limit"]
  ] as const)("%s: ends the connection where nothing is waited for", ([name, symbol, frame, reason]) =>
    Effect.gen(function* () {
      const id = streamOf(name, symbol, "trade")
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          if (text === "ping") return peer.send("pong")
          const { args, id, params, product_ids, req_id } = JSON.parse(text)
          if (params !== undefined) {
            peer.send({ method: "subscribe", success: true, result: { channel: "trade", symbol }, req_id })
          } else if (args !== undefined) {
            peer.send({ event: "subscribe", id, arg: args[0] })
          } else if (product_ids !== undefined) {
            const subscriptions = { market_trades: product_ids }
            peer.send({ channel: "subscriptions", sequence_num: 0, events: [{ subscriptions }] })
          } else return
          peer.send(frame)
        }
      })
      const { eventsOf } = yield* receive({ streams: [id], endpoints: new Map([[name, url]]) })
      yield* eventually("the end", () => eventsOf("ConnectionEnded").length > 0)
      expect(eventsOf("ConnectionEnded")[0]).toMatchObject({ kind: "error", reason })
      expect(eventsOf("SubscriptionRefused")).toEqual([])
    })
  )

  it.scopedLive("coinbase: is about the request that was sent last", () =>
    Effect.gen(function* () {
      const [book, trade] = [
        streamOf("coinbase", "BTC-USD", "orderbook"),
        streamOf("coinbase", "BTC-USD", "trade")
      ]
      let number = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          const { channel, product_ids } = JSON.parse(text)
          if (channel === "market_trades") peer.send({ type: "error", message: "failed to subscribe" })
          if (channel !== "level2") return
          setTimeout(() => {
            const subscriptions = { level2: product_ids }
            peer.send({ channel: "subscriptions", sequence_num: number++, events: [{ subscriptions }] })
            peer.every(50, () =>
              peer.send({
                channel: "l2_data",
                timestamp: "2026-09-30T00:00:00Z",
                sequence_num: number++,
                events: [{ type: "update", product_id: "BTC-USD", updates: [] }]
              })
            )
          }, 500)
        }
      })
      const { eventsOf, of } = yield* receive({
        streams: [book, trade],
        endpoints: new Map([["coinbase", url]])
      })
      yield* eventually("the refusal", () => eventsOf("SubscriptionRefused").length > 0)
      yield* eventually("messages", () => of(book).length > 10)
      expect(eventsOf("SubscriptionRefused").map(({ stream }) => stream)).toEqual([trade])
      expect(eventsOf("ConnectionEnded")).toEqual([])
    })
  )
})

describe.concurrent("what is sent again because we asked again", () => {
  it.scopedLive("upbit: is no doubt about streams of which messages come", () =>
    Effect.gen(function* () {
      const lively = streamOf("upbit", "KRW-BTC", "orderbook")
      const list = yield* Simulator.make({ exchange: "upbit", symbols: ["KRW-ETH"] })
      let time = Date.now()
      const requests: Array<string> = []
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          requests.push(text)
          const send = (stream_type: string) =>
            peer.send({
              type: "orderbook",
              code: "KRW-BTC",
              timestamp: ++time,
              orderbook_units: [],
              stream_type
            })
          send("SNAPSHOT")
          if (requests.length === 1) peer.every(50, () => send("REALTIME"))
          if (requests.length === 3) setTimeout(() => send("SNAPSHOT"), 11_000)
        }
      })
      const { eventsOf, of } = yield* receive({
        streams: [lively],
        patterns: [{ exchange: "upbit", pattern: "KRW-*", dataTypes: ["orderbook"] }],
        endpoints: new Map([["upbit", url]]),
        restEndpoints: new Map([["upbit", new URL(list.httpUrl("/"))]]),
        refreshEvery: Duration.seconds(1)
      })
      yield* eventually("messages", () => of(lively).length > 10)
      yield* list.inject({ _tag: "list", symbol: "KRW-SOL" })
      yield* eventually("another request", () => requests.length >= 2)
      yield* list.inject({ _tag: "list", symbol: "KRW-XRP" })
      yield* eventually("one more", () => requests.length >= 3)
      const before = of(lively).length
      yield* eventually("messages after it", () => of(lively).length > before + 5)
      expect(eventsOf("Discontinuity")).toEqual([])
      // one that nobody asked for
      yield* eventually("a doubt", () => eventsOf("Discontinuity").length > 0)
      expect(eventsOf("Discontinuity")).toMatchObject([{ stream: lively, reason: "snapshot" }])
    })
  )
})

describe.concurrent("the doubt after a reconnect", () => {
  it.scopedLive(
    "is from what the old connection was heard of last, but for streams that had fallen silent",
    () =>
      Effect.gen(function* () {
        const [lively, dead, quiet] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"].map((symbol) =>
          streamOf("bybit", symbol, "trade")
        )
        if (lively === undefined || dead === undefined || quiet === undefined) return
        let trades = 0
        let quietTrades = 0
        const begin = Date.now()
        const { url } = yield* scripted({
          onMessage: (peer, text) => {
            const { op, req_id } = JSON.parse(text)
            peer.send({ success: true, ret_msg: op === "ping" ? "pong" : op, req_id, op })
            if (op !== "subscribe") return
            const trade = (symbol: string) =>
              peer.send({
                topic: `publicTrade.${symbol}`,
                type: "snapshot",
                data: [{ i: String(++trades), T: 1 }]
              })
            peer.every(50, () => trade("BTCUSDT"))
            peer.every(50, () => {
              if (peer.id === 2 || Date.now() - begin < 6000) trade("ETHUSDT")
            })
            peer.every(2400, () => {
              trade("SOLUSDT")
              if (peer.id === 1 && ++quietTrades === 5) setTimeout(peer.reset, 1000)
            })
          }
        })
        const { eventsOf, of } = yield* receive({
          streams: [lively, dead, quiet],
          endpoints: new Map([["bybit", url]])
        })
        yield* eventually("the doubts", () => eventsOf("Discontinuity").length >= 3)
        const doubtOf = (stream: typeof lively) =>
          eventsOf("Discontinuity").find((event) => event.stream === stream)
        const lastBefore = (stream: typeof lively) =>
          of(stream)
            .map(({ timestamp }) => timestamp)
            .findLast((at) => at < (eventsOf("ConnectionEnded")[0]?.at ?? 0)) ?? 0
        const firstAfter = (stream: typeof lively) =>
          of(stream)
            .map(({ timestamp }) => timestamp)
            .find((at) => at > (eventsOf("ConnectionEnded")[0]?.at ?? 0)) ?? 0
        expect(eventsOf("Discontinuity").map(({ reason }) => reason)).toEqual(Array(3).fill("reconnect"))
        // What came of the others says nothing of one that said nothing for seconds, which it never did.
        expect(doubtOf(dead)?.after).toBe(lastBefore(dead))
        expect(doubtOf(lively)?.after).toBe(lastBefore(lively))
        expect(doubtOf(quiet)?.after).toBe(lastBefore(lively))
        expect(lastBefore(lively) - lastBefore(quiet)).toBeGreaterThan(500_000)
        // The exchange had answered long before the first trade.
        expect(doubtOf(quiet)?.before).toBeLessThan(firstAfter(quiet) - 1_000_000)
        expect(doubtOf(quiet)?.before).toBeLessThanOrEqual(firstAfter(lively))
      })
  )

  it.scopedLive("is none where ids go on", () =>
    Effect.gen(function* () {
      const id = streamOf("binance", "btcusdt", "trade")
      let trades = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          acknowledge(peer, text)
          for (let i = 0; i < 20; i++) peer.send(binanceTrade("btcusdt", ++trades))
          if (peer.id === 1) setTimeout(peer.reset, 200)
        }
      })
      const { eventsOf, of } = yield* receive({ streams: [id], endpoints: new Map([["binance", url]]) })
      yield* eventually("messages of both connections", () => of(id).length === 40)
      expect(eventsOf("Discontinuity")).toEqual([])
      expect(eventsOf("GapDetected")).toEqual([])
    })
  )
})

describe.concurrent("a clock that is set back", () => {
  it.scopedLive("delays no ping, and every message has a stamp of its own", () =>
    Effect.gen(function* () {
      const pings: Array<number> = []
      let trades = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          if (text.includes("ping")) {
            pings.push(Date.now())
            return peer.send({ op: "pong", success: true, ret_msg: "pong" })
          }
          peer.send({ success: true, ret_msg: "", conn_id: "1", req_id: idOf(text), op: "subscribe" })
          peer.every(50, () => {
            const id = `00000000-0000-0000-0000-${String(++trades).padStart(12, "0")}`
            const trade = { T: 1, s: "BTCUSDT", S: "Buy", v: "1", p: "1", i: id, BT: false }
            peer.send({ topic: "publicTrade.BTCUSDT", type: "snapshot", ts: 1, data: [trade] })
          })
        }
      })
      let step = 0
      const clock = makeReceiveClock({
        wall: () => (Date.now() + step) * 1000,
        monotonic: () => performance.now() * 1000
      })
      const id = streamOf("bybit", "BTCUSDT", "trade")
      const lively = { ...bybit, keepalive: { ...bybit.keepalive, every: Duration.seconds(1) } }
      const { of } = yield* receive(
        { exchanges: new Map([["bybit", lively]]), streams: [id], endpoints: new Map([["bybit", url]]) },
        Layer.succeed(ReceiveClock, clock)
      )
      yield* eventually("pings", () => pings.length > 1 && of(id).length > 5)
      const before = pings.length
      const received = of(id).length
      step = -3_600_000
      yield* eventually("more pings", () => pings.length > before + 2 && of(id).length > received + 12)
      const stamps = of(id)
        .slice(received + 1)
        .map(({ timestamp }) => timestamp)
      expect(stamps.length).toBeGreaterThan(10)
      expect(new Set(stamps).size).toBeGreaterThan(stamps.length / 2)
      expect(Math.max(...stamps)).toBeLessThan((Date.now() + step + 1000) * 1000)
    })
  )
})

describe.concurrent("taking over", () => {
  /** A connection gets `shutdown` after a second; another one takes over. */
  const exchange = (onSubscribe: (peer: Peer) => void) =>
    scripted({
      onMessage: (peer, text) => {
        acknowledge(peer, text)
        if (!text.includes('"SUBSCRIBE"')) return
        onSubscribe(peer)
        const notice = { stream: "!serverShutdown", data: { e: "serverShutdown", E: 1 } }
        if (peer.id === 1) setTimeout(() => peer.send(notice), 1000)
      }
    })

  it.scopedLive("is no doubt about a stream that was quiet meanwhile", () =>
    Effect.gen(function* () {
      const [lively, quiet] = [
        streamOf("binance", "btcusdt", "trade"),
        streamOf("binance", "ethusdt", "trade")
      ]
      const peers: Array<Peer> = []
      let trades = 0
      const { url } = yield* exchange((peer) => {
        peers.push(peer)
        if (peer.id === 1) peer.send(binanceTrade("ethusdt", 1))
      })
      const { eventsOf, of, stream } = yield* receive({
        streams: [lively, quiet],
        endpoints: new Map([["binance", url]])
      })
      const market = Effect.sync(() => {
        trades++
        for (const peer of peers) peer.send(binanceTrade("btcusdt", trades))
      })
      yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep("20 millis"), market)))
      yield* eventually("the end of the old connection", () => eventsOf("ConnectionEnded").length === 1)
      peers.at(-1)?.send(binanceTrade("ethusdt", 2))
      yield* eventually("the next message of the quiet one", () => of(quiet).length === 2)
      expect(eventsOf("Discontinuity")).toEqual([])
      expect(eventsOf("GapDetected")).toEqual([])
      const connections = new Set((yield* stream.status).map((status) => status.connection))
      expect(connections.size).toBe(1)
    })
  )

  it.scopedLive("waits for what the old connection has still to deliver", () =>
    Effect.gen(function* () {
      const id = streamOf("binance", "btcusdt", "trade")
      const peers: Array<Peer> = []
      let trades = 0
      const { url } = yield* exchange((peer) => peers.push(peer))
      const { eventsOf, of } = yield* receive({ streams: [id], endpoints: new Map([["binance", url]]) })
      const market = Effect.sync(() => {
        const frame = binanceTrade("btcusdt", ++trades)
        peers[1]?.send(frame)
        // The old one is late.
        setTimeout(() => peers[0]?.send(frame), 1000)
      })
      yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep("10 millis"), market)))
      yield* eventually("the end of the old connection", () => eventsOf("ConnectionEnded").length === 1)
      yield* Effect.sleep("200 millis")
      expect(eventsOf("GapDetected")).toEqual([])
      const ids = new Set(of(id).map((snapshot) => Number(snapshot.exchangeSequenceId)))
      expect(ids.size).toBe(Math.max(...ids) - Math.min(...ids) + 1)
    })
  )

  /**
   * A market of which both connections miss some trades: numbers counted from the first one that the second connection
   * could have, which it delivers `delay` milliseconds later; the other one is `delays` behind it.
   */
  const overlapping = (options: {
    readonly missing: readonly [ReadonlyArray<number>, ReadonlyArray<number>]
    readonly delays: readonly [number, number]
    /** The first connection delivers nothing after this one. */
    readonly lastOfFirst?: number
  }) =>
    Effect.gen(function* () {
      const id = streamOf("binance", "btcusdt", "trade")
      const peers: Array<Peer> = []
      let trades = 0
      let begin = Number.NaN
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          if (!text.includes('"SUBSCRIBE"')) return
          peers.push(peer)
          if (peer.id === 2) begin = trades + 1
          // The other stream says nothing: the next connection is ready with this answer, however slowly trades are made.
          const from = trades
          const timer = setInterval(() => {
            if (peer.id === 2 && trades < from + 70) return
            clearInterval(timer)
            acknowledge(peer, text)
          }, 5)
          const notice = { stream: "!serverShutdown", data: { e: "serverShutdown", E: 1 } }
          if (peer.id === 1) setTimeout(() => peer.send(notice), 1000)
        }
      })
      const received = yield* receive({
        streams: [id, streamOf("binance", "ethusdt", "trade")],
        endpoints: new Map([["binance", url]])
      })
      const market = Effect.sync(() => {
        const frame = binanceTrade("btcusdt", ++trades)
        const nth = trades - begin
        for (const i of [0, 1] as const) {
          const peer = peers[i]
          if (peer === undefined || options.missing[i].includes(nth)) continue
          if (i === 0 && nth > (options.lastOfFirst ?? Number.POSITIVE_INFINITY)) continue
          setTimeout(() => peer.send(frame), options.delays[i])
        }
      })
      yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep("10 millis"), market)))
      const { eventsOf, of } = received
      yield* eventually("the end of the old connection", () => eventsOf("ConnectionEnded").length === 1)
      const sent = trades
      yield* eventually("messages after it", () =>
        of(id).some(({ exchangeSequenceId }) => Number(exchangeSequenceId) > sent + 20)
      )
      yield* Effect.sleep("1200 millis")
      const ids = new Set(of(id).map(({ exchangeSequenceId }) => Number(exchangeSequenceId)))
      const first = Math.min(...ids)
      const lost = Array.from({ length: Math.max(...ids) - first }, (_, n) => first + n).filter(
        (n) => !ids.has(n)
      )
      const gaps = eventsOf("GapDetected").flatMap(({ expected, received, size }) => {
        expect(size).toBe(distance(expected, received))
        return Array.from({ length: distance(expected, received) }, (_, n) => plus(expected, n))
      })
      return { ...received, begin, gaps, id, lost }
    })

  it.scopedLive.each([
    ["the next one misses what the old one delivers", { missing: [[], [3, 4, 20]], delays: [0, 0] }],
    ["the old one misses what the next one delivers", { missing: [[3, 4, 8], []], delays: [0, 0] }],
    ["the next one misses what the old one delivers later", { missing: [[], [3, 20, 40]], delays: [800, 0] }],
    [
      "the next one is behind, and misses what the old one delivered",
      { missing: [[], [3, 40, 41]], delays: [0, 600] }
    ]
  ] as const)("knows of no gap where %s", ([, options]) =>
    Effect.gen(function* () {
      const { eventsOf, gaps, lost } = yield* overlapping(options)
      expect(lost).toEqual([])
      expect(gaps).toEqual([])
      expect(eventsOf("Discontinuity")).toEqual([])
      expect(eventsOf("Repeated")).toEqual([])
    })
  )

  it.scopedLive.each([
    [
      "both miss",
      {
        missing: [
          [2, 3, 4],
          [3, 4, 5]
        ],
        delays: [0, 0]
      },
      [3, 4]
    ],
    [
      "both miss, the old one later",
      {
        missing: [
          [20, 21],
          [20, 30]
        ],
        delays: [800, 0]
      },
      [20]
    ],
    [
      "the next one misses after the end of the old one",
      { missing: [[], [10, 30]], delays: [0, 0], lastOfFirst: 4 },
      [10, 30]
    ],
    [
      "both miss, the next one later",
      {
        missing: [
          [10, 11],
          [11, 12]
        ],
        delays: [0, 600]
      },
      // The next one delivers 10 after it was told to be missing.
      [11],
      [10]
    ]
  ] as const)("knows what %s, once and exactly", ([, options, missing, late = []]) =>
    Effect.gen(function* () {
      const { begin, eventsOf, gaps, id, lost, of } = yield* overlapping(options)
      expect(lost).toEqual(missing.map((nth) => begin + nth))
      expect(gaps.toSorted((a, b) => distance(b, a))).toEqual([...late, ...missing].map((nth) => begin + nth))
      const times = new Set(of(id).map(({ timestamp }) => timestamp))
      for (const { after, before } of eventsOf("GapDetected")) {
        expect(times.has(after ?? 0) && times.has(before ?? 0)).toBe(true)
        expect(after ?? 0).toBeLessThan(before ?? 0)
      }
    })
  )

  it.scopedLive("does not wait as long as after the failures before the connection that is replaced", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ rate: 50 })
      yield* simulator.inject({ _tag: "refuse", for: 4000 })
      const { eventsOf, snapshots } = yield* receive({
        streams: [streamOf("binance", "btcusdt", "trade")],
        endpoints: new Map([["binance", new URL(simulator.url())]])
      })
      yield* eventually("messages", () => snapshots.length > 10)
      yield* simulator.inject({ _tag: "refuse", for: 300 })
      yield* simulator.inject({ _tag: "shutdown" })
      const isReplaced = () => eventsOf("ConnectionEnded").some((event) => event.kind === "replaced")
      yield* eventually("the next connection", isReplaced, 4)
    })
  )
})

describe.concurrent("continuity", () => {
  const book = streamOf("coinbase", "BTC-USD", "orderbook")
  const trade = streamOf("coinbase", "BTC-USD", "trade")
  const frame = (channel: string, number: number, type: string) => ({
    channel,
    timestamp: "2026-08-24T22:34:13.813164957Z",
    sequence_num: number,
    events: [
      channel === "l2_data"
        ? { type, product_id: "BTC-USD", updates: [] }
        : {
            type,
            trades: [{ product_id: "BTC-USD", trade_id: String(number), time: "2026-08-24T22:34:13Z" }]
          }
    ]
  })
  /** Sends the first of these frames when the book is asked for, which answers that, and the others when the trades are. */
  const coinbaseOf = ([first, ...others]: ReadonlyArray<unknown>) =>
    scripted({
      onMessage: (peer, text) => {
        if (text.includes("level2")) peer.send(first)
        if (text.includes("market_trades")) for (const frame of others) peer.send(frame)
      }
    })

  it.scopedLive("coinbase: tells late frames, repeated ones and snapshots on the same connection", () =>
    Effect.gen(function* () {
      const { url } = yield* coinbaseOf([
        frame("l2_data", 0, "snapshot"),
        frame("market_trades", 1, "snapshot"),
        frame("l2_data", 2, "update"),
        frame("l2_data", 4, "update"),
        frame("market_trades", 3, "update"),
        frame("l2_data", 4, "update"),
        frame("l2_data", 5, "snapshot"),
        frame("l2_data", 6, "update")
      ])
      const { eventsOf } = yield* receive({ streams: [book, trade], endpoints: new Map([["coinbase", url]]) })
      yield* eventually(
        "the reports",
        () => eventsOf("Repeated").length > 0 && eventsOf("OutOfOrder").length > 1
      )
      expect(eventsOf("GapDetected").map(({ expected, size, stream }) => [stream, expected, size])).toEqual([
        [book, 3, 1],
        [trade, 3, 1]
      ])
      // It had been told to be missing of both.
      expect(eventsOf("OutOfOrder").map(({ count, stream }) => [stream, count])).toEqual([
        [book, 1],
        [trade, 1]
      ])
      expect(eventsOf("Repeated").map(({ count, stream }) => [stream, count])).toEqual([[book, 1]])
      expect(eventsOf("Discontinuity").map(({ reason, stream }) => [stream, reason])).toEqual([
        [book, "snapshot"]
      ])
    })
  )

  it.scopedLive("coinbase: frames are missing where a connection does not begin with number 0", () =>
    Effect.gen(function* () {
      const { url } = yield* coinbaseOf([
        frame("l2_data", 2, "snapshot"),
        frame("market_trades", 3, "update")
      ])
      const { eventsOf, of } = yield* receive({
        streams: [book, trade],
        endpoints: new Map([["coinbase", url]])
      })
      yield* eventually("messages", () => of(trade).length > 0)
      expect(eventsOf("GapDetected")).toMatchObject(
        [book, trade].map((stream) => ({ stream, expected: 0, received: 2, size: 2, after: null }))
      )
    })
  )

  it.scopedLive(
    "upbit: a snapshot after a request of our own is no doubt, whether it repeats the newest message or is a newer one",
    () =>
      Effect.gen(function* () {
        const [silent, same, other] = ["KRW-BTC", "KRW-ETH", "KRW-XRP"].map((symbol) =>
          streamOf("upbit", symbol, "trade")
        )
        if (silent === undefined || same === undefined || other === undefined) return
        const trade = (code: string, sequential_id: number, stream_type: string) => {
          const fields = { type: "trade", code, trade_timestamp: 1 }
          return { ...fields, sequential_id, stream_type }
        }
        let requests = 0
        let trades = 0
        const { url } = yield* scripted({
          onMessage: (peer) => {
            if (++requests > 1) {
              // A request is the whole list: each of its streams begins with a snapshot.
              peer.send(trade("KRW-BTC", 20, "SNAPSHOT"))
              peer.send(trade("KRW-ETH", trades, "SNAPSHOT"))
              peer.send(trade("KRW-XRP", ++trades, "SNAPSHOT"))
              return
            }
            for (let id = 1; id <= 20; id++) peer.send(trade("KRW-BTC", id, "REALTIME"))
            peer.every(50, () => {
              trades++
              for (const code of ["KRW-ETH", "KRW-XRP"]) peer.send(trade(code, trades, "REALTIME"))
            })
          }
        })
        const { eventsOf, of } = yield* receive({
          streams: [silent, same, other],
          endpoints: new Map([["upbit", url]]),
          silenceTimeout: Duration.seconds(3)
        })
        yield* eventually("that it was asked for again", () => requests === 2)
        const before = of(other).length
        yield* eventually("messages after it", () => of(other).length > before + 5)
        expect(eventsOf("Discontinuity")).toEqual([])
      })
  )

  it.scopedLive.each([
    ["of the number before it: is its answer", 21, []],
    ["of a later number: is a doubt", 25, [{ reason: "snapshot" }]]
  ] as const)("bybit: a whole book that comes after a request of our own %s", ([, u, doubts]) =>
    Effect.gen(function* () {
      const id = streamOf("bybit", "BTCUSDT", "orderbook")
      let requests = 0
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          const { op, req_id } = JSON.parse(text)
          peer.send({ success: true, ret_msg: op === "ping" ? "pong" : op, req_id, op })
          if (op !== "subscribe") return
          const send = (type: string, u: number) =>
            peer.send({
              topic: "orderbook.50.BTCUSDT",
              type,
              ts: 1,
              data: { s: "BTCUSDT", b: [], a: [], u, seq: u }
            })
          if (++requests > 1) {
            send("delta", 21)
            setTimeout(() => send("snapshot", u), 500)
            setTimeout(() => send("delta", u + 1), 600)
            return
          }
          send("snapshot", 2)
          for (let u = 3; u <= 20; u++) send("delta", u)
        }
      })
      const { eventsOf, of } = yield* receive({
        streams: [id],
        endpoints: new Map([["bybit", url]]),
        silenceTimeout: Duration.seconds(3)
      })
      yield* eventually("all of them", () => of(id).length === 22)
      expect(eventsOf("StreamHeard")).toHaveLength(1)
      expect(eventsOf("Discontinuity")).toMatchObject(doubts)
      expect(eventsOf("GapDetected")).toEqual([])
    })
  )

  it.scopedLive.each([
    ["both newer", 30, 0],
    ["the first as it was", 20, 1]
  ] as const)(
    "upbit: one of two snapshots after a request of our own is none of ours, and which is not known: %s",
    ([, first, doubtAfter]) =>
      Effect.gen(function* () {
        const id = streamOf("upbit", "KRW-BTC", "trade")
        let requests = 0
        const { url } = yield* scripted({
          onMessage: (peer) => {
            const send = (sequential_id: number, stream_type: string) =>
              peer.send({ type: "trade", code: "KRW-BTC", trade_timestamp: 1, sequential_id, stream_type })
            if (++requests > 1) {
              send(first, "SNAPSHOT")
              setTimeout(() => send(40, "SNAPSHOT"), 500)
            } else for (let n = 1; n <= 20; n++) send(n, "REALTIME")
          }
        })
        const { eventsOf, of } = yield* receive({
          streams: [id],
          endpoints: new Map([["upbit", url]]),
          silenceTimeout: Duration.seconds(3)
        })
        yield* eventually("all of them", () => of(id).some((each) => each.exchangeSequenceId.includes("40")))
        const stamps = of(id).map(({ timestamp }) => timestamp)
        expect(eventsOf("Discontinuity")).toMatchObject([{ reason: "snapshot", before: stamps.at(-1) }])
        expect(eventsOf("Discontinuity")[0]?.after).toBeLessThanOrEqual(stamps[19 + doubtAfter] ?? 0)
      })
  )

  it.scopedLive("kraken: a new snapshot on the same connection begins the book anew", () =>
    Effect.gen(function* () {
      const id = streamOf("kraken", "BTC/USD", "orderbook")
      const { url } = yield* scripted({
        onMessage: (peer) => {
          for (const [i, type] of ["snapshot", "update", "snapshot", "update"].entries()) {
            const data = [{ symbol: "BTC/USD", checksum: i, timestamp: "2026-08-24T22:34:13.813164Z" }]
            peer.send({ channel: "book", type, data })
          }
        }
      })
      const { eventsOf, of } = yield* receive({ streams: [id], endpoints: new Map([["kraken", url]]) })
      yield* eventually("messages", () => of(id).length === 4)
      expect(eventsOf("Discontinuity")).toMatchObject([
        { stream: id, reason: "snapshot", before: of(id)[2]?.timestamp }
      ])
    })
  )
})

const reservedFrame = Buffer.from([0xb1, 0x00])

describe("the end of a connection", () => {
  it.scopedLive("is told with the error and the close code", () =>
    Effect.gen(function* () {
      const { url } = yield* scripted({ onMessage: (peer) => peer.sendRaw(reservedFrame) })
      const { eventsOf } = yield* receive({
        streams: [streamOf("binance", "btcusdt", "trade")],
        endpoints: new Map([["binance", url]])
      })
      yield* eventually("the end", () => eventsOf("ConnectionEnded").length > 0)
      expect(eventsOf("ConnectionEnded")[0]).toMatchObject({ kind: "closed", code: 1006 })
      expect(eventsOf("ConnectionEnded")[0]?.reason).toContain("RSV2 and RSV3 must be clear")
    })
  )
})
