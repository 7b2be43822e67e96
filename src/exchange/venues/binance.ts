import { Duration, Schema } from "effect"
import type { MarketType } from "../../domain/StreamId.ts"
import { type ContinuityRule, unproven } from "../Continuity.ts"
import type { Exchange } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"
import { binanceRequests, channelIn, isRaw, type Layouts, makeBinanceDecoder } from "./binance/decoder.ts"

/**
 * Binance spot. Protocol facts: binance-spot-api-docs, web-socket-streams.md (July 2026).
 *
 * Sequence ids: `lastUpdateId` of a partial book, `U-u` of a diff, `t` of a trade, `u` of the best bid and offer, and the time
 * of a ticker (`E`). A partial book carries neither its symbol nor a time: the symbol comes from the envelope of the combined
 * stream, and on a raw connection (a URL that ends in `/ws`) it is known because there is only one book on it. The best bid and
 * offer has no time either.
 */
export const binance: Exchange = {
  name: "binance",
  url: "wss://stream.binance.com:9443/stream",
  dataTypes: ["orderbook", "trade", "orderbook_diff", "bbo", "ticker"],
  parseSymbol: symbolLike(
    /^[\p{L}\p{N}]{2,40}$/u,
    "letters and digits without a separator, as in btcusdt",
    (base, quote) => `${base}${quote}`,
    (text) => text.toLowerCase()
  ),
  channelOf: (stream) => channelOf(stream),
  continuity: (dataType) => rules[dataType] ?? unproven,
  limits: {
    // Pings, pongs and requests all count: one of them is needed now and then to answer the server's pings.
    messages: [{ count: 5, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: [{ count: 300, per: Duration.minutes(5) }],
    fits: (streams, url) =>
      streams.length <= streamsPerConnection &&
      (!isRaw(url) || streams.filter(({ dataType }) => dataType === "orderbook").length <= 1)
  },
  // The server pings every 20 s and expects the pong within 60 s.
  keepalive: { ping: { _tag: "None" }, every: Duration.seconds(20), pongWithin: Duration.seconds(10) },
  idleTimeout: Duration.seconds(60),
  lifetime: Duration.hours(24),
  opening: [],
  acknowledges: true,
  requests: binanceRequests((stream) => channelOf(stream)),
  makeDecoder: (streams) => makeBinanceDecoder(binance, layouts, streams),
  instruments: {
    url: "https://api.binance.com",
    paths: ["/api/v3/exchangeInfo?permissions=SPOT&showPermissionSets=false"],
    depth: 2,
    read: instrumentIn(
      Schema.Struct({ symbol: Schema.optional(Schema.String), status: Schema.optional(Schema.String) }),
      // BREAK is the status of delisted symbols, for years, and of all symbols during maintenance.
      ({ status, symbol }) =>
        symbol === undefined ? undefined : { symbol: symbol.toLowerCase(), state: stateOf(status, ["break"]) }
    )
  }
}

const streamsPerConnection = 1024

const layouts: Layouts = {
  orderbook: {
    suffix: "@depth20@100ms",
    event: undefined,
    id: ["lastUpdateId"],
    numbers: "none",
    time: undefined
  },
  trade: { suffix: "@trade", event: "trade", id: ["t"], numbers: "counter", time: "T" },
  orderbook_diff: {
    suffix: "@depth@100ms",
    event: "depthUpdate",
    id: ["U", "u"],
    numbers: "range",
    time: "E"
  },
  bbo: { suffix: "@bookTicker", event: "bookTicker", id: ["u"], numbers: "none", time: undefined },
  ticker: { suffix: "@ticker", event: "24hrTicker", id: ["E"], numbers: "none", time: "E" }
}

const channelOf = channelIn(layouts)

/** A diff starts at the id after the last one of the previous diff; trade ids increase by one in practice. */
const rules: Partial<Record<MarketType, ContinuityRule>> = {
  trade: { kind: "counter", scope: "stream", spansConnections: true },
  orderbook_diff: { kind: "range", scope: "stream", spansConnections: true }
}
