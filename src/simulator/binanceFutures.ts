import { Duration, Either, Option } from "effect"
import { makeClientSession, readTarget } from "./binance/session.ts"
import { bookDiffSource } from "./binance/sources.ts"
import { bestSource, stateSource, tickerSource } from "./binance/summaries.ts"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import { tradesSource, wholeBooksSource } from "./market/sources.ts"
import type { MarketOptions, Protocol, Source } from "./Protocol.ts"

/** Where the two futures exchanges differ. */
interface Venue {
  readonly name: string
  readonly path: string
  readonly api: string
  /** The number of the exchange in its messages. */
  readonly st: 1 | 2
  /** Whether books and best offers are served below `/public` and at the bare path, everything else below `/market`. */
  readonly isSplit: boolean
  readonly statusName: "status" | "contractStatus"
}

/** Binance's futures in USDT and USDC, based on developers.binance.com (April 2026). */
export const binanceUsdm = (options: MarketOptions): Protocol =>
  futures(options, {
    name: "binance_usdm",
    path: "/public/stream",
    api: "/fapi/v1",
    st: 1,
    isSplit: true,
    statusName: "status"
  })

/** Binance's futures in coins. */
export const binanceCoinm = (options: MarketOptions): Protocol =>
  futures(options, {
    name: "binance_coinm",
    path: "/stream",
    api: "/dapi/v1",
    st: 2,
    isSplit: false,
    statusName: "contractStatus"
  })

/**
 * Paths, requests and envelopes are those of spot; `<symbol>@depth20@100ms`, `@depth@100ms`, `@bookTicker`, `@aggTrade`,
 * `@ticker`, `@markPrice@1s` and `@forceOrder` are served, and the open interest over REST. Liquidations come at the pace of
 * everything else, which a real market does not have.
 */
