import { Duration, Either, ParseResult, Schema } from "effect"
import type { MarketType } from "../../domain/StreamId.ts"
import { type ContinuityRule, unproven } from "../Continuity.ts"
import { fromMillisOrMicros } from "../decoding/time.ts"
import type { Exchange, Polled } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"
import { binanceRequests, channelIn, isRaw, type Layouts, makeBinanceDecoder } from "./binance/decoder.ts"

/** Where Binance's two futures exchanges differ. */
type Venue = Pick<Exchange, "name" | "url" | "parseSymbol"> &
  Partial<Pick<Exchange, "urlOf">> & {
    readonly restUrl: string
    /** The path of the REST interface. */
    readonly api: string
  }

/**
 * Makes the description of one of Binance's futures exchanges. Protocol facts: developers.binance.com, USDS-M and COIN-M futures,
 * WebSocket market streams (April 2026), and public recorders (August 2026).
 *
 * Sequence ids: `u` of a partial book and of the best bid and offer, `pu-u` of a diff, `a` of an aggregate trade, the time (`E`)
 * of a ticker and of a mark price, `T` and a CRC-32 of the order for a liquidation, and the time of an open interest.
 *
 * - Trades are those of `aggTrade`: `trade`, whose ids would be those of single trades, is not documented for futures, and
 *   public sources disagree whether it is still served. Aggregate ids increase by one; `f` and `l` are the single ones.
 * - `funding` is `markPrice`: mark price, index price and funding rate; the rate of a contract with a delivery date is empty.
 * - Liquidations are incomplete at the source: at most one for each symbol and second is sent, the latest.
 */
const binanceFutures = ({ api, restUrl, ...venue }: Venue): Exchange => {
  const exchange: Exchange = {
    ...venue,
    dataTypes: ["orderbook", "trade", "orderbook_diff", "bbo", "ticker", "funding", "liquidation"],
    carriedBy: { mark_price: "funding" },
    channelOf,
    continuity: (dataType) => rules[dataType] ?? unproven,
    limits: {
      messages: [{ count: 10, per: Duration.seconds(1) }],
      messagesOf: "connection",
      // Not documented for futures: the limit of spot.
      connections: [{ count: 300, per: Duration.minutes(5) }],
      // Partial books and diffs have the same members: only an envelope tells them apart.
      fits: (streams, url) => {
        const books = streams.filter(({ dataType }) => layouts[dataType]?.event === "depthUpdate")
        return (
          streams.length <= streamsPerConnection &&
          (!isRaw(url) || new Set(books.map(({ symbol }) => symbol)).size === books.length)
        )
      }
    },
    // The server pings every 3 minutes and expects the pong within 10.
    keepalive: { ping: { _tag: "None" }, every: Duration.minutes(3), pongWithin: Duration.seconds(10) },
    idleTimeout: Duration.minutes(4),
    lifetime: Duration.hours(24),
    opening: [],
    acknowledges: true,
    requests: binanceRequests(channelOf),
    makeDecoder: (streams) => makeBinanceDecoder(exchange, layouts, streams),
    instruments: {
      url: restUrl,
      paths: [`${api}/exchangeInfo`],
      depth: 2,
      read: instrumentIn(
        Schema.Struct({
          symbol: Schema.optional(Schema.String),
          status: Schema.optional(Schema.String),
          contractStatus: Schema.optional(Schema.String)
        }),
        ({ contractStatus, status = contractStatus, symbol }) =>
          symbol === undefined ? undefined : { symbol: symbol.toLowerCase(), state: contractState(status) }
      )
    },
    rest: {
      weights: [{ count: 2400, per: Duration.minutes(1) }],
      polled: new Map([["open_interest", openInterest(api)]])
    }
  }
  return exchange
}

/** The documentation says 1024, but a public recorder was held to 200. */
const streamsPerConnection = 200

