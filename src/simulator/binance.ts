import { Duration, Either, Option } from "effect"
import { type BookText, makeBookText } from "./binance/BookText.ts"
import type * as Requests from "./binance/requests.ts"
import { makeClientSession, readTarget } from "./binance/session.ts"
import { bookDiffSource, partialBookSource, tradeSource } from "./binance/sources.ts"
import { bestSource, tickerSource } from "./binance/summaries.ts"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import type { MarketOptions, Protocol, Source } from "./Protocol.ts"

/**
 * Binance spot's public market data, based on binance-spot-api-docs, web-socket-streams.md (July 2026):
 *
 * - `/ws`, `/ws/<stream>[/<stream>]`: payloads as they are; `/stream`, `/stream?streams=<a>/<b>`: wrapped as
 *   `{"stream":"<name>","data":<payload>}`; `SET_PROPERTY ["combined", true]` switches.
 * - `<symbol>@depth5`, `@depth10`, `@depth20`, `@depth`, `@trade`, `@bookTicker` and `@ticker`, the books also with `@100ms`.
 *   The suffix changes only the name: the pace is the server's.
 * - A stream that does not exist is acknowledged and stays silent, even if only its case differs.
 * - Whole books and diffs share one id space per symbol.
 *
 * Not included: other channels, `timeUnit`, and the double delivery of a stream requested both by URL and by SUBSCRIBE.
 */
export const binance = (
  options: MarketOptions & {
    /** `flat` by default. */
    readonly errors?: Requests.ErrorShape
  }
): Protocol => {
  const shape = options.errors ?? "flat"
  const market = memoize((symbol): Market => {
    const instrument = makeInstrument(symbol, options)
    return { instrument, text: makeBookText(instrument) }
  })
  const find = (symbol: string) => (options.symbols.has(symbol) ? market(symbol) : undefined)
  return {
    name: "binance",
    path: "/stream",
    messages: [{ count: 5, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: { count: 300, per: Duration.minutes(5) },
    binary: false,
    keepalive: { pingEvery: Duration.seconds(20), pongWithin: Duration.seconds(60) },
    idle: null,
    firstMessageWithin: null,
    heartbeatEvery: null,
    instruments: {
      path: "/api/v3/exchangeInfo",
      list: (symbols) => ({
        symbols: symbols.map(({ status = "TRADING", symbol }) => ({ symbol: symbol.toUpperCase(), status }))
      })
    },
    connect: (url) => Either.map(readTarget(url), (target) => makeClientSession(target, shape)),
    source: (stream) => makeSource(stream, find)
  }
}

interface Market {
  readonly instrument: Instrument
  readonly text: BookText
}

const makeSource = (stream: string, find: (symbol: string) => Market | undefined): Option.Option<Source> => {
  const at = stream.indexOf("@")
  const market = find(stream.slice(0, at))
  if (at < 0 || market === undefined) return Option.none()
  const channel = stream.slice(at + 1)
  if (channel === "trade") return Option.some(tradeSource(stream, market.instrument))
  if (channel === "bookTicker") {
    return Option.some(
      bestSource(market.instrument, ({ symbol, update }, best) => `{"u":${update},"s":"${symbol}",${best}}`)
    )
  }
  if (channel === "ticker") return Option.some(tickerSource(market.instrument))
  const book = /^depth(5|10|20)?(?:@100ms)?$/.exec(channel)
  if (book === null) return Option.none()
  const levels = book[1]
  return Option.some(
    levels === undefined
      ? bookDiffSource(stream, market.instrument)
      : partialBookSource(stream, market.instrument, market.text, Number(levels))
  )
}
