import { Duration, Either, Option } from "effect"
import { answerOf, decode } from "./bybit/requests.ts"
import { bests, books, liquidations, tickers, trades } from "./bybit/sources.ts"
import { makeStatusSession } from "./bybit/statusSession.ts"
import { makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import { garbageBytes, garbageShape, garbageText } from "./market/requests.ts"
import { type ClientSession, type MarketOptions, noEnvelope, type Peer, type Protocol } from "./Protocol.ts"

/**
 * Bybit v5's public market data, based on bybit-exchange/docs, v5/websocket (July 2026). Each category has its own path. A request
 * is refused as a whole if one of its topics is bad or, for spot, if it has more than ten. `system.status` has its own address.
 */
const makeBybit =
  (name: string, category: Category) =>
  (options: MarketOptions): Protocol => {
    const isSpot = category === "spot"
    const path = `/v5/public/${category}`
    const market = memoize((symbol) => makeInstrument(symbol, options))
    const find = (symbol: string) => (options.symbols.has(symbol) ? market(symbol) : undefined)
    let connections = 0
    return {
      name,
      path,
      messages: [{ count: 100, per: Duration.seconds(1) }],
      messagesOf: "connection",
      connections: { count: 500, per: Duration.minutes(5) },
      binary: false,
      keepalive: null,
      idle: Duration.minutes(10),
      firstMessageWithin: null,
      heartbeatEvery: null,
      instruments: {
        path: "/v5/market/instruments-info",
        list: (symbols, query) => {
          if (query.get("category") !== category) {
            return { retCode: 10001, retMsg: "params error: category invalid", result: {} }
          }
          // Spot has a single page.
          const from = isSpot ? 0 : Number(/^first=(\d+)$/.exec(query.get("cursor") ?? "")?.[1] ?? 0)
          const size = isSpot ? symbols.length : Number(query.get("limit") ?? 500)
          const list = symbols
            .slice(from, from + size)
            .map(({ status = "Trading", symbol }) => ({ symbol, status }))
          const cursor = from + size < symbols.length ? `first%3D${from + size}` : ""
          return {
            retCode: 0,
            retMsg: "OK",
            result: { category, list, ...(isSpot ? {} : { nextPageCursor: cursor }) }
          }
        }
      },
      connect: (url) =>
        url.pathname === path
          ? Either.right(
              makeClientSession(
                `simulated-${++connections}`,
                category,
                (symbol) => find(symbol) !== undefined
              )
            )
          : url.pathname === "/v5/public/misc/status"
            ? Either.right(makeStatusSession(`simulated-${++connections}`))
            : Either.left({ status: 404, reason: "no such path" }),
      source: (topic) => {
        const parsed = readTopic(topic, category)
        const instrument = parsed === undefined ? undefined : find(parsed.symbol)
        if (parsed === undefined || instrument === undefined) return Option.none()
        switch (parsed.channel) {
          case "publicTrade":
            return Option.some(trades(topic, instrument, isSpot))
          case "orderbook.1":
            return Option.some(bests(topic, instrument))
          case "tickers":
            return Option.some(tickers(topic, instrument, isSpot))
          case "allLiquidation":
            return Option.some(liquidations(topic, instrument))
          default:
            return Option.some(books(topic, instrument, isSpot))
        }
      }
    }
  }

export const bybit = makeBybit("bybit", "spot")
export const bybitLinear = makeBybit("bybit_linear", "linear")
export const bybitInverse = makeBybit("bybit_inverse", "inverse")

type Category = "spot" | "linear" | "inverse"

/** Of spot. */
const topicsPerRequest = 10
/** Characters of the topics of a connection. */
const maxTopicCharacters = 21_000

const readTopic = (topic: string, category: Category) => {
  const [, channel, symbol] =
    /^(orderbook\.50|orderbook\.1|publicTrade|tickers|allLiquidation)\.([A-Z0-9-]+)$/.exec(topic) ?? []
  return channel === undefined ||
    symbol === undefined ||
    (category === "spot" && channel === "allLiquidation")
    ? undefined
    : { channel, symbol }
}

const makeClientSession = (
  connection: string,
  category: Category,
  exists: (symbol: string) => boolean
): ClientSession => {
  const answer = answerOf(connection)

  const problemOf = (topic: string, peer: Peer): string | undefined => {
    const parsed = readTopic(topic, category)
    if (parsed === undefined) return `error:handler not found,topic:${topic}`
    if (!exists(parsed.symbol)) return `Invalid symbol :[${topic}]`
    return peer.subscriptions().includes(topic) ? `error:already subscribed,topic:${topic}` : undefined
  }

  return {
    streams: [],
    receive: (text, peer) =>
      Either.match(decode(text), {
        onLeft: () => [answer(false, "Failed to decode incoming data", "", undefined)],
        onRight: ({ args = [], op, req_id }) => {
          if (op === "ping") return [answer(true, "pong", "ping", req_id)]
          if (op === "unsubscribe") {
            for (const topic of args) peer.unsubscribe(topic)
            return [answer(true, "", op, req_id)]
          }
          if (op !== "subscribe") return [answer(false, "error:invalid op", op, req_id)]
          if (category === "spot" && args.length > topicsPerRequest) {
            return [answer(false, "args size >10", op, req_id)]
          }
          if ([...peer.subscriptions(), ...args].join('","').length > maxTopicCharacters) {
            return [answer(false, "args length exceeds 21000", op, req_id)]
          }
          const problem = args.map((topic) => problemOf(topic, peer)).find((line) => line !== undefined)
          if (problem !== undefined) return [answer(false, problem, op, req_id)]
          for (const topic of args) peer.subscribe(topic)
          return [answer(true, category === "spot" ? "subscribe" : "", op, req_id)]
        }
      }),
    envelope: () => noEnvelope,
    garbage: (kind, stream) => {
      switch (kind) {
        case "text":
          return garbageText
        case "truncated":
          return `{"topic":"${stream}","ts":1787612486116,"type":"delta","data":{"s":"X","b":[["78715","1.2`
        case "shape":
          return garbageShape
        case "binary":
          return garbageBytes
        case "noid":
          return `{"topic":"${stream}","type":"delta","data":{"s":"X","b":[],"a":[]}}`
      }
    },
    // Bybit does not announce on this connection that it is going to close.
    closingNotice: () => answer(true, "", "notice", undefined)
  }
}
