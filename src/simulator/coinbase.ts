import { Duration, Either, Option, Schema } from "effect"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import { garbageBytes, garbageShape, garbageText, requestOf } from "./market/requests.ts"
import { changesSource, type Levels, type Trade, tradesSource } from "./market/sources.ts"
import type { ClientSession, ExchangeSays, MarketOptions, Peer, Protocol } from "./Protocol.ts"

/**
 * Coinbase Advanced Trade's public market data, based on docs.cdp.coinbase.com (August 2026): channels `level2`,
 * `market_trades`, `status` and `heartbeats`. Every frame of a connection has the next `sequence_num`, including answers and
 * heartbeats. The answer to a request lists everything the connection is subscribed to; products that do not exist are missing
 * from it. Streams are named `level2:<product>` and `market_trades:<product>` here. `X-USD` and `X-USDC` are one market, sent
 * under the first name whichever was requested; only USDT-USDC and EURC-USDC are markets of their own.
 */
export const coinbase = (options: MarketOptions): Protocol => {
  const market = memoize((symbol) => makeInstrument(symbol, { ...options, bookBytes: 0 }))
  const exists = (product: string) =>
    options.symbols.has(product) ||
    Array.from(options.symbols).some((symbol) => canonicalOf(symbol) === canonicalOf(product))
  const find = (product: string) => (exists(product) ? market(product) : undefined)
  return {
    name: "coinbase",
    path: "/",
    messages: [{ count: 8, per: Duration.seconds(1) }],
    messagesOf: "address",
    connections: { count: 8, per: Duration.seconds(1) },
    binary: false,
    keepalive: null,
    idle: null,
    firstMessageWithin: Duration.seconds(5),
    heartbeatEvery: Duration.seconds(1),
    instruments: {
      path: "/api/v3/brokerage/market/products",
      list: (symbols) => ({
        products: symbols.map(({ status = "online", symbol }) => ({
          product_id: symbol,
          alias: canonicalOf(symbol) === symbol ? "" : canonicalOf(symbol),
          // A restriction of a product is a flag beside its status.
          ...(flags.includes(status) ? { status: "online", [status]: true } : { status })
        }))
      })
    },
    connect: () => Either.right(makeClientSession(exists, options.clock)),
    source: (stream) => {
      const [channel, product = ""] = stream.split(":")
      const instrument = find(product)
      if (instrument === undefined) return Option.none()
      if (channel === "level2") return Option.some(books(stream, instrument, options.bookBytes))
      return channel === "market_trades" ? Option.some(trades(stream, instrument)) : Option.none()
    }
  }
}

/** Restrictions of a product, each a separate member. */
const flags = [
  "auction_mode",
  "cancel_only",
  "is_disabled",
  "limit_only",
  "post_only",
  "trading_disabled",
  "view_only"
]

/** The name under which a product is sent. */
const canonicalOf = (product: string): string =>
  product.endsWith("-USDC") && product !== "USDT-USDC" && product !== "EURC-USDC"
    ? product.slice(0, -1)
    : product

const decode = requestOf(
  Schema.Struct({
    type: Schema.Literal("subscribe", "unsubscribe"),
    channel: Schema.String,
    product_ids: Schema.optional(Schema.Array(Schema.String)),
    jwt: Schema.optional(Schema.String)
  })
)

const inFrames = new Map([["level2", "l2_data"]])