const futures = (options: MarketOptions, venue: Venue): Protocol => {
  const market = memoize((symbol) => makeInstrument(symbol, options))
  const find = (symbol: string) => (options.symbols.has(symbol) ? market(symbol) : undefined)
  return {
    name: venue.name,
    path: venue.path,
    messages: [{ count: 10, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: { count: 300, per: Duration.minutes(5) },
    binary: false,
    keepalive: { pingEvery: Duration.minutes(3), pongWithin: Duration.minutes(10) },
    idle: null,
    firstMessageWithin: null,
    heartbeatEvery: null,
    instruments: {
      path: `${venue.api}/exchangeInfo`,
      list: (symbols) => ({
        timezone: "UTC",
        rateLimits: [{ rateLimitType: "REQUEST_WEIGHT", interval: "MINUTE", intervalNum: 1, limit: 2400 }],
        symbols: symbols.map(({ status = "TRADING", symbol }) => ({
          symbol: symbol.toUpperCase(),
          pair: (symbol.split("_")[0] ?? "").toUpperCase(),
          contractType: /\d$/.test(symbol) ? "CURRENT_QUARTER" : "PERPETUAL",
          [venue.statusName]: status,
          filters: [{ filterType: "PRICE_FILTER", tickSize: "0.10" }]
        }))
      })
    },
    rest: {
      weights: [{ count: 2400, per: Duration.minutes(1) }],
      route: (path, query, clock) =>
        path === `${venue.api}/openInterest`
          ? { weight: 1, body: () => openInterest(find, (query.get("symbol") ?? "").toLowerCase(), clock()) }
          : undefined
    },
    connect: (url) => {
      const [, part, rest = ""] = /^\/(public|market)(\/.*)$/.exec(url.pathname) ?? []
      if (part !== undefined && !venue.isSplit) return Either.left({ status: 404, reason: "no such path" })
      const bare = new URL(url)
      if (part !== undefined) bare.pathname = rest
      return Either.map(readTarget(bare), (target) =>
        makeClientSession(
          target,
          "nested",
          (stream) => !venue.isSplit || isPublic(stream) === (part !== "market")
        )
      )
    },
    source: (stream) => {
      const at = stream.indexOf("@")
      const instrument = find(stream.slice(0, at))
      const make = sources.get(stream.slice(at + 1))
      return at < 0 || instrument === undefined || make === undefined
        ? Option.none()
        : Option.some(make(stream, instrument, venue))
    }
  }
}

const isPublic = (stream: string): boolean => /@(depth|bookTicker)/.test(stream)

const openInterest = (find: (symbol: string) => Instrument | undefined, symbol: string, now: number) =>
  find(symbol) === undefined
    ? { code: -1121, msg: "Invalid symbol." }
    : { openInterest: String(10_000 + (now % 7_000)), symbol: symbol.toUpperCase(), time: now }

const sources: ReadonlyMap<string, (stream: string, instrument: Instrument, venue: Venue) => Source> =
  new Map([
    ["depth20@100ms", (stream, instrument, venue) => partialBook(stream, instrument, venue)],
    [
      "depth@100ms",
      (stream, instrument, { st }) =>
        bookDiffSource(
          stream,
          instrument,
          ({ asks, bids, last, now, previous, symbol }) =>
            `{"e":"depthUpdate","E":${now},"T":${now - 1},"s":"${symbol}","ps":"${symbol}","U":${Math.min(last, previous + 3)},` +
            `"u":${last},"pu":${previous},"b":[${bids}],"a":[${asks}],"st":${st}}`
        )
    ],
    [
      "bookTicker",
      (_, instrument, { st }) =>
        bestSource(
          instrument,
          ({ now, symbol, update }, best) =>
            `{"e":"bookTicker","u":${update},"s":"${symbol}","ps":"${symbol}",${best},"T":${now - 1},"E":${now},"st":${st}}`
        )
    ],
    ["aggTrade", (stream, instrument, venue) => aggregateTrades(stream, instrument, venue)],
    ["ticker", (_, instrument, { st }) => tickerSource(instrument, `,"st":${st}`)],
    [
      "markPrice@1s",
      (_, instrument, { st }) =>
        stateSource(instrument, ({ now, price, symbol }) => [
          now,
          `{"e":"markPriceUpdate","E":${now},"s":"${symbol}","p":"${price}","ap":"${price}","P":"${price}","i":"${price}",` +
            `"r":"${/\d$/.test(instrument.symbol) ? "" : "0.00010000"}","T":${now + 3_600_000},"st":${st}}`
        ])
    ],
    [
      "forceOrder",
      (_, instrument, { st }) =>
        stateSource(instrument, ({ now, price, symbol, update }) => [
          now,
          `{"e":"forceOrder","E":${now},"o":{"s":"${symbol}","S":"SELL","o":"LIMIT","f":"IOC","q":"${update % 100}","p":"${price}",` +
            `"ap":"${price}","X":"FILLED","l":"1","z":"${update % 100}","T":${now - 1}},"st":${st}}`
        ])
    ]
  ])

const partialBook = (stream: string, instrument: Instrument, { st }: Venue): Source => {
  const symbol = instrument.symbol.toUpperCase()
  return wholeBooks(
    wholeBooksSource(stream, instrument, ({ asks, bids }, now) => {
      const update = instrument.book.updateId()
      return {
        id: String(update),
        text:
          `{"e":"depthUpdate","E":${now},"T":${now - 1},"s":"${symbol}","ps":"${symbol}","U":${update - 2},"u":${update},` +
          `"pu":${update - 3},"b":${JSON.stringify(bids)},"a":${JSON.stringify(asks)},"st":${st}}`
      }
    })
  )
}

/** A subscription does not start with a book. */
const wholeBooks = ({ next, pause, resume }: Source): Source => ({ next, pause, resume })

const aggregateTrades = (stream: string, instrument: Instrument, { st }: Venue): Source => {
  const symbol = instrument.symbol.toUpperCase()
  return tradesSource(stream, instrument, {
    most: 1,
    write: ([trade], now) => ({
      id: String(trade?.id),
      text:
        `{"e":"aggTrade","E":${now},"a":${trade?.id},"s":"${symbol}","p":"${trade?.price}","q":"${trade?.quantity}",` +
        `"nq":"${trade?.quantity}","f":${3 * (trade?.id ?? 0)},"l":${3 * (trade?.id ?? 0) + 1},"T":${trade?.time},` +
        `"m":${trade?.side === "sell"},"st":${st}}`
    })
  })
}
