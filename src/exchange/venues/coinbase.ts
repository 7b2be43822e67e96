import { Duration, Either, Schema } from "effect"
import { type Integer, plus } from "../../domain/Integer.ts"
import type { MarketStream, MarketType } from "../../domain/StreamId.ts"
import type { ContinuityRule } from "../Continuity.ts"
import {
  flawOf,
  isAnybodys,
  type Malformed,
  noOthers,
  noSequenceId,
  noSymbol,
  ofNobody,
  ofStream,
  readMembers,
  type Unreadable,
  unknownChannel,
  unknownShape
} from "../decoding/frames.ts"
import * as Scan from "../decoding/scan.ts"
import { timeAt as readTime } from "../decoding/time.ts"
import { addTrade, partOf, type TradeGroup } from "../decoding/trades.ts"
import type { Decoder, Exchange, Frame, Part, Request, SubscriptionChange } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"
import { decodeSubscriptions, refusal } from "./coinbase/answers.ts"
import { authentication } from "./coinbase/authentication.ts"
import { readStatus } from "./coinbase/status.ts"

/**
 * Coinbase Advanced Trade. Protocol facts: docs.cdp.coinbase.com, Advanced Trade WebSocket (August 2026). That `sequence_num`
 * counts all frames of a connection, including acknowledgements and heartbeats, was measured in August and September 2026.
 *
 * Sequence ids: `<connection>-sequence_num` of a book, because the numbers start at 0 on every connection; `trade_id` of a
 * trade, or both ends and the number of trades if a frame has several, prefixed with `snapshot-` for the recent trades that a
 * subscription starts with.
 *
 * Most `X-USDC` have the book and the tape of `X-USD`, and whichever is subscribed to, the messages carry the name of the
 * latter; some, such as USDT-USDC, are products of their own (Advanced Trade WebSocket channels, August 2026). No connection
 * carries both, so the messages themselves show which it is, and none is taken for a message of a product that has its own.
 */
export const coinbase: Exchange = {
  name: "coinbase",
  url: "wss://advanced-trade-ws.coinbase.com",
  dataTypes: ["orderbook", "trade"],
  parseSymbol: symbolLike(
    /^[A-Z0-9]{1,20}(-[A-Z0-9]{1,20}){1,2}$/,
    "a product id with hyphens, as in BTC-USD",
    (base, quote) => `${base}-${quote}`
  ),
  channelOf: (stream) => `${inFrames[stream.dataType]}:${stream.symbol}`,
  otherChannelOf: ({ dataType, symbol }) =>
    perhapsOf(symbol) === symbol ? undefined : `${inFrames[dataType]}:${perhapsOf(symbol)}`,
  continuity: () => connectionCounter,
  limits: {
    messages: [{ count: 8, per: Duration.seconds(1) }],
    messagesOf: "address",
    // The limit is 8 a second; we make fewer, so that each can send its three messages in time: the first is due within 5 s.
    connections: [{ count: 3, per: Duration.seconds(2) }],
    // A lost frame puts every stream of its connection in doubt.
    fits: (streams) => {
      const symbols = new Set(streams.map(({ symbol }) => symbol))
      return streams.length <= 20 && !Array.from(symbols).some((symbol) => symbols.has(`${symbol}C`))
    }
  },
  // The heartbeats channel brings a frame every second.
  keepalive: { ping: { _tag: "None" }, every: Duration.seconds(20), pongWithin: Duration.seconds(10) },
  idleTimeout: Duration.seconds(20),
  opening: ['{"type":"subscribe","channel":"heartbeats"}'],
  statusFeed: {
    urlOf: (url) => url,
    after: Duration.minutes(1),
    opening: ['{"type":"subscribe","channel":"heartbeats"}'],
    ask: (symbols) => JSON.stringify({ type: "subscribe", product_ids: symbols, channel: "status" }),
    read: readStatus
  },
  acknowledges: true,
  asksOneByOne: true,
  requests,
  makeDecoder,
  instruments: {
    url: "https://api.coinbase.com",
    paths: ["/api/v3/brokerage/market/products?product_type=SPOT"],
    depth: 2,
    read: instrumentIn(
      Schema.Struct({
        product_id: Schema.optional(Schema.String),
        status: Schema.optional(Schema.String),
        alias: Schema.optional(Schema.String),
        is_disabled: Schema.optional(Schema.Boolean),
        trading_disabled: Schema.optional(Schema.Boolean)
      }),
      ({ alias, is_disabled, product_id, status, trading_disabled }) => {
        if (product_id === undefined) return undefined
        const state = stateOf(status, ["offline", "internal"])
        // An alias has the book of another product.
        const isResting = (alias ?? "") !== "" || is_disabled === true || trading_disabled === true
        return { symbol: product_id, state: state === "traded" && isResting ? "resting" : state }
      }
    ),
    // Futures of Coinbase Derivatives, such as BIP-20DEC30-CDE, are not among these products.
    lists: (symbol) => !symbol.endsWith("-CDE")
  },
  authentication
}

