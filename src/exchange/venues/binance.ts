import { Duration, Schema } from "effect"
import { type Integer, integerOf, plus } from "../../domain/Integer.ts"
import type { MarketStream, MarketType } from "../../domain/StreamId.ts"
import { type ContinuityRule, unproven } from "../Continuity.ts"
import {
  answerReader,
  flawOf,
  heartbeat,
  isNumber,
  noOthers,
  noSequenceId,
  noSymbol,
  notAskedFor,
  notJson,
  ofNobody,
  ofStream,
  RequestId,
  requestOf,
  unknownChannel,
  unknownShape
} from "../decoding/frames.ts"
import * as Scan from "../decoding/scan.ts"
import { timeAt } from "../decoding/time.ts"
import type { Decoder, Exchange, Frame } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"
import { requestsOf } from "../requests.ts"

/**
 * Binance spot. Protocol facts: binance-spot-api-docs, web-socket-streams.md (July 2026).
 *
 * Sequence ids: `lastUpdateId` of a partial book, `U-u` of a diff, `t` of a trade. A partial book carries neither its symbol
 * nor a time: the symbol comes from the envelope of the combined stream, and on a raw connection (a URL that ends in `/ws`) it
 * is known because there is only one book on it.
 */
export const binance: Exchange = {
  name: "binance",
  url: "wss://stream.binance.com:9443/stream",
  dataTypes: ["orderbook", "trade", "orderbook_diff"],
  parseSymbol: symbolLike(
    /^[\p{L}\p{N}]{2,40}$/u,
    "letters and digits without a separator, as in btcusdt",
    (base, quote) => `${base}${quote}`,
    (text) => text.toLowerCase()
  ),
  channelOf: (stream) => `${stream.symbol}${suffixes[stream.dataType]}`,
  continuity: (dataType) => rules[dataType] ?? unproven,
  limits: {
    // Pings, pongs and requests all count: one of them is needed now and then to answer the server's pings.
    messages: [{ count: 5, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: [{ count: 300, per: Duration.minutes(5) }],
    fits: (streams, url) =>
      streams.length <= streamsPerConnection && (!isRaw(url) || streams.filter(isPartialBook).length <= 1)
  },
  // The server pings every 20 s and expects the pong within 60 s.
  keepalive: { ping: { _tag: "None" }, every: Duration.seconds(20), pongWithin: Duration.seconds(10) },
  idleTimeout: Duration.seconds(60),
  lifetime: Duration.hours(24),
  opening: [],
  acknowledges: true,
  requests: (change, nextId) =>
    requestsOf(change, nextId, streamsPerRequest, (operation, streams, id) =>
      JSON.stringify({
        method: operation.toUpperCase(),
        params: streams.map(binance.channelOf),
        id: Number(id)
      })
    ),
  makeDecoder,
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
/** Keeps a request well below the size of client messages that servers accept. */
const streamsPerRequest = 200

const bookSuffix = "@depth20@100ms"
const suffixes: Partial<Record<MarketType, string>> = {
  orderbook: bookSuffix,
  trade: "@trade",
  orderbook_diff: "@depth@100ms"
}

/** A diff starts at the id after the last one of the previous diff; trade ids increase by one in practice. */
const rules: Partial<Record<MarketType, ContinuityRule>> = {
  orderbook: unproven,
  trade: { kind: "counter", scope: "stream", spansConnections: true },
  orderbook_diff: { kind: "range", scope: "stream", spansConnections: true }
}

const isPartialBook = (stream: MarketStream): boolean => stream.dataType === "orderbook"

const isRaw = (url: string): boolean => new URL(url).pathname.replace(/\/+$/, "").endsWith("/ws")

/** The `e` of an event and the type of the stream that it belongs to. */
const events: ReadonlyMap<string, MarketType> = new Map([
  ["trade", "trade"],
  ["depthUpdate", "orderbook_diff"]
])

const frameKeys = ["stream", "data", "e", "s", "lastUpdateId"]

function makeDecoder(streams: ReadonlyMap<string, MarketStream>): Decoder {
  const member = Scan.makeMember()
  const inFrame = new Int32Array(frameKeys.length)
  let onlyBook: string | undefined

  return (frame) => {
    const flaw = flawOf(frame)
    if (flaw !== undefined) return flaw
    const start = Scan.skipSpace(frame, 0)
    const end = Scan.trimmedEnd(frame)
    return usual(frame, start, end) ?? unusual(frame, start, end)
  }

  /** Reads data whose members are in the exchange's usual order, so that none needs to be searched for. */
  function usual(frame: Buffer, start: number, end: number): Frame | undefined {
    const value = Scan.nextMember(frame, start + 1, member)
    if (value < 0) return notJson
    if (Scan.isKey(frame, member, "lastUpdateId")) return rawBook(frame, start, end)
    if (Scan.isKey(frame, member, "e")) {
      return rawEvent(frame, value, Scan.find(frame, start, "s", member), start, end)
    }
    if (!Scan.isKey(frame, member, "stream")) return undefined
    const dataAt = Scan.nextMember(frame, Scan.skipValue(frame, value), member)
    if (dataAt < 0 || !Scan.isKey(frame, member, "data") || frame[dataAt] !== Scan.openBrace) return undefined
    const dataEnd = lastValueEnd(frame, dataAt, end)
    return dataEnd < 0 ? undefined : combined(frame, value, dataAt, dataEnd)
  }

  /** Reads anything else: members in any order, with others among them, or an answer. */
  function unusual(frame: Buffer, start: number, end: number): Frame {
    if (Scan.readObject(frame, start, frameKeys, inFrame, member) !== end) return notJson
    const [nameAt = -1, dataAt = -1, eventAt = -1, symbolAt = -1, bookAt = -1] = inFrame
    if (nameAt >= 0) return combined(frame, nameAt, dataAt, Scan.skipValue(frame, dataAt))
    if (eventAt >= 0) return rawEvent(frame, eventAt, symbolAt, start, end)
    return bookAt >= 0 ? rawBook(frame, start, end) : answer(frame, streams)
  }

  /** `{"stream":"<name>","data":{...}}` */
  function combined(frame: Buffer, nameAt: number, dataAt: number, dataEnd: number): Frame {
    const name = Scan.stringAt(frame, nameAt)
    if (name === undefined) return unknownShape
    if (name === "!serverShutdown")
      return { _tag: "Closing", status: "serverShutdown", reason: "server shutdown" }
    const stream = streams.get(name)
    if (stream === undefined) return other(name)
    return frame[dataAt] === Scan.openBrace
      ? data(frame, stream, dataAt, dataEnd)
      : ofStream(unknownShape, stream)
  }

  function other(name: string): Frame {
    return ofNobody(binance, name, name.slice(0, Math.max(0, name.indexOf("@"))))
  }

  /** A partial book without an envelope. */
  function rawBook(frame: Buffer, start: number, end: number): Frame {
    const book = findOnlyBook()
    if (book !== undefined) return data(frame, book, start, end)
    const isNobodys = !Array.from(streams.values()).some(isPartialBook)
    return isNobodys ? notAskedFor(bookSuffix) : noSymbol
  }

  /** Any other payload without an envelope. */
  function rawEvent(frame: Buffer, eventAt: number, symbolAt: number, start: number, end: number): Frame {
    const event = Scan.stringAt(frame, eventAt)
    if (event === undefined) return unknownShape
    if (event === "serverShutdown")
      return { _tag: "Closing", status: "serverShutdown", reason: "server shutdown" }
    const dataType = events.get(event)
    if (dataType === undefined) return unknownChannel
    const symbol = Scan.stringAt(frame, symbolAt)
    if (symbol === undefined) return noSymbol
    const name = symbol.toLowerCase() + suffixes[dataType]
    const stream = streams.get(name)
    return stream === undefined ? other(name) : data(frame, stream, start, end)
  }

  function findOnlyBook(): MarketStream | undefined {
    const known = onlyBook === undefined ? undefined : streams.get(onlyBook)
    if (known !== undefined) return known
    const [book, other] = Array.from(streams.values()).filter(isPartialBook)
    if (book === undefined || other !== undefined) return undefined
    onlyBook = binance.channelOf(book)
    return book
  }

  function data(frame: Buffer, stream: MarketStream, start: number, end: number): Frame {
    const textOf = (key: string) => Scan.integerTextAt(frame, Scan.find(frame, start, key, member))
    const timeOf = (key: string) => timeAt(frame, Scan.find(frame, start, key, member))
    switch (stream.dataType) {
      case "orderbook": {
        const id = textOf("lastUpdateId")
        if (id === undefined) return ofStream(noSequenceId, stream)
        return message(stream, id, null, start, end, Number.NaN, Number.NaN)
      }
      case "trade": {
        const id = textOf("t")
        if (id === undefined || !isNumber(id)) return ofStream(noSequenceId, stream)
        const number = integerOf(id)
        return message(stream, id, timeOf("T"), start, end, plus(number, -1), number)
      }
      case "orderbook_diff": {
        const first = textOf("U")
        const last = textOf("u")
        if (first === undefined || last === undefined || !isNumber(first) || !isNumber(last)) {
          return ofStream(noSequenceId, stream)
        }
        const previous = plus(integerOf(first), -1)
        return message(stream, `${first}-${last}`, timeOf("E"), start, end, previous, integerOf(last))
      }
      default:
        return ofStream(unknownShape, stream)
    }
  }
}

const message = (
  stream: MarketStream,
  exchangeSequenceId: string,
  exchangeTimestamp: number | null,
  start: number,
  end: number,
  previous: Integer,
  last: Integer
): Frame => ({
  _tag: "Data",
  stream,
  exchangeSequenceId,
  exchangeTimestamp,
  start,
  end,
  previous,
  last,
  snapshot: false,
  also: noOthers
})

/**
 * Returns the end of the last value of the frame, which starts at `at`; -1 if it is not the last one or is cut off. A book is
 * not scanned: its payload contains no object but itself, so the first closing brace is its own.
 */
const lastValueEnd = (frame: Buffer, at: number, end: number): number => {
  if (end - at > longFrame && frame.indexOf(Scan.closeBrace, at) === end - 2) return end - 1
  const valueEnd = Scan.skipValue(frame, at)
  return valueEnd > 0 && Scan.skipSpace(frame, valueEnd) === end - 1 ? valueEnd : -1
}

/** In bytes; trades are shorter. */
const longFrame = 512

const answer = answerReader(
  Schema.Struct({
    result: Schema.optional(Schema.Unknown),
    id: RequestId,
    error: Schema.optional(Schema.Struct({ code: Schema.Number, msg: Schema.String })),
    code: Schema.optional(Schema.Number),
    msg: Schema.optional(Schema.String)
  }),
  ({ code, error, id, msg, result }): Frame => {
    const request = requestOf(id)
    const refusal = error?.msg ?? (code === undefined ? undefined : (msg ?? `code ${code}`))
    if (refusal !== undefined) {
      return { _tag: "Refused", request, streams: [], reason: refusal, others: "dropped" }
    }
    // A message has other members, and could have them in a new envelope.
    if (result !== null && result !== true && !Array.isArray(result)) return unknownShape
    return request === null ? heartbeat : { _tag: "Acknowledged", request, streams: null, others: "pending" }
  },
  // The answer to LIST_SUBSCRIPTIONS with 1024 streams is the largest one.
  100_000
)
