import { isUtf8 } from "node:buffer"
import { Duration, Either, Schema } from "effect"
import type { DataType, StreamId } from "../domain/StreamId.ts"
import type { Decoder, Exchange, Frame, SubscribeRequest } from "./Exchange.ts"
import * as Scan from "./scan.ts"

/**
 * Binance spot. Protocol facts: binance-spot-api-docs, web-socket-streams.md (July 2026).
 *
 * Sequence ids: `lastUpdateId` of a partial book, `t` of a trade. A partial book carries neither its symbol nor a time:
 * the symbol comes from the envelope of the combined stream, and on a raw connection (a URL that ends in `/ws`) from
 * there being only one book on it.
 */
export const binance: Exchange = {
  name: "binance",
  url: "wss://stream.binance.com:9443/stream",
  dataTypes: ["orderbook", "trade"],
  parseSymbol: (text) => {
    const symbol = text.toLowerCase()
    return /^[\p{L}\p{N}_-]{2,40}$/u.test(symbol)
      ? Either.right(symbol)
      : Either.left("letters and digits without a separator, as in btcusdt")
  },
  limits: {
    messagesPerSecond: 5,
    connections: { attempts: 300, per: Duration.minutes(5) }
  },
  idleTimeout: Duration.seconds(60),
  partition: (streams, url) => (isRaw(url) ? partitionRaw(streams) : chunk(streams, streamsPerConnection)),
  subscribe: (streams) => chunk(streams, streamsPerRequest).map(subscribeRequest),
  makeDecoder
}

const streamsPerConnection = 1024
/** Keeps a request well below the sizes of client messages that servers take. */
const streamsPerRequest = 200

const channels: ReadonlyMap<DataType, string> = new Map([
  ["orderbook", "@depth20@100ms"],
  ["trade", "@trade"]
])

const nameOf = (stream: StreamId): string => `${stream.symbol}${channels.get(stream.dataType) ?? ""}`

const isRaw = (url: string): boolean => new URL(url).pathname.replace(/\/+$/, "").endsWith("/ws")

const chunk = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))

/** One book a connection, so that a frame without a symbol can only be of that one. */
const partitionRaw = (streams: ReadonlyArray<StreamId>): ReadonlyArray<ReadonlyArray<StreamId>> => {
  const books = streams.filter((stream) => stream.dataType === "orderbook")
  const others = streams.filter((stream) => stream.dataType !== "orderbook")
  if (books.length === 0) return chunk(others, streamsPerConnection)
  const [first, ...rest] = chunk(others, streamsPerConnection - 1)
  return books
    .map((book, i) => (i === 0 ? [book, ...(first ?? [])] : [book]))
    .concat(rest.map((part) => [...part]))
}

const subscribeRequest = (streams: ReadonlyArray<StreamId>, index: number): SubscribeRequest => ({
  frame: JSON.stringify({ method: "SUBSCRIBE", params: streams.map(nameOf), id: index + 1 }),
  request: String(index + 1),
  streams
})

const heartbeat: Frame = { _tag: "Heartbeat" }
const malformed = (reason: string): Frame => ({ _tag: "Malformed", reason })
const notJson = malformed("not a JSON object")
const notUtf8 = malformed("not UTF-8")
const notAskedFor = malformed("of a stream that was not asked for")
const unknownShape = malformed("of an unknown shape")
const noSequenceId = malformed("without a sequence id")
const noSymbol = malformed("without a symbol")

