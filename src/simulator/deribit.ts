import { Duration, Either, Option, Schema } from "effect"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import { garbageBytes, garbageShape, garbageText, requestOf } from "./market/requests.ts"
import { changesSource, type Level, type Levels, tradesSource, wholeBooksSource } from "./market/sources.ts"
import { type ClientSession, type MarketOptions, noEnvelope, type Protocol, type Source } from "./Protocol.ts"

/**
 * Deribit's public market data, based on docs.deribit.com, API v2, and on probes of September 2026: the channels `book`,
 * `trades`, `ticker`, `quote` and `perpetual`, the last one for perpetuals only. Channels that do not exist are left out of the
 * answer; subscribing again changes nothing and sends no book.
 */
export const deribit = (options: MarketOptions): Protocol => {
  const market = memoize((symbol) => makeInstrument(symbol, options))
  const find = (channel: string) => {
    const [, name = "", symbol = ""] =
      /^(book|trades|ticker|perpetual)\.([^.]+)\.100ms$/.exec(channel) ??
      /^(quote)\.([^.]+)$/.exec(channel) ??
      []
    const exists = options.symbols.has(symbol) && (name !== "perpetual" || symbol.endsWith("-PERPETUAL"))
    return exists ? { name, instrument: market(symbol) } : undefined
  }
  return {
    name: "deribit",
    path: "/ws/api/v2",
    messages: [{ count: 10, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: { count: 32, per: Duration.seconds(1) },
    binary: false,
    keepalive: null,
    idle: Duration.seconds(60),
    firstMessageWithin: null,
    heartbeatEvery: Duration.millis(250),
    instruments: {
      path: "/api/v2/public/get_instruments",
      list: (symbols) => ({
        jsonrpc: "2.0",
        result: symbols.map(({ status = "open", symbol }) => ({
          instrument_name: symbol,
          is_active: status === "open",
          state: status,
          tick_size: 0.5
        })),
        testnet: false
      })
    },
    connect: (url) =>
      url.pathname === "/ws/api/v2"
        ? Either.right(makeClientSession((channel) => find(channel) !== undefined))
        : Either.left({ status: 404, reason: "no such path" }),
    source: (channel) => Option.map(Option.fromNullable(find(channel)), (found) => sourceOf(channel, found))
  }
}

const decode = requestOf(
  Schema.Struct({
    id: Schema.optional(Schema.Union(Schema.String, Schema.Number)),
    method: Schema.String,
    params: Schema.optional(
      Schema.Struct({
        channels: Schema.optional(Schema.Array(Schema.String)),
        interval: Schema.optional(Schema.Number)
      })
    )
  })
)

const makeClientSession = (exists: (channel: string) => boolean): ClientSession => {
  let isTold = false
  let heartbeatMillis = Number.POSITIVE_INFINITY
  let heartbeatAt = Number.NaN
  let heartbeats = 0
  const answer = (id: string | number | undefined, content: object) =>
    JSON.stringify({ jsonrpc: "2.0", id, ...content, usIn: 1, usOut: 2, usDiff: 1, testnet: false })
  return {
    streams: [],
    receive: (text, peer) =>
      Either.match(decode(text), {
        onLeft: () => [answer(undefined, { error: { code: -32700, message: "Parse error" } })],
        onRight: ({ id, method, params: { channels = [], interval = 0 } = {} }) => {
          const known = peer.subscriptions()
          switch (method) {
            case "public/set_heartbeat":
              heartbeatMillis = interval * 1000
              return [answer(id, { result: "ok" })]
            case "public/test":
              return [answer(id, { result: { version: "1.2.26" } })]
            case "public/subscribe": {
              const taken = channels.filter((channel) => channel === "platform_state" || exists(channel))
              isTold ||= taken.includes("platform_state")
              const fresh = taken.filter((channel) => exists(channel) && !known.includes(channel))
              // In any order.
              const result = [...taken].reverse()
              for (const channel of fresh) peer.subscribe(channel)
              return [answer(id, { result })]
            }
            case "public/unsubscribe": {
              const result = channels.filter((channel) => known.includes(channel))
              for (const channel of result) peer.unsubscribe(channel)
              return [answer(id, { result })]
            }
            default:
              return [answer(id, { error: { code: -32601, message: "Method not found" } })]
          }
        }
      }),
    envelope: () => noEnvelope,
    garbage: (kind, channel) => {
      switch (kind) {
        case "text":
          return garbageText
        case "truncated":
          return frameOf(channel, '{"type":"change","bids":[["new",7887').slice(0, -2)
        case "shape":
          return garbageShape
        case "binary":
          return garbageBytes
        case "noid":
          return frameOf(channel, channel.startsWith("trades") ? '[{"price":1}]' : '{"bids":[],"asks":[]}')
      }
    },
    // Deribit does not announce on this connection that it is going to close.
    closingNotice: () => heartbeatOf("heartbeat"),
    says: ({ status }) =>
      isTold ? frameOf("platform_state", `{"maintenance":${status !== "online"}}`) : undefined,
    heartbeat: (now) => {
      if (Number.isNaN(heartbeatAt)) heartbeatAt = now
      if (now - heartbeatAt < heartbeatMillis) return undefined
      heartbeatAt = now
      return heartbeatOf(heartbeats++ % 2 === 0 ? "test_request" : "heartbeat")
    }
  }
}

const heartbeatOf = (type: string): string =>
  `{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"${type}"}}`

const frameOf = (channel: string, data: string): string =>
  `{"jsonrpc":"2.0","method":"subscription","params":{"channel":"${channel}","data":${data}}}`

const sourceOf = (
  channel: string,
  { instrument, name }: { readonly name: string; readonly instrument: Instrument }
): Source => {
  if (name === "book") return books(channel, instrument)
  return name === "trades" ? trades(channel, instrument) : states(channel, name, instrument)
}

const books = (channel: string, instrument: Instrument) => {
  const random = instrument.randomOf(`${channel} ids`)
  const known = new Set<string>()
  let changeId = 80_000_000_000
  const side = (levels: ReadonlyArray<Level>, isWhole: boolean) =>
    levels.map(([price, amount]) => {
      const isKnown = known.has(price) && !isWhole
      if (amount === "0") known.delete(price)
      else known.add(price)
      return `["${amount === "0" ? "delete" : isKnown ? "change" : "new"}",${price},${amount}]`
    })
  const frame = (type: string, { asks, bids }: Levels, now: number, previous: string) =>
    frameOf(
      channel,
      `{"type":"${type}","timestamp":${now},${previous}"instrument_name":"${instrument.symbol}","change_id":${changeId},` +
        `"bids":[${side(bids, type === "snapshot")}],"asks":[${side(asks, type === "snapshot")}]}`
    )
  return changesSource(channel, instrument, {
    change: (levels, now) => {
      const previous = changeId
      changeId += 1 + Math.floor(random() * 60)
      return {
        id: `${previous}-${changeId}`,
        text: frame("change", levels, now, `"prev_change_id":${previous},`)
      }
    },
    snapshot: (levels, now) => frame("snapshot", levels, now, ""),
    missed: (count) => {
      changeId += 20 * count
    }
  })
}

const trades = (channel: string, instrument: Instrument) =>
  tradesSource(channel, instrument, {
    most: 3,
    write: (trades) => {
      const data = trades.map(
        (trade) =>
          `{"trade_seq":${trade.id},"trade_id":"${trade.id}","timestamp":${trade.time},"price":${trade.price},` +
          `"amount":${trade.quantity},"direction":"${trade.side}","instrument_name":"${instrument.symbol}"` +
          `${trade.id % 50 === 0 ? ',"liquidation":"T"' : ""}}`
      )
      const [first] = trades
      return {
        id: trades.length === 1 ? String(first?.id) : `${first?.id}-${trades.at(-1)?.id}-${trades.length}`,
        text: frameOf(channel, `[${data.join(",")}]`)
      }
    }
  })

/** Tickers, quotes, and the funding of perpetuals. */
const states = (channel: string, name: string, instrument: Instrument) => {
  let number = 0
  return wholeBooksSource(channel, instrument, ({ asks, bids }, now) => {
    const [bid = none] = bids
    const [ask = none] = asks
    const best = `"best_bid_price":${bid[0]},"best_bid_amount":${bid[1]},"best_ask_price":${ask[0]},"best_ask_amount":${ask[1]}`
    const funding = `0.0000${String(++number).padStart(8, "0")}`
    const members =
      name === "quote"
        ? best
        : name === "perpetual"
          ? `"interest":${funding},"index_price":${bid[0]}`
          : `${best},"mark_price":${bid[0]},"index_price":${ask[0]},"open_interest":2.2e3,"current_funding":${funding}`
    const text = `{"timestamp":${now},"instrument_name":"${instrument.symbol}",${members}}`
    return { id: String(number), text: frameOf(channel, text) }
  })
}

const none: Level = ["0", "0"]
