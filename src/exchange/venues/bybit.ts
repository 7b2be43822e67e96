import { Duration, Schema } from "effect"
import type { MarketStream, MarketType } from "../../domain/StreamId.ts"
import { type ContinuityRule, unproven } from "../Continuity.ts"
import type { Exchange } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"
import { requestsOf } from "../requests.ts"
import { makeDecoder } from "./bybit/decoder.ts"
import { readStatus } from "./bybit/status.ts"

/*
 * Bybit v5: spot, and the futures settled in USDT or USDC (linear) or in the coin itself (inverse), each at a path of its own.
 * Protocol facts: bybit-exchange/docs, v5/websocket and v5/market/instrument (July 2026), where the topic `system.status` has an
 * address of its own. Several public collectors measured in 2026 that one bad topic causes its whole request to be refused, and
 * that `u` of `orderbook.50` increases by one.
 *
 * Sequence ids:
 *
 * - `orderbook`: `u-seq` of a change; `snapshot-<connection>-u-seq` of a whole book, which every connection receives again;
 * - `bbo`: `u-seq`. An unchanged one is sent again every 3 s, with the same numbers;
 * - `trade`: `i`, or both ends and the number of trades if a frame has several;
 * - `ticker`: `ts` and a CRC-32 of the frame; `snapshot-<connection>-...` of a whole ticker that is followed by changes;
 * - `liquidation`: `T` of the first one and a CRC-32 of all that the frame has, since they have no id.
 */

interface Category {
  readonly name: string
  /** The last part of the WebSocket path, and the parameter of the list of instruments. */
  readonly category: "spot" | "linear" | "inverse"
  readonly symbols: Exchange["parseSymbol"]
  /** Larger requests are refused, or, where there is no such limit, impractical. */
  readonly topicsPerRequest: number
}

const makeBybit = ({ category, name, symbols, topicsPerRequest }: Category): Exchange => {
  const isSpot = category === "spot"
  const exchange: Exchange = {
    name,
    url: `wss://stream.bybit.com/v5/public/${category}`,
    dataTypes: isSpot ? spotTypes : [...spotTypes, "liquidation"],
    ...(isSpot ? {} : { carriedBy: { funding: "ticker", mark_price: "ticker", open_interest: "ticker" } }),
    parseSymbol: symbols,
    channelOf,
    continuity: (dataType) => (dataType === "orderbook" ? bookRule : unproven),
    limits: {
      // Not documented; generous for a public connection.
      messages: [{ count: 20, per: Duration.seconds(1) }],
      messagesOf: "connection",
      connections: [{ count: 500, per: Duration.minutes(5) }],
      fits: (streams) =>
        streams.length <= streamsPerConnection &&
        streams.reduce((sum, stream) => sum + channelOf(stream).length + quotes, 0) <= maxTopicCharacters
    },
    keepalive: {
      ping: { _tag: "Text", text: '{"op":"ping"}' },
      every: Duration.seconds(20),
      pongWithin: Duration.seconds(10)
    },
    idleTimeout: Duration.seconds(60),
    opening: [],
    statusFeed: {
      urlOf: (url) => {
        const status = url.replace(/\/v5\/public\/(spot|linear|inverse)\b.*$/, "/v5/public/misc/status")
        return status === url ? undefined : status
      },
      after: Duration.minutes(1),
      opening: ['{"op":"subscribe","args":["system.status"]}'],
      ping: '{"op":"ping"}',
      read: readStatus,
      current: "/v5/system/status"
    },
    acknowledges: true,
    requests: (change, nextId) =>
      requestsOf(change, nextId, topicsPerRequest, (op, streams, id) =>
        JSON.stringify({ req_id: id, op, args: streams.map(channelOf) })
      ),
    makeDecoder: (streams, connection) =>
      makeDecoder({ exchange, streams, connection, areTickersWhole: isSpot }),
    instruments: {
      url: "https://api.bybit.com",
      paths: [`/v5/market/instruments-info?category=${category}&limit=1000`],
      nextPage,
      refusal: /^\{[^[]*"retCode":\s*[1-9]/,
      depth: 3,
      read: instrumentIn(
        Schema.Struct({ symbol: Schema.optional(Schema.String), status: Schema.optional(Schema.String) }),
        ({ status, symbol }) =>
          symbol === undefined ? undefined : { symbol, state: stateOf(status, restingStatuses) }
      )
    }
  }
  return exchange
}

const spotTypes: ReadonlyArray<MarketType> = ["orderbook", "trade", "ticker", "bbo"]

/** Contracts before trading are silent; those that are being settled end. */
const restingStatuses = ["prelaunch", "pendingopen", "settling", "delivering"]

/** The list of futures has pages: the cursor is percent-encoded already, and empty on the last one. Spot's has a single page. */
const nextPage = (path: string, end: string): string | undefined => {
  const cursor = /"nextPageCursor":\s*"([^"]+)"/.exec(end)?.[1]
  return cursor === undefined
    ? undefined
    : `${path.replace(/&cursor=.*$/, "")}&cursor=${cursor.replace(/[^\w.~%-]/g, encodeURIComponent)}`
}

/** Characters of all topics of a connection, a little below the limit of 21,000. */
const maxTopicCharacters = 20_000
/** Two quotation marks and a comma per topic. */
const quotes = 3
const streamsPerConnection = 400

const bookRule: ContinuityRule = { kind: "counter", scope: "stream", spansConnections: false }

const channelOf = (stream: MarketStream): string => `${topics[stream.dataType] ?? ""}.${stream.symbol}`

const topics: Partial<Record<MarketType, string>> = {
  orderbook: "orderbook.50",
  bbo: "orderbook.1",
  trade: "publicTrade",
  ticker: "tickers",
  liquidation: "allLiquidation"
}

const pair = (base: string, quote: string) => `${base}${quote}`

/** Spot. */
export const bybit = makeBybit({
  name: "bybit",
  category: "spot",
  symbols: symbolLike(/^[A-Z0-9]{2,40}$/, "letters and digits without a separator, as in BTCUSDT", pair),
  topicsPerRequest: 10
})

/** Perpetuals and futures in USDT and USDC. */
export const bybitLinear = makeBybit({
  name: "bybit_linear",
  category: "linear",
  symbols: symbolLike(
    /^[A-Z0-9]{2,40}(-\d{1,2}[A-Z]{3}\d{2})?$/,
    "letters and digits without a separator, and a date for futures, as in BTCUSDT, BTCPERP or BTCUSDT-25DEC26",
    pair
  ),
  topicsPerRequest: 100
})

/** Perpetuals and futures in the coin itself. */
export const bybitInverse = makeBybit({
  name: "bybit_inverse",
  category: "inverse",
  symbols: symbolLike(
    /^[A-Z0-9]{2,40}$/,
    "letters and digits without a separator, as in BTCUSD or BTCUSDZ26",
    pair
  ),
  topicsPerRequest: 100
})