function makeDecoder(streams: ReadonlyArray<StreamId>): Decoder {
  const byName = new Map(streams.map((stream) => [nameOf(stream), stream]))
  const trades = new Map(
    streams
      .filter((stream) => stream.dataType === "trade")
      .map((stream) => [stream.symbol.toUpperCase(), stream])
  )
  const books = streams.filter((stream) => stream.dataType === "orderbook")
  const onlyBook = books.length === 1 ? books[0] : undefined
  const member = Scan.makeMember()

  return (frame) => {
    const end = Scan.trimmedEnd(frame)
    const start = Scan.skipSpace(frame, 0)
    if (end - start < 2 || frame[start] !== Scan.openBrace || frame[end - 1] !== Scan.closeBrace)
      return notJson
    if (!isUtf8(frame)) return notUtf8
    const value = Scan.nextMember(frame, start + 1, member)
    if (value < 0) return notJson
    return Scan.isKey(frame, member, "stream") ? combined(frame, value, end) : raw(frame, start, end)
  }

  /** `{"stream":"<name>","data":{...}}` */
  function combined(frame: Buffer, at: number, end: number): Frame {
    const name = Scan.stringAt(frame, at)
    const value = Scan.nextMember(frame, Scan.skipValue(frame, at), member)
    if (name === undefined || value < 0) return notJson
    if (!Scan.isKey(frame, member, "data") || frame[value] !== Scan.openBrace) return unknownShape
    const dataEnd = lastValueEnd(frame, value, end)
    if (dataEnd < 0) return notJson
    if (name === "!serverShutdown") return { _tag: "Closing", reason: "server shutdown" }
    const stream = byName.get(name)
    return stream === undefined ? notAskedFor : data(frame, stream, value, dataEnd)
  }

  /** A payload without an envelope, or an answer. */
  function raw(frame: Buffer, start: number, end: number): Frame {
    if (Scan.isKey(frame, member, "lastUpdateId")) {
      return onlyBook === undefined ? noSymbol : data(frame, onlyBook, start, end)
    }
    if (!Scan.isKey(frame, member, "e")) return answer(frame)
    const event = Scan.stringAt(frame, member.valueStart)
    if (event === "serverShutdown") return { _tag: "Closing", reason: "server shutdown" }
    if (event !== "trade") return notAskedFor
    const symbol = Scan.find(frame, start, "s", member)
    const stream = symbol < 0 ? undefined : trades.get(Scan.stringAt(frame, symbol) ?? "")
    if (stream !== undefined) return data(frame, stream, start, end)
    return symbol < 0 ? noSymbol : notAskedFor
  }

  function data(frame: Buffer, stream: StreamId, start: number, end: number): Frame {
    const isTrade = stream.dataType === "trade"
    const id = Scan.find(frame, start, isTrade ? "t" : "lastUpdateId", member)
    const exchangeSequenceId = id < 0 ? undefined : Scan.integerTextAt(frame, id)
    if (exchangeSequenceId === undefined) return noSequenceId
    if (!isTrade) {
      return { _tag: "Data", stream, exchangeSequenceId, exchangeTimestamp: null, start, end }
    }
    const time = Scan.find(frame, start, "T", member)
    const at = time < 0 ? Number.NaN : Scan.integerAt(frame, time)
    return { _tag: "Data", stream, exchangeSequenceId, exchangeTimestamp: microsOf(at), start, end }
  }
}

/** Times are in milliseconds, or in microseconds on a connection with `timeUnit=MICROSECOND`. */
const microsOf = (time: number): number | null =>
  Number.isNaN(time) ? null : time < firstMicros ? time * 1000 : time

/** 1973 in microseconds, the year 5138 in milliseconds. */
const firstMicros = 100_000_000_000_000

/**
 * Where the last value of the frame ends, which begins at `at`; -1 if it is not the last or is cut off. A book is not
 * walked through: its payload holds no object but itself, so its end is where the envelope's is.
 */
const lastValueEnd = (frame: Buffer, at: number, end: number): number => {
  if (end - at > longFrame && frame[end - 2] === Scan.closeBrace && frame.indexOf('},"', at, "latin1") < 0) {
    return end - 1
  }
  const valueEnd = Scan.skipValue(frame, at)
  return valueEnd > 0 && Scan.skipSpace(frame, valueEnd) === end - 1 ? valueEnd : -1
}

/** Bytes: trades are shorter. */
const longFrame = 512

const Answer = Schema.parseJson(
  Schema.Struct({
    result: Schema.optional(Schema.Unknown),
    id: Schema.optional(Schema.Union(Schema.Number, Schema.String, Schema.Null)),
    error: Schema.optional(Schema.Struct({ code: Schema.Number, msg: Schema.String })),
    code: Schema.optional(Schema.Number),
    msg: Schema.optional(Schema.String)
  })
)
const decodeAnswer = Schema.decodeUnknownEither(Answer)

/** The answer to a request: rare and short, so it is parsed as a whole. */
const answer = (frame: Buffer): Frame => {
  if (frame.length > maxAnswerBytes) return unknownShape
  return Either.match(decodeAnswer(frame.toString()), {
    onLeft: () => unknownShape,
    onRight: ({ code, error, id, msg, result }) => {
      const request = id === undefined || id === null ? null : String(id)
      const refusal = error?.msg ?? (code === undefined ? undefined : (msg ?? `code ${code}`))
      if (refusal !== undefined) return { _tag: "Refused", request, reason: refusal }
      if (result === undefined) return unknownShape
      return request === null ? heartbeat : { _tag: "Acknowledged", request }
    }
  })
}

/** The answer to LIST_SUBSCRIPTIONS with 1024 streams is the largest one. */
const maxAnswerBytes = 100_000
