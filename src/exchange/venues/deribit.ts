import { crc32 } from "node:zlib"
import { Duration, Schema } from "effect"
import type { MarketStream, MarketType } from "../../domain/StreamId.ts"
import { type ContinuityRule, unproven } from "../Continuity.ts"
import {
  flawOf,
  heartbeat,
  isNumber,
  noOthers,
  noSequenceId,
  ofNobody,
  ofStream,
  readMembers,
  unknownShape
} from "../decoding/frames.ts"
import * as Scan from "../decoding/scan.ts"
import { timeAt } from "../decoding/time.ts"
import { addTrade, partOf, type TradeGroup } from "../decoding/trades.ts"
import type { Decoder, Exchange, Frame } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"
import { requestsOf } from "../requests.ts"
import { answer, untracked } from "./deribit/answers.ts"
import { readPlatformState } from "./deribit/status.ts"

/**
 * Deribit, JSON-RPC over WebSocket, API v2: perpetuals, futures, options, combos and spot on one connection. Protocol facts:
 * docs.deribit.com, and public probes of September 2026, which found that channels that do not exist are left out of the answer
 * without an error, that a second subscription on the same connection sends no book, and that a book loses changes now and then.
 *
 * Sequence ids: `prev_change_id-change_id` of a change of the book; `snapshot-<connection>-change_id` of a whole book, which every
 * subscription starts with; `trade_seq` of a trade, or both ends and the number of trades if a frame has several. Everything else
 * has no number: its id is its time and a CRC-32 of the frame. Numbers of changes jump, because instruments share a counter.
 */