const makeClientSession = (exists: (symbol: string) => boolean, clock: () => number): ClientSession => {
  let sequence = 0
  let heartbeats = false
  let beats = 12_000
  const told = new Set<string>()
  const head = (channel: string) =>
    `{"channel":"${channel}","timestamp":"${nanos(clock(), sequence)}","sequence_num":${sequence++},"events":[`
  const tail = Buffer.from("]}")

  const subscriptions = (peer: Peer): string => {
    const lists: Record<string, Array<string>> = heartbeats ? { heartbeats: ["heartbeats"] } : {}
    if (told.size > 0) lists.status = [...told]
    for (const stream of peer.subscriptions()) {
      const [channel = "", product = ""] = stream.split(":")
      lists[channel] = [...(lists[channel] ?? []), product]
    }
    return `${head("subscriptions")}${JSON.stringify({ subscriptions: lists })}]}`
  }

  const statuses = ({ status, text }: ExchangeSays): string => {
    const products = Array.from(told, (id) => ({
      product_type: "SPOT",
      id,
      display_name: id.replace("-", "/"),
      status,
      status_message: text,
      min_market_funds: "1"
    }))
    return `${head("status")}${JSON.stringify({ type: "snapshot", products })}]}`
  }

  return {
    streams: [],
    says: (system) => (told.size > 0 ? statuses(system) : undefined),
    receive: (text, peer, system) =>
      Either.match(decode(text), {
        onLeft: () => ['{"type":"error","message":"failure to parse request"}'],
        onRight: ({ channel, product_ids = [], type }) => {
          if (channel === "status" && type === "subscribe") {
            for (const product of product_ids) if (exists(product)) told.add(product)
            return [subscriptions(peer), statuses(system)]
          }
          if (channel === "heartbeats") heartbeats = type === "subscribe"
          else if (channel !== "level2" && channel !== "market_trades") {
            return ['{"type":"error","message":"failure to subscribe"}']
          }
          for (const product of product_ids) {
            const stream = `${channel}:${canonicalOf(product)}`
            if (type === "unsubscribe") peer.unsubscribe(stream)
            else if (exists(product)) peer.subscribe(stream)
          }
          return [subscriptions(peer)]
        }
      }),
    envelope: (stream) => {
      const [channel = ""] = stream.split(":")
      return { before: Buffer.from(head(inFrames.get(channel) ?? channel)), after: tail }
    },
    garbage: (kind, stream) => {
      const [, product = "X"] = stream.split(":")
      switch (kind) {
        case "text":
          return garbageText
        case "truncated":
          return `{"channel":"l2_data","timestamp":"2026-09-30T02:39:53.798423713Z","events":[{"type":"update","product_id":"${product}","upd`
        case "shape":
          return garbageShape
        case "binary":
          return garbageBytes
        case "noid":
          return `{"channel":"l2_data","timestamp":"2026-09-30T02:39:53.798423713Z","events":[{"type":"update","product_id":"${product}","updates":[]}]}`
      }
    },
    // Coinbase does not announce that it is going to close.
    closingNotice: () => `${head("status")}]}`,
    missed: () => {
      sequence++
    },
    rewind: (count) => {
      sequence = Math.max(0, sequence - count)
    },
    heartbeat: (now) =>
      heartbeats
        ? `${head("heartbeats")}{"current_time":"${new Date(now).toISOString()}","heartbeat_counter":${++beats}}]}`
        : undefined
  }
}

/** Formats a time with nine decimals, without trailing zeros. */
const nanos = (now: number, number: number): string => {
  const below = String((number * 7919) % 1_000_000).padStart(6, "0")
  return `${new Date(now).toISOString().replace("Z", below).replace(/0+$/, "")}Z`
}

const books = (stream: string, instrument: Instrument, bookBytes: number) => {
  let number = 0
  const frame = (type: string, { asks, bids }: Levels, now: number) => {
    const time = `"event_time":"${type === "snapshot" ? "1970-01-01T00:00:00Z" : new Date(now).toISOString()}"`
    const side = (name: string, levels: Levels["asks"]) =>
      levels.map(
        ([price, quantity]) =>
          `{"side":"${name}",${time},"price_level":"${price}","new_quantity":"${quantity}"}`
      )
    return (
      `{"type":"${type}","product_id":"${instrument.symbol}","updates":[` +
      `${[...side("bid", bids), ...side("offer", asks)].join(",")}]}`
    )
  }
  return changesSource(stream, instrument, {
    change: (levels, now) => ({ id: String(++number), text: frame("update", levels, now) }),
    snapshot: (levels, now) => {
      // As many levels far from the market as needed to reach the size.
      const far = Array.from({ length: Math.floor(bookBytes / 130) }, (_, i) => [`0.${i + 1}`, "1"] as const)
      return frame("snapshot", { bids: [...levels.bids, ...far], asks: levels.asks }, now)
    },
    missed: () => {}
  })
}

const trades = (stream: string, instrument: Instrument) => {
  const event = (type: string, trades: ReadonlyArray<Trade>) => {
    const data = trades.toReversed().map((trade) => ({
      product_id: instrument.symbol,
      trade_id: String(trade.id),
      price: trade.price,
      size: trade.quantity,
      time: new Date(trade.time).toISOString(),
      // The maker's side.
      side: trade.side === "buy" ? "SELL" : "BUY"
    }))
    return `{"type":"${type}","trades":${JSON.stringify(data)}}`
  }
  return tradesSource(stream, instrument, {
    most: 3,
    write: (trades) => {
      const first = trades[0]?.id
      const last = trades.at(-1)?.id
      return {
        id: trades.length === 1 ? String(first) : `${last}-${first}-${trades.length}`,
        text: event("update", trades)
      }
    },
    snapshot: (newest) => event("snapshot", newest)
  })
}
