import { crc32 } from "node:zlib"
import { Duration, Either, Schema } from "effect"
import type { MarketStream, MarketType } from "../../domain/StreamId.ts"
import { type ContinuityRule, unproven } from "../Continuity.ts"
import { chunk } from "../chunk.ts"
import {
  answerReader,
  flawOf,
  heartbeat,
  isAnybodys,
  isNumber,
  type Malformed,
  noOthers,
  noSequenceId,
  noSymbol,
  ofNobody,
  ofStream,
  pong,
  RequestId,
  readMembers,
  requestOf,
  unknownChannel,
  unknownShape
} from "../decoding/frames.ts"
import * as Scan from "../decoding/scan.ts"
import { timeAt as readTime } from "../decoding/time.ts"
import { addTrade, partOf, type TradeGroup } from "../decoding/trades.ts"
import type { Decoder, Exchange, Frame, Request, SubscriptionChange } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"

/**
 * Kraken spot, WebSocket v2. Protocol facts: docs.kraken.com/api, spot WebSocket v2 (2026).
 *
 * Sequence ids: `trade_id` of a trade, or both ends and the number of trades if a frame has several. A book has no number: its
 * id is its time and a CRC-32 of the frame, prefixed with `snapshot-<connection>-` for a whole book. The checksum in a book
 * proves only its best ten levels, and only to a client that maintains the book: here it counts as unproven.
 */
