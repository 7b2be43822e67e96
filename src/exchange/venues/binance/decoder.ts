import { crc32 } from "node:zlib"
import { Schema } from "effect"
import { integerOf, plus } from "../../../domain/Integer.ts"
import type { MarketStream, MarketType } from "../../../domain/StreamId.ts"
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
} from "../../decoding/frames.ts"
import * as Scan from "../../decoding/scan.ts"
import { timeAt } from "../../decoding/time.ts"
import type { Decoder, Exchange, Frame, SubscriptionChange } from "../../Exchange.ts"
import { requestsOf } from "../../requests.ts"

/** What the messages of a type have. */
export interface Layout {
  /** What follows the symbol in the name of a stream. */
  readonly suffix: string
  /** The `e` of its messages; undefined for books without one. The best offers of spot, which lack it, are told by their members. */
  readonly event: string | undefined
  /** The object that its members are in; undefined if they are in the message itself. */
  readonly inside?: string
  /** The member that identifies a message, or two of them: the first and the last update, or the previous and the last. */
  readonly id: readonly [string] | readonly [string, string]
  /** What its numbers prove. With `hash` they prove nothing, and the id ends with a CRC-32 of `inside`. */
  readonly numbers: "counter" | "range" | "chain" | "none" | "hash"
  /** The member with the exchange's time. */
  readonly time: string | undefined
}

export type Layouts = Partial<Record<MarketType, Layout>>

/** Returns the name of a stream. */
export const channelIn =
  (layouts: Layouts) =>
  (stream: MarketStream): string =>
    `${stream.symbol}${layouts[stream.dataType]?.suffix}`

/** Whether a connection to this URL receives messages without the envelope that names their stream. */
export const isRaw = (url: string): boolean => new URL(url).pathname.replace(/\/+$/, "").endsWith("/ws")

/** Writes requests. */
export const binanceRequests =
  (channelOf: (stream: MarketStream) => string) => (change: SubscriptionChange, nextId: () => string) =>
    requestsOf(change, nextId, streamsPerRequest, (operation, streams, id) =>
      JSON.stringify({ method: operation.toUpperCase(), params: streams.map(channelOf), id: Number(id) })
    )

/** Keeps a request well below the size of client messages that servers accept. */
const streamsPerRequest = 200

const frameKeys = ["stream", "data", "e", "s", "lastUpdateId", "B"]

/**
 * Makes a decoder for the frames of Binance's venues: `{"stream":"<name>","data":{...}}`, or the data alone on a raw connection.
 * There, the books and the best offers of spot have no `e`, and the books do not name their symbol either.
 */