export const deribit: Exchange = {
  name: "deribit",
  url: "wss://streams.deribit.com/ws/api/v2",
  dataTypes: ["orderbook", "trade", "ticker", "bbo", "funding"],
  typesOf: (symbol) =>
    deribit.dataTypes.filter((dataType) => dataType !== "funding" || symbol.endsWith("-PERPETUAL")),
  carriedBy: { mark_price: "ticker", open_interest: "ticker", liquidation: "trade" },
  parseSymbol: symbolLike(
    /^[A-Z0-9]{1,15}(?:_[A-Z0-9]{1,15})?-(?:PERPETUAL|\d{1,2}[A-Z]{3}\d{2}(?:-\d+(?:d\d+)?-[CP])?|[A-Z0-9]{1,8}-[A-Z0-9d_-]{3,80})$|^[A-Z0-9]{1,15}_[A-Z0-9]{1,15}$/,
    "an instrument, as in BTC-PERPETUAL, BTC-25DEC26, BTC-25DEC26-100000-C or BTC_USDC",
    (base, quote) => `${base}_${quote}`,
    // The decimal point of a strike is a lower-case d, as in XRP_USDC-25DEC26-0d625-C.
    (text) => text.toUpperCase().replace(/(\d)D(?=\d)/g, "$1d")
  ),
  channelOf,
  continuity: (dataType) =>
    dataType === "orderbook" ? bookRule : dataType === "trade" ? tradeRule : unproven,
  limits: {
    // A request costs 3,000 of at most 30,000 credits, of which 10,000 come back every second.
    messages: [{ count: 3, per: Duration.seconds(1) }],
    messagesOf: "address",
    // 32 connections at once; how many attempts are allowed is not documented.
    connections: [{ count: 5, per: Duration.seconds(1) }],
    fits: (streams) => streams.length <= streamsPerConnection
  },
  keepalive: { ping: { _tag: "None" }, every: Duration.seconds(10), pongWithin: Duration.seconds(10) },
  // A heartbeat or a test request arrives every ten seconds.
  idleTimeout: Duration.seconds(30),
  opening: [`{"jsonrpc":"2.0","id":"${untracked}","method":"public/set_heartbeat","params":{"interval":10}}`],
  later: [
    `{"jsonrpc":"2.0","id":"${untracked}","method":"public/subscribe","params":{"channels":["platform_state"]}}`
  ],
  acknowledges: true,
  requests: (change, nextId) =>
    requestsOf(change, nextId, channelsPerRequest, (operation, streams, id) =>
      JSON.stringify({
        jsonrpc: "2.0",
        id: operation === "subscribe" ? Number(id) : untracked,
        method: `public/${operation}`,
        params: { channels: streams.map(channelOf) }
      })
    ),
  makeDecoder,
  instruments: {
    url: "https://www.deribit.com",
    paths: ["/api/v2/public/get_instruments?currency=any&expired=false"],
    refusal: /^\{[^[]*"error":\s*\{/,
    depth: 2,
    read: instrumentIn(
      Schema.Struct({
        instrument_name: Schema.optional(Schema.String),
        is_active: Schema.optional(Schema.Boolean),
        state: Schema.optional(Schema.String)
      }),
      ({ instrument_name, is_active = true, state }) => {
        if (instrument_name === undefined) return undefined
        const read = stateOf(state)
        return { symbol: instrument_name, state: read === "traded" && !is_active ? "resting" : read }
      }
    )
  }
}

/** Of at most 500 that are documented. */
const channelsPerRequest = 100
const streamsPerConnection = 500

const bookRule: ContinuityRule = { kind: "chain", scope: "stream", spansConnections: false }
const tradeRule: ContinuityRule = { kind: "counter", scope: "stream", spansConnections: true }

const channels: Partial<Record<MarketType, readonly [name: string, interval: string]>> = {
  orderbook: ["book", ".100ms"],
  trade: ["trades", ".100ms"],
  ticker: ["ticker", ".100ms"],
  bbo: ["quote", ""],
  funding: ["perpetual", ".100ms"]
}

function channelOf({ dataType, symbol }: MarketStream): string {
  const [name, interval] = channels[dataType] ?? [dataType, ""]
  return `${name}.${symbol}${interval}`
}

const frameKeys = ["method", "params"]
const paramsKeys = ["channel", "data", "type"]
const bookKeys = ["type", "timestamp", "change_id", "prev_change_id"]
const tradeKeys = ["trade_seq", "timestamp"]
const stateKeys = ["timestamp"]

const testAnswer: Frame = {
  _tag: "Ping",
  answer: `{"jsonrpc":"2.0","id":"${untracked}","method":"public/test"}`
}

function makeDecoder(streams: ReadonlyMap<string, MarketStream>, connection: string): Decoder {
  const member = Scan.makeMember()
  const inFrame = new Int32Array(frameKeys.length)
  const inParams = new Int32Array(paramsKeys.length)
  const inBook = new Int32Array(bookKeys.length)
  const inTrade = new Int32Array(tradeKeys.length)
  const inState = new Int32Array(stateKeys.length)

  return (frame) => {
    const flaw = flawOf(frame) ?? readMembers(frame, frameKeys, inFrame, member)
    if (flaw !== undefined) return flaw
    const [methodAt = -1, paramsAt = -1] = inFrame
    if (methodAt < 0) return answer(frame, streams)
    const method = Scan.stringAt(frame, methodAt)
    if (Scan.readObject(frame, paramsAt, paramsKeys, inParams, member) < 0) return unknownShape
    const [channelAt = -1, dataAt = -1, typeAt = -1] = inParams
    if (method === "heartbeat") {
      if (channelAt >= 0 || dataAt >= 0) return unknownShape
      return Scan.stringAt(frame, typeAt) === "test_request" ? testAnswer : heartbeat
    }
    const channel = Scan.stringAt(frame, channelAt)
    if (method !== "subscription" || channel === undefined) return unknownShape
    if (channel === "platform_state") return readPlatformState(frame)
    const stream = streams.get(channel)
    if (stream === undefined) return ofNobody(deribit, channel, channel.split(".")[1] ?? "")
    if (stream.dataType === "orderbook") return book(frame, stream, dataAt)
    return stream.dataType === "trade" ? trades(frame, stream, dataAt) : state(frame, stream, dataAt)
  }

  /** `{type, timestamp, instrument_name, change_id, prev_change_id, bids, asks}`; a whole book has no `prev_change_id`. */
  function book(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    if (Scan.readObject(frame, dataAt, bookKeys, inBook, member) < 0) return ofStream(unknownShape, stream)
    const [typeAt = -1, madeAt = -1, idAt = -1, previousAt = -1] = inBook
    const id = Scan.integerTextAt(frame, idAt)
    const previous = Scan.integerTextAt(frame, previousAt)
    const snapshot = Scan.stringAt(frame, typeAt) === "snapshot"
    if (id === undefined || !isNumber(id)) return ofStream(noSequenceId, stream)
    if (!snapshot && (previous === undefined || !isNumber(previous))) return ofStream(noSequenceId, stream)
    return {
      _tag: "Data",
      stream,
      exchangeSequenceId: snapshot ? `snapshot-${connection}-${id}` : `${previous}-${id}`,
      exchangeTimestamp: timeAt(frame, madeAt),
      start: 0,
      end: frame.length,
      previous: Scan.exactIntegerAt(frame, previousAt),
      last: Scan.exactIntegerAt(frame, idAt),
      snapshot,
      also: noOthers
    }
  }

  /** `[{trade_seq, trade_id, timestamp, price, amount, direction, liquidation, ...}, ...]`, oldest first. */
  function trades(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    const groups: Array<TradeGroup> = []
    let at = frame[dataAt] === Scan.openBracket ? Scan.nextItem(frame, dataAt + 1) : -1
    while (at >= 0) {
      const behind = Scan.readObject(frame, at, tradeKeys, inTrade, member)
      const [idAt = -1, madeAt = -1] = inTrade
      if (behind < 0) return ofStream(unknownShape, stream)
      const id = Scan.integerTextAt(frame, idAt)
      if (id === undefined || !isNumber(id)) return ofStream(noSequenceId, stream)
      addTrade(groups, stream, id, timeAt(frame, madeAt))
      at = Scan.nextItem(frame, behind)
    }
    const [group] = groups
    return group === undefined
      ? ofStream(unknownShape, stream)
      : { ...partOf(group, false), _tag: "Data", start: 0, end: frame.length, also: noOthers }
  }

  /** An object with a `timestamp`: a ticker, a quote, or the funding of a perpetual. */
  function state(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    if (Scan.readObject(frame, dataAt, stateKeys, inState, member) < 0) return ofStream(unknownShape, stream)
    const [madeAt = -1] = inState
    const time = timeAt(frame, madeAt)
    if (time === null) return ofStream(noSequenceId, stream)
    return {
      _tag: "Data",
      stream,
      exchangeSequenceId: `${time}-${crc32(frame).toString(16).padStart(8, "0")}`,
      exchangeTimestamp: time,
      start: 0,
      end: frame.length,
      previous: Number.NaN,
      last: Number.NaN,
      snapshot: false,
      also: noOthers
    }
  }
}
