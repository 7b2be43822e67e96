import { Duration, Either, Option, Schema } from "effect"
import { type Instrument, makeInstrument } from "./market/instrument.ts"
import { memoize } from "./market/memoize.ts"
import { garbageBytes, garbageShape, garbageText, requestOf } from "./market/requests.ts"
import { changesSource, type Levels, tradesSource } from "./market/sources.ts"
import {
  type ClientSession,
  type ExchangeSays,
  type MarketOptions,
  noEnvelope,
  type Protocol
} from "./Protocol.ts"

/**
 * OKX v5's public market data, based on www.okx.com/docs-v5/en (August 2026): channels `books` and `trades`. Every arg of a
 * request is answered separately. Streams are named `books:<instId>` and `trades:<instId>` here.
 */
export const okx = (options: MarketOptions): Protocol => {
  const market = memoize((symbol) => makeInstrument(symbol, options))
  const find = (symbol: string) => (options.symbols.has(symbol) ? market(symbol) : undefined)
  let connections = 0
  return {
    name: "okx",
    path: "/ws/v5/public",
    messages: [{ count: 480, per: Duration.hours(1), requestsOnly: true }],
    messagesOf: "connection",
    connections: { count: 3, per: Duration.seconds(1) },
    binary: false,
    keepalive: null,
    idle: Duration.seconds(30),
    firstMessageWithin: null,
    heartbeatEvery: null,
    instruments: {
      path: "/api/v5/public/instruments",
      list: (symbols) => ({
        code: "0",
        data: symbols.map(({ status = "live", symbol }) => ({ instId: symbol, state: status }))
      })
    },
    connect: (url) =>
      url.pathname === "/ws/v5/public"
        ? Either.right(
            makeClientSession(
              (++connections).toString(16).padStart(8, "0"),
              (symbol) => find(symbol) !== undefined
            )
          )
        : Either.left({ status: 404, reason: "no such path" }),
    source: (stream) => {
      const [channel, symbol = ""] = stream.split(":")
      const instrument = find(symbol)
      if (instrument === undefined) return Option.none()
      if (channel === "books") return Option.some(books(stream, instrument))
      return channel === "trades" ? Option.some(trades(stream, instrument)) : Option.none()
    }
  }
}

const decode = requestOf(
  Schema.Struct({
    id: Schema.optional(Schema.String),
    op: Schema.Literal("subscribe", "unsubscribe"),
    args: Schema.NonEmptyArray(
      Schema.Struct({ channel: Schema.String, instId: Schema.optional(Schema.String) })
    )
  })
)

const makeClientSession = (connId: string, exists: (symbol: string) => boolean): ClientSession => {
  let isTold = false
  return {
    streams: [],
    says: (system) => (isTold ? maintenance(system) : undefined),
    receive: (text, peer, system) => {
      if (text === "ping") return ["pong"]
      return Either.match(decode(text), {
        onLeft: () => [
          JSON.stringify({
            event: "error",
            code: "60012",
            msg: `Invalid request: ${text.slice(0, 100)}`,
            connId
          })
        ],
        onRight: ({ args, id, op }) =>
          args.flatMap(({ channel, instId = "" }) => {
            if (channel === "status") {
              isTold = op === "subscribe"
              const answer = JSON.stringify({ id, event: op, arg: { channel }, connId })
              // Nothing is sent until there is a maintenance.
              return isTold && system.status !== "online" ? [answer, maintenance(system)] : [answer]
            }
            const arg = { channel, instId }
            const stream = `${arg.channel}:${arg.instId}`
            if (op === "unsubscribe") peer.unsubscribe(stream)
            else if (!exists(arg.instId) || !["books", "trades"].includes(arg.channel)) {
              return [
                JSON.stringify({
                  event: "error",
                  msg: `Subscribe failed, wrong URL or channel:${arg.channel},instId:${arg.instId} doesn't exist. Please use the correct URL, channel and parameters referring to API document.`,
                  code: "60018",
                  connId
                })
              ]
            } else peer.subscribe(stream)
            return [JSON.stringify({ id, event: op, arg, connId })]
          })
      })
    },
    envelope: () => noEnvelope,
    garbage: (kind, stream) => {
      const [channel = "books", instId = "X"] = stream.split(":")
      switch (kind) {
        case "text":
          return garbageText
        case "truncated":
          return `{"arg":{"channel":"${channel}","instId":"${instId}"},"data":[{"asks":[["1","2`
        case "shape":
          return garbageShape
        case "binary":
          return garbageBytes
        case "noid":
          return `{"arg":{"channel":"${channel}","instId":"${instId}"},"data":[{"asks":[],"bids":[]}]}`
      }
    },
    closingNotice: () =>
      JSON.stringify({
        event: "notice",
        code: "64008",
        msg: "The connection will soon be closed for a service upgrade. Please reconnect.",
        connId
      })
  }
}

/** A maintenance as reported on the channel `status`. */
const maintenance = ({ status, text }: ExchangeSays): string =>
  JSON.stringify({
    arg: { channel: "status" },
    data: [
      {
        begin: "1798700400000",
        end: "1798704000000",
        href: "",
        preOpenBegin: "",
        scheDesc: "",
        serviceType: "0",
        state: status,
        system: "unified",
        title: text,
        ts: "1798700400000"
      }
    ]
  })

const books = (stream: string, instrument: Instrument) => {
  const random = instrument.randomOf(`${stream} ids`)
  const symbol = instrument.symbol
  let sequence = 80_000_000_000
  const frame = (action: string, { asks, bids }: Levels, now: number, previous: number) => {
    const side = (levels: Levels["asks"]) =>
      JSON.stringify(levels.map(([price, quantity]) => [price, quantity, "0", quantity === "0" ? "0" : "1"]))
    return (
      `{"arg":{"channel":"books","instId":"${symbol}"},"action":"${action}","data":[{"asks":${side(asks)},` +
      `"bids":${side(bids)},"ts":"${now}","checksum":0,"seqId":${sequence},"prevSeqId":${previous}}]}`
    )
  }
  return changesSource(stream, instrument, {
    change: (levels, now) => {
      const previous = sequence
      sequence += 1 + Math.floor(random() * 60)
      return { id: `${previous}-${sequence}`, text: frame("update", levels, now, previous) }
    },
    snapshot: (levels, now) => frame("snapshot", levels, now, -1),
    missed: (count) => {
      sequence += 20 * count
    }
  })
}

const trades = (stream: string, instrument: Instrument) =>
  tradesSource(stream, instrument, {
    most: 3,
    write: (trades) => {
      const newest = trades.at(-1)
      const item = {
        instId: instrument.symbol,
        tradeId: String(newest?.id),
        px: newest?.price,
        sz: newest?.quantity,
        side: newest?.side,
        ts: String(newest?.time),
        count: String(trades.length),
        source: "0",
        seqId: 80_000_000_000 + (newest?.id ?? 0)
      }
      return {
        id: item.tradeId,
        text: `{"arg":{"channel":"trades","instId":"${instrument.symbol}"},"data":[${JSON.stringify(item)}]}`
      }
    }
  })