const connectionCounter: ContinuityRule = {
  kind: "counter",
  scope: "connection",
  spansConnections: false,
  first: 0
}

/** The channel of books has one name in requests and another in frames. */
const inRequests: Partial<Record<MarketType, string>> = {
  orderbook: "level2",
  trade: "market_trades",
  orderbook_diff: "level2"
}
const inFrames: Partial<Record<MarketType, string>> = {
  orderbook: "l2_data",
  trade: "market_trades",
  orderbook_diff: "l2_data"
}

/** Returns the name that all messages of a product carry if they do not carry its own. */
const perhapsOf = (product: string): string => (product.endsWith("-USDC") ? product.slice(0, -1) : product)

/** Each request is for one channel. Answers do not repeat an id: they list everything that the connection is subscribed to. */
function requests(
  { subscribe, unsubscribe }: SubscriptionChange,
  nextId: () => string
): ReadonlyArray<Request> {
  const request = (
    type: string,
    dataType: MarketType,
    products: ReadonlyArray<string>,
    streams: ReadonlyArray<MarketStream>
  ): ReadonlyArray<Request> =>
    products.length === 0
      ? []
      : [
          {
            id: nextId(),
            frame: JSON.stringify({ type, product_ids: products, channel: inRequests[dataType] }),
            streams
          }
        ]
  const types = ["orderbook", "trade"] as const
  const symbolsOf = (dataType: MarketType, streams: ReadonlyArray<MarketStream>) =>
    streams.filter((stream) => stream.dataType === dataType).map(({ symbol }) => symbol)
  const ended = types.flatMap((dataType) => {
    const symbols = symbolsOf(dataType, unsubscribe)
    return request("unsubscribe", dataType, [...new Set([...symbols, ...symbols.map(perhapsOf)])], [])
  })
  const begun = types.flatMap((dataType) =>
    request(
      "subscribe",
      dataType,
      symbolsOf(dataType, subscribe),
      subscribe.filter((stream) => stream.dataType === dataType)
    )
  )
  return [...ended, ...begun]
}

const frameKeys = ["channel", "timestamp", "sequence_num", "events", "type", "message"]
const eventKeys = ["type", "product_id", "updates", "trades"]
const tradeKeys = ["product_id", "trade_id", "time"]

