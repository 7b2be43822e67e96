import { Duration, Either, Option, Schema } from "effect"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import { garbageBytes, garbageShape, garbageText, requestOf } from "./market/requests.ts"
import { changesSource, type Levels, tradesSource } from "./market/sources.ts"
import {
  type ClientSession,
  type ExchangeSays,
  type MarketOptions,
  noEnvelope,
  type Protocol
} from "./Protocol.ts"

/**
 * Kraken spot's public market data, based on docs.kraken.com/api, WebSocket v2 (2026): channels `book` and `trade`, one answer
 * for each symbol. Streams are named `book:<pair>` and `trade:<pair>` here. Checksums are constant.
 */
export const kraken = (options: MarketOptions): Protocol => {
  const market = memoize((symbol) => makeInstrument(symbol, options))
  const find = (symbol: string) => (options.symbols.has(symbol) ? market(symbol) : undefined)
  return {
    name: "kraken",
    path: "/v2",
    messages: [{ count: 100, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: { count: 150, per: Duration.minutes(10) },
    binary: false,
    keepalive: null,
    idle: Duration.seconds(60),
    firstMessageWithin: null,
    heartbeatEvery: Duration.seconds(1),
    instruments: {
      path: "/0/public/AssetPairs",
      list: (symbols, query) => {
        const ofClass = query.get("aclass_base") ?? "currency"
        return {
          error: [],
          result: Object.fromEntries(
            symbols
              .filter(({ symbol }) => classOf(symbol) === ofClass)
              .map(({ status = "online", symbol }) => [
                symbol.replace("/", ""),
                {
                  wsname: symbol.replace(/^BTC\//, "XBT/"),
                  aclass_base: ofClass,
                  status,
                  execution_venue: symbol.endsWith(":BTNL") ? "bitnomial-exchange" : "international"
                }
              ])
          )
        }
      }
    },
    connect: (url) =>
      url.pathname === "/v2"
        ? Either.right(makeClientSession((symbol) => find(symbol) !== undefined))
        : Either.left({ status: 404, reason: "no such path" }),
    source: (stream) => {
      const [channel, symbol = ""] = stream.split(":")
      const instrument = find(symbol)
      if (instrument === undefined) return Option.none()
      if (channel === "book") return Option.some(books(stream, instrument))
      return channel === "trade" ? Option.some(trades(stream, instrument)) : Option.none()
    }
  }
}

/** The asset class. Tokenised stocks have a lower-case x after their name, such as TSLAx. */
const classOf = (symbol: string): string => (/^[A-Z0-9.]+x\//.test(symbol) ? "tokenized_asset" : "currency")

const decode = requestOf(
  Schema.Union(
    Schema.Struct({
      method: Schema.Literal("subscribe", "unsubscribe"),
      params: Schema.Struct({
        channel: Schema.Literal("book", "trade"),
        symbol: Schema.NonEmptyArray(Schema.String)
      }),
      req_id: Schema.optional(Schema.Int)
    }),
    Schema.Struct({ method: Schema.Literal("ping"), req_id: Schema.optional(Schema.Int) })
  )
)

const times = '"time_in":"2026-08-24T22:21:56.724795Z","time_out":"2026-08-24T22:21:56.724853Z"'

const statusFrame = ({ status }: ExchangeSays): string =>
  JSON.stringify({
    channel: "status",
    type: "update",
    data: [{ version: "2.0.10", system: status, api_version: "v2", connection_id: "CONNECTION" }]
  }).replace('"CONNECTION"', "806193442143087786")

const makeClientSession = (exists: (symbol: string) => boolean): ClientSession => ({
  streams: [],
  greeting: statusFrame,
  says: statusFrame,
  receive: (text, peer) =>
    Either.match(decode(text), {
      onLeft: () => [`{"error":"Malformed request","method":"","success":false,${times}}`],
      onRight: (request) => {
        if (request.method === "ping") return [`{"method":"pong",${times}}`]
        const { method, params, req_id } = request
        const id = req_id === undefined ? "" : `"req_id":${req_id},`
        return params.symbol.map((symbol) => {
          const stream = `${params.channel}:${symbol}`
          if (method === "subscribe" && !exists(symbol)) {
            return `{"error":"Currency pair not supported ${symbol}","method":"${method}",${id}"success":false,"symbol":"${symbol}",${times}}`
          }
          if (method === "subscribe") peer.subscribe(stream)
          else peer.unsubscribe(stream)
          return `{"method":"${method}",${id}"result":{"channel":"${params.channel}","snapshot":true,"symbol":"${symbol}"},"success":true,${times}}`
        })
      }
    }),
  envelope: () => noEnvelope,
  garbage: (kind, stream) => {
    const [channel = "trade", symbol = "X"] = stream.split(":")
    switch (kind) {
      case "text":
        return garbageText
      case "truncated":
        return `{"channel":"${channel}","type":"update","data":[{"symbol":"${symbol}","bids":[{"price":7887`
      case "shape":
        return garbageShape
      case "binary":
        return garbageBytes
      case "noid":
        return `{"channel":"${channel}","type":"update","data":[{"symbol":"${symbol}","price":1}]}`
    }
  },
  // Kraken does not announce on this connection that it is going to close.
  closingNotice: () => '{"channel":"heartbeat"}',
  heartbeat: () => '{"channel":"heartbeat"}'
})

const timeOf = (now: number, number: number): string =>
  new Date(now).toISOString().replace("Z", `${String(number % 1000).padStart(3, "0")}Z`)

const books = (stream: string, instrument: Instrument) => {
  let number = 0
  const frame = (type: string, { asks, bids }: Levels, now: number) => {
    const side = (levels: Levels["asks"]) =>
      levels.map(([price, quantity]) => `{"price":${price},"qty":${quantity}}`).join(",")
    return (
      `{"channel":"book","type":"${type}","data":[{"symbol":"${instrument.symbol}","bids":[${side(bids)}],` +
      `"asks":[${side(asks)}],"checksum":2416540570,"timestamp":"${timeOf(now, ++number)}"}]}`
    )
  }
  return changesSource(stream, instrument, {
    change: (levels, now) => ({ id: String(number), text: frame("update", levels, now) }),
    snapshot: (levels, now) => frame("snapshot", levels, now),
    missed: () => {}
  })
}

const trades = (stream: string, instrument: Instrument) =>
  tradesSource(stream, instrument, {
    most: 3,
    write: (trades) => {
      const data = trades.map(
        (trade) =>
          `{"symbol":"${instrument.symbol}","side":"${trade.side}","price":${trade.price},"qty":${trade.quantity},` +
          `"ord_type":"limit","trade_id":${trade.id},"timestamp":"${timeOf(trade.time, trade.id)}"}`
      )
      const [first] = trades
      const last = trades.at(-1)
      return {
        id: trades.length === 1 ? String(first?.id) : `${first?.id}-${last?.id}-${trades.length}`,
        text: `{"channel":"trade","type":"update","data":[${data.join(",")}]}`
      }
    }
  })