export const makeBinanceDecoder = (
  exchange: Exchange,
  layouts: Layouts,
  streams: ReadonlyMap<string, MarketStream>
): Decoder => {
  const member = Scan.makeMember()
  const inFrame = new Int32Array(frameKeys.length)
  const types = exchange.dataTypes.flatMap((dataType) => {
    const layout = layouts[dataType]
    return layout === undefined ? [] : [{ dataType, ...layout }]
  })
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
    if (Scan.isKey(frame, member, "e")) return rawEvent(frame, value, start, end)
    if (!Scan.isKey(frame, member, "stream")) return undefined
    const dataAt = Scan.nextMember(frame, Scan.skipValue(frame, value), member)
    if (dataAt < 0 || !Scan.isKey(frame, member, "data") || frame[dataAt] !== Scan.openBrace) return undefined
    const dataEnd = lastValueEnd(frame, dataAt, end)
    return dataEnd < 0 ? undefined : combined(frame, value, dataAt, dataEnd)
  }

  /** Reads anything else: members in any order, with others among them, or an answer. */
  function unusual(frame: Buffer, start: number, end: number): Frame {
    if (Scan.readObject(frame, start, frameKeys, inFrame, member) !== end) return notJson
    const [nameAt = -1, dataAt = -1, eventAt = -1, symbolAt = -1, bookAt = -1, bestAt = -1] = inFrame
    if (nameAt >= 0) return combined(frame, nameAt, dataAt, Scan.skipValue(frame, dataAt))
    if (eventAt >= 0) return rawEvent(frame, eventAt, start, end)
    if (bookAt >= 0) return rawBook(frame, start, end)
    return symbolAt >= 0 && bestAt >= 0
      ? rawData(frame, "bookTicker", symbolAt, start, end)
      : answer(frame, streams)
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
    return ofNobody(exchange, name, name.slice(0, Math.max(0, name.indexOf("@"))))
  }

  /** A partial book without an envelope. */
  function rawBook(frame: Buffer, start: number, end: number): Frame {
    const book = findOnlyBook()
    if (book !== undefined) return data(frame, book, start, end)
    const isNobodys = !Array.from(streams.values()).some(isPartialBook)
    return isNobodys ? notAskedFor(layouts.orderbook?.suffix ?? "") : noSymbol
  }

  /** Any other payload without an envelope. */
  function rawEvent(frame: Buffer, eventAt: number, start: number, end: number): Frame {
    const event = Scan.stringAt(frame, eventAt)
    if (event === undefined) return unknownShape
    if (event === "serverShutdown")
      return { _tag: "Closing", status: "serverShutdown", reason: "server shutdown" }
    const inside = types.find((type) => type.event === event)?.inside
    const objectAt = inside === undefined ? start : Scan.find(frame, start, inside, member)
    const symbolAt = frame[objectAt] === Scan.openBrace ? Scan.find(frame, objectAt, "s", member) : -1
    return rawData(frame, event, symbolAt, start, end)
  }

  /** Of several streams of a symbol with the same event, a raw connection has one. */
  function rawData(frame: Buffer, event: string, symbolAt: number, start: number, end: number): Frame {
    const possible = types.filter((type) => type.event === event)
    const [first] = possible
    if (first === undefined) return unknownChannel
    const symbol = Scan.stringAt(frame, symbolAt)?.toLowerCase()
    if (symbol === undefined) return noSymbol
    const [stream, another] = possible.flatMap(({ suffix }) => streams.get(symbol + suffix) ?? [])
    if (another !== undefined) return unknownChannel
    return stream === undefined ? other(symbol + first.suffix) : data(frame, stream, start, end)
  }

  function findOnlyBook(): MarketStream | undefined {
    const known = onlyBook === undefined ? undefined : streams.get(onlyBook)
    if (known !== undefined) return known
    const [book, other] = Array.from(streams.values()).filter(isPartialBook)
    if (book === undefined || other !== undefined) return undefined
    onlyBook = exchange.channelOf(book)
    return book
  }

  function data(frame: Buffer, stream: MarketStream, start: number, end: number): Frame {
    const layout = layouts[stream.dataType]
    if (layout === undefined) return ofStream(unknownShape, stream)
    const from = layout.inside === undefined ? start : Scan.find(frame, start, layout.inside, member)
    if (frame[from] !== Scan.openBrace) return ofStream(unknownShape, stream)
    const [firstKey, lastKey] = layout.id
    const first = Scan.integerTextAt(frame, Scan.find(frame, from, firstKey, member))
    const last =
      lastKey === undefined ? first : Scan.integerTextAt(frame, Scan.find(frame, from, lastKey, member))
    if (first === undefined || last === undefined) return ofStream(noSequenceId, stream)
    const { numbers, time } = layout
    const isNumbered = numbers !== "none" && numbers !== "hash"
    if (isNumbered && !(isNumber(first) && isNumber(last))) return ofStream(noSequenceId, stream)
    return {
      _tag: "Data",
      stream,
      exchangeSequenceId:
        numbers === "hash"
          ? `${first}-${hashOf(frame.subarray(from, Scan.skipValue(frame, from)))}`
          : lastKey === undefined
            ? first
            : `${first}-${last}`,
      exchangeTimestamp: time === undefined ? null : timeAt(frame, Scan.find(frame, from, time, member)),
      start,
      end,
      previous: isNumbered ? plus(integerOf(first), numbers === "chain" ? 0 : -1) : Number.NaN,
      last: isNumbered ? integerOf(last) : Number.NaN,
      snapshot: false,
      also: noOthers
    }
  }
}

const isPartialBook = (stream: MarketStream): boolean => stream.dataType === "orderbook"

const hashOf = (bytes: Buffer): string => crc32(bytes).toString(16).padStart(8, "0")

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
    error: Schema.optional(Schema.Struct({ msg: Schema.String })),
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
