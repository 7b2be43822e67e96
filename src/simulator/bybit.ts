import { Duration, Either, Option, Schema } from "effect"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import { garbageBytes, garbageShape, garbageText, requestOf } from "./market/requests.ts"
import { changesSource, type Levels, tradesSource } from "./market/sources.ts"
import { type ClientSession, type MarketOptions, noEnvelope, type Peer, type Protocol } from "./Protocol.ts"

/**
 * Bybit v5 spot's public market data, based on bybit-exchange/docs, v5/websocket (July 2026): `orderbook.50.<symbol>` and
 * `publicTrade.<symbol>`. A request is refused as a whole if one of its topics is bad or if it has more than ten.
 * `system.status` has its own address.
 */
export const bybit = (options: MarketOptions): Protocol => {
  const market = memoize((symbol) => makeInstrument(symbol, options))
  const find = (symbol: string) => (options.symbols.has(symbol) ? market(symbol) : undefined)
  let connections = 0
  return {
    name: "bybit",
    path: "/v5/public/spot",
    messages: [{ count: 100, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: { count: 500, per: Duration.minutes(5) },
    binary: false,
    keepalive: null,
    idle: Duration.minutes(10),
    firstMessageWithin: null,
    heartbeatEvery: null,
    instruments: {
      path: "/v5/market/instruments-info",
      list: (symbols) => ({
        retCode: 0,
        result: { list: symbols.map(({ status = "Trading", symbol }) => ({ symbol, status })) }
      })
    },
    connect: (url) =>
      url.pathname === "/v5/public/spot"
        ? Either.right(
            makeClientSession(`simulated-${++connections}`, (symbol) => find(symbol) !== undefined)
          )
        : url.pathname === "/v5/public/misc/status"
          ? Either.right(makeStatusSession(`simulated-${++connections}`))
          : Either.left({ status: 404, reason: "no such path" }),
    source: (topic) => {
      const parsed = readTopic(topic)
      const instrument = parsed === undefined ? undefined : find(parsed.symbol)
      if (parsed === undefined || instrument === undefined) return Option.none()
      return Option.some(
        parsed.channel === "publicTrade" ? trades(topic, instrument) : books(topic, instrument)
      )
    }
  }
}

const topicsPerRequest = 10

const readTopic = (topic: string) => {
  const [, channel, symbol] = /^(orderbook\.50|publicTrade)\.([A-Z0-9]+)$/.exec(topic) ?? []
  return channel === undefined || symbol === undefined ? undefined : { channel, symbol }
}

const decode = requestOf(
  Schema.Struct({
    op: Schema.String,
    req_id: Schema.optional(Schema.String),
    args: Schema.optional(Schema.Array(Schema.String))
  })
)

const answerOf =
  (connection: string) => (success: boolean, message: string, op: string, request: string | undefined) =>
    JSON.stringify({ success, ret_msg: message, conn_id: connection, req_id: request, op })

const makeClientSession = (connection: string, exists: (symbol: string) => boolean): ClientSession => {
  const answer = answerOf(connection)

  const problemOf = (topic: string, peer: Peer): string | undefined => {
    const parsed = readTopic(topic)
    if (parsed === undefined) return `error:handler not found,topic:${topic}`
    if (!exists(parsed.symbol)) return `Invalid symbol :[${topic}]`
    return peer.subscriptions().includes(topic) ? `error:already subscribed,topic:${topic}` : undefined
  }

  return {
    streams: [],
    receive: (text, peer) =>
      Either.match(decode(text), {
        onLeft: () => [answer(false, "Failed to decode incoming data", "", undefined)],
        onRight: ({ args = [], op, req_id }) => {
          if (op === "ping") return [answer(true, "pong", "ping", req_id)]
          if (op === "unsubscribe") {
            for (const topic of args) peer.unsubscribe(topic)
            return [answer(true, "", op, req_id)]
          }
          if (op !== "subscribe") return [answer(false, "error:invalid op", op, req_id)]
          if (args.length > topicsPerRequest) return [answer(false, "args size >10", op, req_id)]
          const problem = args.map((topic) => problemOf(topic, peer)).find((line) => line !== undefined)
          if (problem !== undefined) return [answer(false, problem, op, req_id)]
          for (const topic of args) peer.subscribe(topic)
          return [answer(true, "subscribe", op, req_id)]
        }
      }),
    envelope: () => noEnvelope,
    garbage: (kind, stream) => {
      switch (kind) {
        case "text":
          return garbageText
        case "truncated":
          return `{"topic":"${stream}","ts":1787612486116,"type":"delta","data":{"s":"X","b":[["78715","1.2`
        case "shape":
          return garbageShape
        case "binary":
          return garbageBytes
        case "noid":
          return `{"topic":"${stream}","ts":1787612486116,"type":"delta","data":{"s":"X","b":[],"a":[]}}`
      }
    },
    // Bybit does not announce on this connection that it is going to close.
    closingNotice: () => answer(true, "", "notice", undefined)
  }
}

/** A session for `system.status` only, which reports changes of maintenances. */
const makeStatusSession = (connection: string): ClientSession => {
  const answer = answerOf(connection)
  let isTold = false
  return {
    streams: [],
    receive: (text) =>
      Either.match(decode(text), {
        onLeft: () => [answer(false, "Failed to decode incoming data", "", undefined)],
        onRight: ({ args = [], op, req_id }) => {
          if (op === "ping") return [answer(true, "pong", "ping", req_id)]
          const problem = args.find((topic) => topic !== "system.status")
          if (op !== "subscribe" || problem !== undefined) {
            return [answer(false, `error:handler not found,topic:${problem ?? ""}`, op, req_id)]
          }
          isTold = true
          return [answer(true, "subscribe", op, req_id)]
        }
      }),
    envelope: () => noEnvelope,
    garbage: (kind) => (kind === "binary" ? garbageBytes : kind === "text" ? garbageText : garbageShape),
    closingNotice: () => answer(true, "", "notice", undefined),
    says: ({ status, text }) =>
      isTold
        ? JSON.stringify({
            topic: "system.status",
            ts: 1751858399649,
            data: [
              {
                id: "4d95b2a0-587f-11f0-bcc9-56f28c94d6ea",
                title: text === "" ? "System maintenance" : text,
                state: status,
                begin: "1798675200000",
                end: "1798678800000",
                href: "",
                serviceTypes: [2, 3, 4, 5],
                product: [1, 2],
                uidSuffix: [],
                maintainType: 1,
                env: 1
              }
            ]
          })
        : undefined
  }
}

const books = (topic: string, instrument: Instrument) => {
  let updateId = 200_000_000
  let sequence = 100_000_000_000
  const frame = (type: string, { asks, bids }: Levels, now: number) =>
    `{"topic":"${topic}","ts":${now},"type":"${type}","data":{"s":"${instrument.symbol}","b":${JSON.stringify(bids)},` +
    `"a":${JSON.stringify(asks)},"u":${updateId},"seq":${sequence}},"cts":${now - 3}}`
  return changesSource(topic, instrument, {
    change: (levels, now) => {
      updateId++
      sequence += 1 + (updateId % 7)
      return { id: `${updateId}-${sequence}`, text: frame("delta", levels, now) }
    },
    snapshot: (levels, now) => frame("snapshot", levels, now),
    missed: (count) => {
      updateId += count
      sequence += 5 * count
    }
  })
}

const trades = (topic: string, instrument: Instrument) =>
  tradesSource(topic, instrument, {
    most: 4,
    write: (trades, now) => {
      const ids = trades.map((trade) => `22900000${trade.id.toString().padStart(11, "0")}`)
      const first = ids[0] ?? ""
      const data = trades.map((trade, i) => ({
        i: ids[i],
        T: trade.time,
        p: trade.price,
        v: trade.quantity,
        S: trade.side === "buy" ? "Buy" : "Sell",
        seq: 100_000_000_000 + trade.id,
        s: instrument.symbol,
        BT: false,
        RPI: false
      }))
      return {
        id: ids.length === 1 ? first : `${first}-${ids.at(-1)}-${ids.length}`,
        text: `{"topic":"${topic}","ts":${now},"type":"snapshot","data":${JSON.stringify(data)}}`
      }
    }
  })