const layouts: Layouts = {
  orderbook: { suffix: "@depth20@100ms", event: "depthUpdate", id: ["u"], numbers: "none", time: "T" },
  trade: { suffix: "@aggTrade", event: "aggTrade", id: ["a"], numbers: "counter", time: "T" },
  orderbook_diff: {
    suffix: "@depth@100ms",
    event: "depthUpdate",
    id: ["pu", "u"],
    numbers: "chain",
    time: "T"
  },
  bbo: { suffix: "@bookTicker", event: "bookTicker", id: ["u"], numbers: "none", time: "T" },
  ticker: { suffix: "@ticker", event: "24hrTicker", id: ["E"], numbers: "none", time: "E" },
  // Its `T` is the time of the next funding.
  funding: { suffix: "@markPrice@1s", event: "markPriceUpdate", id: ["E"], numbers: "none", time: "E" },
  liquidation: {
    suffix: "@forceOrder",
    event: "forceOrder",
    inside: "o",
    id: ["T"],
    numbers: "hash",
    time: "T"
  }
}

const channelOf = channelIn(layouts)

/** A diff names the last update of the diff before it. */
const rules: Partial<Record<MarketType, ContinuityRule>> = {
  trade: { kind: "counter", scope: "stream", spansConnections: true },
  orderbook_diff: { kind: "chain", scope: "stream", spansConnections: true }
}

const contractState = (status: string | undefined) =>
  status === "CLOSE"
    ? "ended"
    : stateOf(status, ["pending_trading", "pre_settle", "settling", "pre_delivering", "delivering", "break"])

/** Twice as many contracts as there are can be requested within half of the limit. */
const openInterest = (api: string): Polled => ({
  path: (symbol) => `${api}/openInterest?symbol=${encodeURIComponent(symbol.toUpperCase())}`,
  weight: 1,
  every: Duration.minutes(1),
  read: (body, symbol) =>
    Either.flatMap(
      Either.mapLeft(decodeOpenInterest(body.toString()), (error) =>
        ParseResult.TreeFormatter.formatErrorSync(error)
      ),
      ({ symbol: answered, time }) => {
        const exchangeTimestamp = fromMillisOrMicros(Number(time))
        return answered.toLowerCase() === symbol
          ? Either.right({ exchangeSequenceId: String(time), exchangeTimestamp })
          : Either.left(`the answer is about ${answered}`)
      }
    )
})

const Numeral = Schema.Union(Schema.Number, Schema.String.pipe(Schema.pattern(/^\d+$/)))

const decodeOpenInterest = Schema.decodeUnknownEither(
  Schema.parseJson(
    Schema.Struct({
      symbol: Schema.String,
      openInterest: Schema.Union(Schema.Number, Schema.String),
      time: Numeral
    })
  )
)

const spell = (text: string) => text.toLowerCase()

/**
 * Binance's futures in USDT and USDC. Since April 2026 the books and the best offers are served below `/public`, everything else
 * below `/market`; what is requested at the wrong path is acknowledged and silent.
 */
export const binanceUsdm: Exchange = binanceFutures({
  name: "binance_usdm",
  url: "wss://fstream.binance.com/public/stream",
  urlOf: (dataType, url) => (publicTypes.includes(dataType) ? url : url.replace("/public/", "/market/")),
  parseSymbol: symbolLike(
    /^[\p{L}\p{N}]{2,40}(_[\p{L}\p{N}]{1,20})?$/u,
    "letters and digits, as in btcusdt, with the date of a delivery, as in btcusdt_261225",
    (base, quote) => `${base}${quote}`,
    spell
  ),
  restUrl: "https://fapi.binance.com",
  api: "/fapi/v1"
})

const publicTypes: ReadonlyArray<MarketType> = ["orderbook", "orderbook_diff", "bbo"]

/** Binance's futures in coins. All its streams are at one path. */
export const binanceCoinm: Exchange = binanceFutures({
  name: "binance_coinm",
  url: "wss://dstream.binance.com/stream",
  parseSymbol: symbolLike(
    /^[\p{L}\p{N}]{2,40}_[\p{L}\p{N}]{1,20}$/u,
    "a pair and perp or the date of a delivery, as in btcusd_perp and btcusd_261225",
    (base, quote) => `${base}${quote}_perp`,
    spell
  ),
  restUrl: "https://dapi.binance.com",
  api: "/dapi/v1"
})
