import { Duration, Either, Option, Schema } from "effect"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import { garbageBytes, garbageShape, garbageText, requestOf } from "./market/requests.ts"
import { tradesSource, wholeBooksSource } from "./market/sources.ts"
import { type ClientSession, type MarketOptions, noEnvelope, type Protocol } from "./Protocol.ts"

/**
 * Upbit's public market data, based on docs.upbit.com/kr/reference and measurements from September 2026. Frames are binary,
 * requests are not acknowledged, each request replaces the previous one, and unknown codes are ignored. A connection is closed
 * when its client sends nothing for 60 s. Streams are named `orderbook:<code>` and `trade:<code>` here. DEFAULT is the only
 * format supported.
 */
export const upbit = (options: MarketOptions): Protocol => {
  const market = memoize((symbol) => makeInstrument(symbol, options))
  const find = (symbol: string) => (options.symbols.has(symbol) ? market(symbol) : undefined)
  return {
    name: "upbit",
    path: "/websocket/v1",
    messages: [
      { count: 5, per: Duration.seconds(1) },
      { count: 100, per: Duration.minutes(1) }
    ],
    messagesOf: "connection",
    connections: { count: 5, per: Duration.seconds(1) },
    binary: true,
    keepalive: null,
    idle: Duration.seconds(60),
    firstMessageWithin: null,
    heartbeatEvery: null,
    instruments: {
      path: "/v1/market/all",
      list: (symbols) =>
        symbols.map(({ symbol }) => ({ market: symbol, korean_name: symbol, english_name: symbol }))
    },
    connect: (url) =>
      url.pathname === "/websocket/v1"
        ? Either.right(makeClientSession((symbol) => find(symbol) !== undefined))
        : Either.left({ status: 404, reason: "no such path" }),
    source: (stream) => {
      const [type, code = ""] = stream.split(":")
      const instrument = find(code)
      if (instrument === undefined) return Option.none()
      if (type === "orderbook") return Option.some(books(stream, instrument))
      return type === "trade" ? Option.some(trades(stream, instrument)) : Option.none()
    }
  }
}

const decode = requestOf(
  Schema.Array(
    Schema.Struct({
      ticket: Schema.optional(Schema.String),
      type: Schema.optional(Schema.String),
      codes: Schema.optional(Schema.Array(Schema.String)),
      format: Schema.optional(Schema.String)
    })
  )
)

const error = (name: string) => JSON.stringify({ error: { name, message: "simulated" } })

const makeClientSession = (exists: (symbol: string) => boolean): ClientSession => ({
  streams: [],
  receive: (text, peer) => {
    if (text === "PING") return ['{"status":"UP"}']
    return Either.match(decode(text), {
      onLeft: () => [error("WRONG_FORMAT")],
      onRight: (parts) => {
        if (!parts.some(({ ticket }) => ticket !== undefined)) return [error("NO_TICKET")]
        const lists = parts.filter(({ type }) => type !== undefined)
        if (lists.length === 0) return [error("NO_TYPE")]
        if (lists.some(({ type }) => type !== "orderbook" && type !== "trade"))
          return [error("INVALID_PARAM")]
        if (lists.some(({ codes }) => codes === undefined || codes.length === 0)) return [error("NO_CODES")]
        const wanted = new Set(
          lists.flatMap(({ codes = [], type }) => codes.filter(exists).map((code) => `${type}:${code}`))
        )
        for (const stream of peer.subscriptions()) if (!wanted.has(stream)) peer.unsubscribe(stream)
        for (const stream of wanted) peer.subscribe(stream)
        return []
      }
    })
  },
  envelope: () => noEnvelope,
  garbage: (kind, stream) => {
    const [type = "trade", code = "X"] = stream.split(":")
    switch (kind) {
      case "text":
        return garbageText
      case "truncated":
        return `{"type":"${type}","code":"${code}","timestamp":17901347421`
      case "shape":
        return garbageShape
      case "binary":
        return garbageBytes
      case "noid":
        return `{"type":"${type}","code":"${code}","stream_type":"REALTIME"}`
    }
  },
  // Upbit does not announce that it is going to close.
  closingNotice: () => '{"status":"UP"}'
})

const books = (stream: string, instrument: Instrument) => {
  let number = 0
  return wholeBooksSource(stream, instrument, ({ asks, bids }, now, isSnapshot) => {
    const units = asks.map(([askPrice, askSize], i) => {
      const [bidPrice, bidSize] = bids[i] ?? ["0", "0"]
      return `{"ask_price":${askPrice},"bid_price":${bidPrice},"ask_size":${askSize},"bid_size":${bidSize}}`
    })
    return {
      id: String(++number),
      text:
        `{"type":"orderbook","code":"${instrument.symbol}","timestamp":${now},"total_ask_size":1.5,"total_bid_size":2.5,` +
        `"orderbook_units":[${units.join(",")}],"stream_type":"${isSnapshot ? "SNAPSHOT" : "REALTIME"}","level":0}`
    }
  })
}

const trades = (stream: string, instrument: Instrument) => {
  const frame = (
    trade: {
      readonly id: number
      readonly price: string
      readonly quantity: string
      readonly side: string
      readonly time: number
    },
    now: number,
    type: string
  ) => {
    const id = `${trade.time}${String(trade.id % 10_000).padStart(4, "0")}`
    const text =
      `{"type":"trade","code":"${instrument.symbol}","timestamp":${now},"trade_timestamp":${trade.time},` +
      `"trade_price":${trade.price},"trade_volume":${trade.quantity},"ask_bid":"${trade.side === "buy" ? "BID" : "ASK"}",` +
      `"sequential_id":${id},"stream_type":"${type}"}`
    return { id, text }
  }
  return tradesSource(stream, instrument, {
    most: 1,
    write: ([trade], now) => (trade === undefined ? { id: "", text: "{}" } : frame(trade, now, "REALTIME")),
    snapshot: ([trade], now) => (trade === undefined ? "{}" : frame(trade, now, "SNAPSHOT").text)
  })
}