export const kraken: Exchange = {
  name: "kraken",
  url: "wss://ws.kraken.com/v2",
  dataTypes: ["orderbook", "trade"],
  parseSymbol: symbolLike(
    /^[A-Za-z0-9.]{1,20}\/[A-Za-z0-9]{2,10}$/,
    "a pair with a slash, as in BTC/USD",
    (base, quote) => `${base}/${quote}`,
    // Tokenised stocks have lower-case letters, as in TSLAx/USD.
    (text) => (text === text.toLowerCase() ? text.toUpperCase() : text)
  ),
  channelOf: (stream) => `${channels[stream.dataType]}:${stream.symbol}`,
  continuity: (dataType) => (dataType === "trade" ? tradeRule : unproven),
  limits: {
    // Neither is documented; about 150 connections in ten minutes are said to be allowed.
    messages: [{ count: 20, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: [{ count: 100, per: Duration.minutes(10) }],
    fits: (streams) => streams.length <= 400
  },
  keepalive: {
    ping: { _tag: "Text", text: '{"method":"ping"}' },
    every: Duration.seconds(20),
    pongWithin: Duration.seconds(10)
  },
  // While nothing else is sent, a heartbeat arrives about every second.
  idleTimeout: Duration.seconds(30),
  opening: [],
  acknowledges: true,
  requests,
  makeDecoder,
  instruments: {
    url: "https://api.kraken.com",
    // Without the class only currencies are listed: tokenised stocks (xStocks) are a class of their own.
    paths: ["/0/public/AssetPairs", "/0/public/AssetPairs?aclass_base=tokenized_asset"],
    refusal: /"error":\s*\[\s*"E(?:Service|API)\b/,
    depth: 2,
    read: instrumentIn(
      Schema.Struct({
        wsname: Schema.optional(Schema.String),
        status: Schema.optional(Schema.String),
        execution_venue: Schema.optional(Schema.String)
      }),
      ({ execution_venue = ownVenue, status, wsname }) => {
        if (wsname === undefined) return undefined
        const state = stateOf(status, ["work_in_progress", "hidden"])
        return {
          symbol: wsname.replace(/\bXBT\b/, "BTC").replace(/\bXDG\b/, "DOGE"),
          // Its book belongs to another exchange.
          state: state === "traded" && execution_venue !== ownVenue ? "resting" : state
        }
      }
    )
  }
}

/**
 * The venue of what is traded on Kraken itself, and not through another one, as since April 2026 through `bitnomial-exchange`.
 */
const ownVenue = "international"

const symbolsPerRequest = 100
const depth = 100

const tradeRule: ContinuityRule = { kind: "counter", scope: "stream", spansConnections: true }

const channels: Partial<Record<MarketType, string>> = {
  orderbook: "book",
  trade: "trade",
  orderbook_diff: "book"
}

/** Each request is for one channel, and has one answer per symbol. */
function requests(
  { subscribe, unsubscribe }: SubscriptionChange,
  nextId: () => string
): ReadonlyArray<Request> {
  const request = (method: string, dataType: MarketType, streams: ReadonlyArray<MarketStream>) => {
    const id = nextId()
    const symbol = streams.map((stream) => stream.symbol)
    const params =
      dataType === "trade"
        ? { channel: "trade", symbol, snapshot: false }
        : { channel: "book", symbol, depth, snapshot: true }
    return { id, frame: JSON.stringify({ method, params, req_id: Number(id) }) }
  }
  const parts = (streams: ReadonlyArray<MarketStream>) =>
    (["orderbook", "trade"] as const).flatMap((dataType) =>
      chunk(
        streams.filter((stream) => stream.dataType === dataType),
        symbolsPerRequest
      ).map((part) => ({ dataType, part }))
    )
  return [
    ...parts(unsubscribe).map(({ dataType, part }) => ({
      ...request("unsubscribe", dataType, part),
      streams: []
    })),
    ...parts(subscribe).map(({ dataType, part }) => ({
      ...request("subscribe", dataType, part),
      streams: part
    }))
  ]
}

const frameKeys = ["channel", "type", "data"]
const itemKeys = ["symbol", "timestamp", "trade_id", "checksum"]

function makeDecoder(streams: ReadonlyMap<string, MarketStream>, connection: string): Decoder {
  const member = Scan.makeMember()
  const inFrame = new Int32Array(frameKeys.length)
  const inItem = new Int32Array(itemKeys.length)

  return (frame) => {
    const flaw = flawOf(frame) ?? readMembers(frame, frameKeys, inFrame, member)
    if (flaw !== undefined) return flaw
    const [channelAt = -1, typeAt = -1, dataAt = -1] = inFrame
    if (channelAt < 0) return answer(frame, streams)
    const channel = Scan.stringAt(frame, channelAt)
    if (channel === "status") return status(frame)
    if (channel === "heartbeat" && dataAt < 0) return heartbeat
    if (channel === undefined || frame[dataAt] !== Scan.openBracket) return unknownShape
    const snapshot = Scan.stringAt(frame, typeAt) === "snapshot"
    if (channel === channels.trade) return trades(frame, dataAt, snapshot)
    return channel === channels.orderbook ? book(frame, dataAt, snapshot) : unknownChannel
  }

  /** `{channel, type, data: [{symbol, bids, asks, checksum, timestamp}]}` */
  function book(frame: Buffer, dataAt: number, snapshot: boolean): Frame {
    const behind = Scan.readObject(frame, Scan.nextItem(frame, dataAt + 1), itemKeys, inItem, member)
    // A second item can belong to another stream.
    if (behind < 0 || Scan.nextItem(frame, behind) >= 0) return unknownShape
    const [symbolAt = -1, timeAt = -1, , checksumAt = -1] = inItem
    const symbol = Scan.stringAt(frame, symbolAt)
    if (symbol === undefined) return noSymbol
    const stream = streams.get(`book:${symbol}`)
    if (stream === undefined) return ofNobody(kraken, `book:${symbol}`, symbol)
    if (Scan.integerTextAt(frame, checksumAt) === undefined) return ofStream(noSequenceId, stream)
    const time = readTime(frame, timeAt)
    const id = `${time ?? 0}-${crc32(frame).toString(16).padStart(8, "0")}`
    return {
      _tag: "Data",
      stream,
      exchangeSequenceId: snapshot ? `snapshot-${connection}-${id}` : id,
      exchangeTimestamp: time,
      start: 0,
      end: frame.length,
      previous: Number.NaN,
      last: Number.NaN,
      snapshot,
      also: noOthers
    }
  }

  /** `{channel, type, data: [{symbol, side, price, qty, ord_type, trade_id, timestamp}, ...]}` */
  function trades(frame: Buffer, dataAt: number, snapshot: boolean): Frame {
    const groups: Array<TradeGroup> = []
    let nobodys: Malformed = unknownShape
    let only: MarketStream | undefined
    let isMixed = false
    let hasFlaw = false
    let at = Scan.nextItem(frame, dataAt + 1)
    while (at >= 0) {
      const behind = Scan.readObject(frame, at, itemKeys, inItem, member)
      const [symbolAt = -1, timeAt = -1, idAt = -1] = inItem
      if (behind < 0) return unknownShape
      at = Scan.nextItem(frame, behind)
      const symbol = Scan.stringAt(frame, symbolAt)
      if (symbol === undefined) return noSymbol
      const stream = streams.get(`trade:${symbol}`)
      if (stream === undefined) {
        nobodys = ofNobody(kraken, `trade:${symbol}`, symbol)
        if (isAnybodys(nobodys)) return nobodys
        continue
      }
      only ??= stream
      isMixed ||= only !== stream
      const id = Scan.integerTextAt(frame, idAt)
      if (id === undefined || !isNumber(id)) hasFlaw = true
      else addTrade(groups, stream, id, readTime(frame, timeAt))
    }
    if (hasFlaw) return isMixed || only === undefined ? noSequenceId : ofStream(noSequenceId, only)
    const [first, ...others] = groups.map((group) => partOf(group, snapshot))
    return first === undefined
      ? nobodys
      : { ...first, _tag: "Data", start: 0, end: frame.length, also: others }
  }
}

/**
 * `{channel, type, data: [{version, system, api_version, connection_id}]}`: on every new connection, and when it changes.
 * `upcoming_maintenance` and `emergency` are lists that only some of its endpoints have.
 */
const status = (frame: Buffer): Frame =>
  Either.match(decodeStatus(frame.toString("utf8", 0, maxStatus)), {
    onLeft: () => heartbeat,
    onRight: ({ data }) => ({
      _tag: "Status",
      said: data.map(({ emergency = [], system, upcoming_maintenance = [] }) => ({
        status: system,
        ...(emergency.length + upcoming_maintenance.length === 0
          ? {}
          : { text: JSON.stringify({ emergency, upcoming_maintenance }) })
      }))
    })
  })

/** In bytes. */
const maxStatus = 100_000

const decodeStatus = Schema.decodeUnknownEither(
  Schema.parseJson(
    Schema.Struct({
      data: Schema.Array(
        Schema.Struct({
          system: Schema.NonEmptyString,
          emergency: Schema.optionalWith(Schema.Array(Schema.Unknown), { nullable: true }),
          upcoming_maintenance: Schema.optionalWith(Schema.Array(Schema.Unknown), { nullable: true })
        })
      )
    })
  )
)

const Answer = Schema.Struct({
  method: Schema.String,
  success: Schema.optional(Schema.Boolean),
  error: Schema.optional(Schema.String),
  symbol: Schema.optional(Schema.String),
  req_id: RequestId,
  result: Schema.optional(
    Schema.Struct({ channel: Schema.optional(Schema.String), symbol: Schema.optional(Schema.String) })
  )
})

const answer = answerReader(
  Schema.Union(Schema.Struct({ Error: Schema.String }), Answer),
  (frame, streams): Frame => {
    if ("Error" in frame) return { _tag: "Failed", reason: frame.Error }
    const { error, method, req_id, result, success, symbol } = frame
    if (error !== undefined && /exceeded msg rate/i.test(error)) return { _tag: "Failed", reason: error }
    if (method === "pong") return pong
    const request = requestOf(req_id)
    const found = (channel: string, symbol: string | undefined) => {
      const stream = streams.get(`${channel}:${symbol ?? ""}`)
      return stream === undefined ? [] : [stream]
    }
    if (success === true && method === "subscribe") {
      const taken = found(result?.channel ?? "", result?.symbol)
      return { _tag: "Acknowledged", request, streams: taken, others: "pending" }
    }
    if (success === true && method === "unsubscribe") return heartbeat
    if (success !== false) return unknownShape
    // The channel is that of the request; the pair is a member, or a word of the text.
    const words = symbol === undefined ? (error ?? "").split(/\s+/) : [symbol]
    const refused = words.flatMap((word) => [...found("book", word), ...found("trade", word)])
    if (method === "subscribe" && /already subscribed/i.test(error ?? "") && refused.length > 0) {
      return { _tag: "Acknowledged", request, streams: refused, others: "pending" }
    }
    return {
      _tag: "Refused",
      request,
      streams: refused,
      reason: error ?? "refused",
      others: refused.length === 0 ? "dropped" : "pending"
    }
  }
)
