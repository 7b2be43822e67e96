import { Duration, Either, Option } from "effect"
import { type BookText, makeBookText } from "./binance/BookText.ts"
import * as Requests from "./binance/requests.ts"
import { bookDiffSource, partialBookSource, tradeSource } from "./binance/sources.ts"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import {
  type ClientSession,
  type Envelope,
  type GarbageKind,
  type MarketOptions,
  noEnvelope,
  type Peer,
  type Protocol,
  type Source,
  type UpgradeRefused
} from "./Protocol.ts"

/**
 * Binance spot's public market data, based on binance-spot-api-docs, web-socket-streams.md (July 2026):
 *
 * - `/ws`, `/ws/<stream>[/<stream>]`: payloads as they are; `/stream`, `/stream?streams=<a>/<b>`: wrapped as
 *   `{"stream":"<name>","data":<payload>}`; `SET_PROPERTY ["combined", true]` switches.
 * - `<symbol>@depth5`, `@depth10`, `@depth20`, `@depth` and `@trade`, the books also with `@100ms`. The suffix changes only
 *   the name: the pace is the server's.
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
  const book = /^depth(5|10|20)?(?:@100ms)?$/.exec(channel)
  if (book === null) return Option.none()
  const levels = book[1]
  return Option.some(
    levels === undefined
      ? bookDiffSource(stream, market.instrument)
      : partialBookSource(stream, market.instrument, market.text, Number(levels))
  )
}

const streamsPerConnection = 1024

interface Target {
  readonly combined: boolean
  readonly streams: ReadonlyArray<string>
}

const readTarget = (url: URL): Either.Either<Target, UpgradeRefused> => {
  const path = url.pathname.replace(/\/+$/, "")
  const names = (text: string) => text.split("/").filter((name) => name !== "")
  const target: Target | undefined =
    path === "/stream"
      ? { combined: true, streams: names(url.searchParams.get("streams") ?? "") }
      : path === "/ws" || path.startsWith("/ws/")
        ? { combined: false, streams: names(decodePath(path.slice("/ws".length))) }
        : undefined
  if (target === undefined) return Either.left({ status: 404, reason: "no such path" })
  return target.streams.length > streamsPerConnection
    ? Either.left({ status: 400, reason: "too many streams" })
    : Either.right(target)
}

/** Decodes a path; if its percent-encoding is broken, it is kept as the client wrote it. */
const decodePath = (path: string): string =>
  Either.getOrElse(
    Either.try(() => decodeURIComponent(path)),
    () => path
  )

const makeClientSession = (target: Target, shape: Requests.ErrorShape): ClientSession => {
  const envelopes = new Map<string, Envelope>()
  let combined = target.combined

  const envelope = (stream: string): Envelope => {
    if (!combined) return noEnvelope
    const known = envelopes.get(stream)
    if (known !== undefined) return known
    const made = {
      before: Buffer.from(`{"stream":${JSON.stringify(stream)},"data":`),
      after: Buffer.from("}")
    }
    envelopes.set(stream, made)
    return made
  }
  const wrapped = (stream: string, payload: string): string =>
    combined ? `{"stream":${JSON.stringify(stream)},"data":${payload}}` : payload

  const act = (request: Requests.Request, peer: Peer): string => {
    switch (request.method) {
      case "SUBSCRIBE": {
        const wanted = new Set([...peer.subscriptions(), ...request.streams])
        if (wanted.size > streamsPerConnection) {
          return Requests.error(shape, 2, "Invalid request: too many streams", request.id)
        }
        for (const stream of request.streams) peer.subscribe(stream)
        return Requests.result(request.id, null)
      }
      case "UNSUBSCRIBE":
        for (const stream of request.streams) {
          peer.unsubscribe(stream)
          envelopes.delete(stream)
        }
        return Requests.result(request.id, null)
      case "LIST_SUBSCRIPTIONS":
        return Requests.result(request.id, peer.subscriptions())
      case "SET_PROPERTY":
        combined = request.combined
        return Requests.result(request.id, null)
      case "GET_PROPERTY":
        return Requests.result(request.id, combined)
    }
  }

  return {
    streams: target.streams,
    receive: (text, peer) => [
      Either.match(Requests.parse(text, shape), {
        onLeft: (refusal) => refusal,
        onRight: (request) => act(request, peer)
      })
    ],
    envelope,
    garbage: (kind, stream) => garbageOf(kind, (payload) => wrapped(stream, payload)),
    closingNotice: (now) => wrapped("!serverShutdown", `{"e":"serverShutdown","E":${now}}`)
  }
}

const garbageOf = (kind: GarbageKind, wrap: (payload: string) => string): string | Uint8Array => {
  switch (kind) {
    case "text":
      return "<html><body>502 Bad Gateway</body></html>"
    case "truncated":
      return wrap('{"lastUpdateId":160,"bids":[["0.00240000","10.00000000"],["0.0026').slice(0, -1)
    case "shape":
      return wrap('{"kind":"unheard of","values":[1,2,3]}')
    case "binary":
      return Uint8Array.of(0, 255, 1, 254, 2, 253)
    case "noid":
      return wrap('{"bids":[["0.00240000","10.00000000"]],"asks":[["0.00260000","100.00000000"]]}')
  }
}