function makeDecoder(streams: ReadonlyMap<string, MarketStream>, connection: string): Decoder {
  const member = Scan.makeMember()
  const inFrame = new Int32Array(frameKeys.length)
  const inEvent = new Int32Array(eventKeys.length)
  const inTrade = new Int32Array(tradeKeys.length)
  /** The first stream that the frame names, whether it names others, and what is wrong with one of them. */
  let only: MarketStream | undefined
  let isMixed = false
  let flaw: Unreadable | undefined

  return (frame) => {
    const early = flawOf(frame) ?? longBook(frame) ?? readMembers(frame, frameKeys, inFrame, member)
    if (early !== undefined) return early
    const [channelAt = -1, sentAt = -1, numberAt = -1, eventsAt = -1, typeAt = -1, messageAt = -1] = inFrame
    const channel = Scan.stringAt(frame, channelAt)
    if (channel === undefined) return refusal(frame, typeAt, messageAt)
    const counter = Scan.exactIntegerAt(frame, numberAt)
    if (Number.isNaN(counter)) return noSequenceId
    switch (channel) {
      case "heartbeats":
        return { _tag: "Heartbeat", counter, sent: readTime(frame, sentAt) }
      case "subscriptions":
        return { ...subscriptions(frame, counter), sent: readTime(frame, sentAt) }
      case "l2_data":
      case "market_trades":
        return frame[eventsAt] === Scan.openBracket
          ? events(frame, channel, eventsAt, readTime(frame, sentAt), counter)
          : { ...unknownShape, counter }
      default:
        return { ...unknownChannel, counter }
    }
  }

  /**
   * Reads a book with a single event by its members before the levels: the levels are not scanned, because a snapshot has tens
   * of thousands. Returns undefined for anything else.
   */
  function longBook(frame: Buffer): Frame | undefined {
    if (frame.length < longFrame || !frame.subarray(-bookTail.length).equals(bookTail)) return undefined
    let counter: Integer = Number.NaN
    let sentAt = -1
    let isBook = false
    let value = Scan.nextMember(frame, Scan.skipSpace(frame, 0) + 1, member)
    while (value >= 0 && !Scan.isKey(frame, member, "events")) {
      if (Scan.isKey(frame, member, "channel")) isBook = Scan.stringAt(frame, value) === "l2_data"
      else if (Scan.isKey(frame, member, "sequence_num")) counter = Scan.exactIntegerAt(frame, value)
      else if (Scan.isKey(frame, member, "timestamp")) sentAt = value
      value = Scan.nextMember(frame, Scan.skipValue(frame, value), member)
    }
    if (value < 0 || !isBook || Number.isNaN(counter)) return undefined
    const event = Scan.nextItem(frame, value + 1)
    if (event < 0 || frame[event] !== Scan.openBrace) return undefined
    let product: string | undefined
    let snapshot = false
    value = Scan.nextMember(frame, event + 1, member)
    while (value >= 0 && !Scan.isKey(frame, member, "updates")) {
      if (Scan.isKey(frame, member, "product_id")) product = Scan.stringAt(frame, value)
      else if (Scan.isKey(frame, member, "type")) snapshot = Scan.stringAt(frame, value) === "snapshot"
      value = Scan.nextMember(frame, Scan.skipValue(frame, value), member)
    }
    if (product === undefined || value < 0) return undefined
    if (frame.indexOf(productKey, value) >= 0 || frame.indexOf(updatesKey, value) >= 0) return undefined
    const stream = streamOf("l2_data", product)
    if (stream === undefined) return { ...ofNobody(coinbase, `l2_data:${product}`, product), counter }
    const sent = readTime(frame, sentAt)
    return {
      ...bookPart(stream, sent, counter, snapshot),
      _tag: "Data",
      sent,
      start: 0,
      end: frame.length,
      also: noOthers
    }
  }

  /** Records that the frame names this stream; nothing of the frame is recorded if the part of another stream is unreadable. */
  function noteNamed(stream: MarketStream): void {
    only ??= stream
    isMixed ||= only !== stream
  }

  /** `events: [{type, product_id, updates}, ...]` of books, `events: [{type, trades}, ...]` of trades. */
  function events(
    frame: Buffer,
    channel: string,
    eventsAt: number,
    sent: number | null,
    counter: Integer
  ): Frame {
    const parts: Array<Part> = []
    const trades: Array<TradeGroup> = []
    let nobodys: Malformed | undefined
    let ofSnapshot = false
    only = undefined
    isMixed = false
    flaw = undefined
    let at = Scan.nextItem(frame, eventsAt + 1)
    while (at >= 0) {
      const behind = Scan.readObject(frame, at, eventKeys, inEvent, member)
      if (behind < 0) return { ...unknownShape, counter }
      const [typeAt = -1, productAt = -1, updatesAt = -1, tradesAt = -1] = inEvent
      const snapshot = Scan.stringAt(frame, typeAt) === "snapshot"
      ofSnapshot ||= snapshot
      at = Scan.nextItem(frame, behind)
      if (channel === "market_trades") {
        const isEmpty = Scan.nextItem(frame, tradesAt < 0 ? -1 : tradesAt + 1) < 0
        // A subscription can start without any trade, an update always has one.
        nobodys = isEmpty && !snapshot ? unknownShape : (collectTrades(frame, tradesAt, trades) ?? nobodys)
      } else {
        const product = Scan.stringAt(frame, productAt)
        const stream = product === undefined ? undefined : streamOf(channel, product)
        if (stream === undefined) nobodys = nobodysOf(channel, product)
        else {
          noteNamed(stream)
          if (frame[updatesAt] !== Scan.openBracket) flaw = unknownShape
          else if (!parts.some((part) => part.stream === stream)) {
            parts.push(bookPart(stream, sent, counter, snapshot))
          }
        }
      }
      if (nobodys !== undefined && isAnybodys(nobodys)) return { ...nobodys, counter }
    }
    if (flaw !== undefined) {
      return {
        ...(only === undefined || isMixed ? flaw : ofStream(flaw, only)),
        counter
      }
    }
    for (const group of trades) {
      const part = partOf(group, ofSnapshot)
      parts.push({
        stream: part.stream,
        exchangeSequenceId: ofSnapshot ? `snapshot-${part.exchangeSequenceId}` : part.exchangeSequenceId,
        exchangeTimestamp: part.exchangeTimestamp ?? sent,
        previous: plus(counter, -1),
        last: counter,
        snapshot: ofSnapshot
      })
    }
    const [first, ...others] = parts
    if (first === undefined && nobodys === undefined && ofSnapshot) return { _tag: "Heartbeat", counter }
    return first === undefined
      ? { ...(nobodys ?? unknownShape), counter }
      : { ...first, _tag: "Data", start: 0, end: frame.length, also: others, sent }
  }

  /**
   * `[{product_id, trade_id, price, size, time, side}, ...]`, the newest first. Returns what is wrong with a trade that names
   * no stream of the connection.
   */
  function collectTrades(frame: Buffer, tradesAt: number, groups: Array<TradeGroup>): Malformed | undefined {
    if (frame[tradesAt] !== Scan.openBracket) return unknownShape
    let nobodys: Malformed | undefined
    let at = Scan.nextItem(frame, tradesAt + 1)
    while (at >= 0) {
      const behind = Scan.readObject(frame, at, tradeKeys, inTrade, member)
      if (behind < 0) return unknownShape
      at = Scan.nextItem(frame, behind)
      const [productAt = -1, idAt = -1, timeAt = -1] = inTrade
      const product = Scan.stringAt(frame, productAt)
      const stream = product === undefined ? undefined : streamOf("market_trades", product)
      if (stream === undefined) {
        nobodys = nobodysOf("market_trades", product)
        if (isAnybodys(nobodys)) return nobodys
        continue
      }
      noteNamed(stream)
      const id = Scan.idAt(frame, idAt)
      if (id === undefined) flaw = noSequenceId
      else addTrade(groups, stream, id, readTime(frame, timeAt))
    }
    return nobodys
  }

  function nobodysOf(channel: string, product: string | undefined): Malformed {
    return product === undefined ? noSymbol : ofNobody(coinbase, `${channel}:${product}`, product)
  }

  function bookPart(
    stream: MarketStream,
    exchangeTimestamp: number | null,
    counter: Integer,
    snapshot: boolean
  ): Part {
    return {
      stream,
      exchangeSequenceId: `${connection}-${counter}`,
      exchangeTimestamp,
      previous: plus(counter, -1),
      last: counter,
      snapshot
    }
  }

  /** Returns the stream that messages of a product belong to. */
  function streamOf(channel: string, product: string): MarketStream | undefined {
    return (
      streams.get(`${channel}:${product}`) ??
      (product.endsWith("-USD") ? streams.get(`${channel}:${product}C`) : undefined)
    )
  }

  /** The products of every channel that the connection is subscribed to now. */
  function subscriptions(frame: Buffer, counter: Integer): Frame {
    return Either.match(decodeSubscriptions(frame.toString()), {
      onLeft: () => ({ ...unknownShape, counter }),
      onRight: ({ events }) => {
        const taken = events.flatMap(({ subscriptions }) =>
          (["orderbook", "trade"] as const).flatMap((dataType) =>
            (subscriptions[inRequests[dataType] ?? ""] ?? []).flatMap(
              (product) => streamOf(inFrames[dataType] ?? "", product) ?? []
            )
          )
        )
        return { _tag: "Acknowledged", request: null, streams: taken, others: "pending", counter }
      }
    })
  }
}

/** In bytes; shorter frames are parsed as a whole. */
const longFrame = 512
const bookTail = Buffer.from("}]}]}")
const productKey = Buffer.from('"product_id"')
const updatesKey = Buffer.from('"updates"')
