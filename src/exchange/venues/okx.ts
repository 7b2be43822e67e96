import { Duration, Schema } from "effect"
import { distance, greatest, type Integer, least, plus } from "../../domain/Integer.ts"
import type { MarketStream, MarketType } from "../../domain/StreamId.ts"
import type { ContinuityRule } from "../Continuity.ts"
import {
  answerReader,
  flawOf,
  heartbeat,
  noOthers,
  noSequenceId,
  noSymbol,
  ofNobody,
  ofStream,
  pong,
  RequestId,
  readMembers,
  requestOf,
  unknownShape
} from "../decoding/frames.ts"
import { maintenancesIn } from "../decoding/maintenance.ts"
import * as Scan from "../decoding/scan.ts"
import { timeAt as readTime } from "../decoding/time.ts"
import { tradesId } from "../decoding/trades.ts"
import type { Decoder, Exchange, Frame } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"
import { requestsOf } from "../requests.ts"

/** The channel for maintenance, and the id of the request for it. */
const statusChannel = "status"
const statusRequest = "status"

/**
 * OKX v5. Protocol facts: www.okx.com/docs-v5/en, sections on the public WebSocket (July and August 2026). Port 8443, which the
 * endpoint used to have, was switched off on 2026-10-31 (changelog of 2026-10-09).
 *
 * Sequence ids: `prevSeqId-seqId` of a change of the book, `snapshot-<connection>-seqId` of a whole book; `tradeId` of a trade,
 * or both ends and the number of trades if a frame has several.
 */
export const okx: Exchange = {
  name: "okx",
  url: "wss://ws.okx.com/ws/v5/public",
  dataTypes: ["orderbook", "trade"],
  parseSymbol: symbolLike(
    /^(?=.{1,40}$)[A-Z0-9]+(-[A-Z0-9_]+){1,4}$/,
    "an instrument id with hyphens, as in BTC-USDT",
    (base, quote) => `${base}-${quote}`
  ),
  channelOf: (stream) => `${channels[stream.dataType]}:${stream.symbol}`,
  continuity: (dataType) => (dataType === "trade" ? tradeRule : bookRule),
  limits: {
    // Subscribing and unsubscribing count, 480 an hour; other messages have no limit of their own.
    messages: [
      { count: 10, per: Duration.seconds(1) },
      { count: 480, per: Duration.hours(1), requestsOnly: true }
    ],
    messagesOf: "connection",
    connections: [{ count: 3, per: Duration.seconds(1) }],
    fits: (streams) =>
      streams.length <= streamsPerConnection &&
      streams.filter((stream) => stream.dataType === "orderbook").length <= booksPerConnection
  },
  keepalive: {
    ping: { _tag: "Text", text: "ping" },
    every: Duration.seconds(20),
    pongWithin: Duration.seconds(9)
  },
  idleTimeout: Duration.seconds(30),
  notice: Duration.seconds(60),
  opening: [],
  // Maintenance announcements. An answer that refuses this request concerns no stream.
  later: [JSON.stringify({ id: statusRequest, op: "subscribe", args: [{ channel: statusChannel }] })],
  acknowledges: true,
  requests: (change, nextId) =>
    requestsOf(change, nextId, streamsPerRequest, (op, streams, id) => {
      const args = streams.map(({ dataType, symbol }) => ({ channel: channels[dataType], instId: symbol }))
      return JSON.stringify({ id, op, args })
    }),
  makeDecoder,
  instruments: {
    url: "https://openapi.okx.com",
    paths: ["/api/v5/public/instruments?instType=SPOT"],
    depth: 2,
    read: instrumentIn(
      Schema.Struct({ instId: Schema.optional(Schema.String), state: Schema.optional(Schema.String) }),
      // Test instruments are not traded by anyone.
      ({ instId, state }) =>
        instId === undefined
          ? undefined
          : { symbol: instId, state: state === "test" ? "ended" : stateOf(state) }
    ),
    // Perpetuals, futures and options have lists of their own.
    lists: (symbol) => symbol.split("-").length === 2
  }
}

/** Keeps a request well below the limit of 64 KB. */
const streamsPerRequest = 100
const streamsPerConnection = 100
/** The recommendation is fewer than 30 deep books. */
const booksPerConnection = 25

/** Ids of books jump by any amount; a trade's id is the last of the `count` trades that it stands for. */
const bookRule: ContinuityRule = { kind: "chain", scope: "stream", spansConnections: true }
const tradeRule: ContinuityRule = { kind: "counter", scope: "stream", spansConnections: true }

const channels: Partial<Record<MarketType, string>> = {
  orderbook: "books",
  trade: "trades",
  orderbook_diff: "books"
}

const frameKeys = ["arg", "action", "data", "event"]
const argKeys = ["channel", "instId"]
const bookKeys = ["ts", "seqId", "prevSeqId"]
const tradeKeys = ["tradeId", "count", "ts"]

function makeDecoder(streams: ReadonlyMap<string, MarketStream>, connection: string): Decoder {
  const member = Scan.makeMember()
  const inFrame = new Int32Array(frameKeys.length)
  const inArg = new Int32Array(argKeys.length)
  const inBook = new Int32Array(bookKeys.length)
  const inTrade = new Int32Array(tradeKeys.length)

  return (frame) => {
    if (frame.length === pongText.length && frame.equals(pongText)) return pong
    const flaw = flawOf(frame) ?? readMembers(frame, frameKeys, inFrame, member)
    if (flaw !== undefined) return flaw
    const [argAt = -1, actionAt = -1, dataAt = -1, eventAt = -1] = inFrame
    if (eventAt >= 0 && dataAt < 0) return answer(frame, streams)
    if (Scan.readObject(frame, argAt, argKeys, inArg, member) < 0) return unknownShape
    const [channelAt = -1, symbolAt = -1] = inArg
    const channel = Scan.stringAt(frame, channelAt)
    const symbol = Scan.stringAt(frame, symbolAt)
    if (channel === undefined) return unknownShape
    if (channel === statusChannel && symbol === undefined) return status(frame)
    if (symbol === undefined) return noSymbol
    const name = `${channel}:${symbol}`
    const stream = streams.get(name)
    if (stream === undefined) return ofNobody(okx, name, symbol)
    if (frame[dataAt] !== Scan.openBracket) return ofStream(unknownShape, stream)
    return stream.dataType === "trade"
      ? trades(frame, stream, dataAt)
      : book(frame, stream, dataAt, Scan.stringAt(frame, actionAt) === "snapshot")
  }

  /** `{arg, action, data: [{asks, bids, ts, checksum, prevSeqId, seqId}]}` */
  function book(frame: Buffer, stream: MarketStream, dataAt: number, isSnapshot: boolean): Frame {
    let first: Integer = Number.NaN
    let last: Integer = Number.NaN
    let timestamp: number | null = null
    let at = Scan.nextItem(frame, dataAt + 1)
    if (at < 0) return ofStream(unknownShape, stream)
    while (at >= 0) {
      const behind = Scan.readObject(frame, at, bookKeys, inBook, member)
      const [timeAt = -1, lastAt = -1, previousAt = -1] = inBook
      if (behind < 0) return ofStream(unknownShape, stream)
      if (Number.isNaN(first)) first = Scan.exactSignedIntegerAt(frame, previousAt)
      last = Scan.exactIntegerAt(frame, lastAt)
      if (Number.isNaN(first) || Number.isNaN(last)) return ofStream(noSequenceId, stream)
      timestamp = readTime(frame, timeAt)
      at = Scan.nextItem(frame, behind)
    }
    const snapshot = isSnapshot || first === -1
    return {
      _tag: "Data",
      stream,
      exchangeSequenceId: snapshot ? `snapshot-${connection}-${last}` : `${first}-${last}`,
      exchangeTimestamp: timestamp,
      start: 0,
      end: frame.length,
      previous: first,
      last,
      snapshot,
      also: noOthers
    }
  }

  /** `{arg, data: [{instId, tradeId, px, sz, side, ts, count, source, seqId}, ...]}` */
  function trades(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    let first: string | undefined
    let last: string | undefined
    let timestamp: number | null = null
    let items = 0
    let covered = 0
    let before: Integer = Number.POSITIVE_INFINITY
    let highest: Integer = Number.NEGATIVE_INFINITY
    let at = Scan.nextItem(frame, dataAt + 1)
    while (at >= 0) {
      const behind = Scan.readObject(frame, at, tradeKeys, inTrade, member)
      const [idAt = -1, countAt = -1, timeAt = -1] = inTrade
      if (behind < 0) return ofStream(unknownShape, stream)
      const id = Scan.exactIntegerAt(frame, idAt)
      if (Number.isNaN(id)) return ofStream(noSequenceId, stream)
      const count = Scan.integerAt(frame, countAt)
      const merged = Number.isNaN(count) ? 1 : count
      before = least(before, plus(id, -merged))
      covered += merged
      highest = greatest(highest, id)
      last = Scan.integerTextAt(frame, idAt)
      first ??= last
      timestamp = readTime(frame, timeAt)
      items++
      at = Scan.nextItem(frame, behind)
    }
    if (first === undefined || last === undefined) return ofStream(unknownShape, stream)
    return {
      _tag: "Data",
      stream,
      exchangeSequenceId: tradesId(first, last, items),
      exchangeTimestamp: timestamp,
      start: 0,
      end: frame.length,
      previous: before,
      last: highest,
      missing: Math.max(0, distance(before, highest) - covered),
      snapshot: false,
      also: noOthers
    }
  }
}

const pongText = Buffer.from("pong")

/** `{arg: {channel: "status"}, data: [...]}`: the latest maintenance on subscription, and every one that changes. */
const status = (frame: Buffer): Frame => {
  const said = maintenancesIn(frame)
  return said.length === 0 ? heartbeat : { _tag: "Status", said }
}

/** One acknowledgement per arg. An error names its arg only in the text, and the others of the request continue. */
const answer = answerReader(
  Schema.Struct({
    event: Schema.String,
    id: RequestId,
    arg: Schema.optional(
      Schema.Struct({
        channel: Schema.optional(Schema.String),
        instId: Schema.optional(Schema.String)
      })
    ),
    code: Schema.optional(Schema.Union(Schema.String, Schema.Number)),
    msg: Schema.optional(Schema.String)
  }),
  ({ arg, code, event, id, msg }, streams): Frame => {
    const request = requestOf(id)
    const isAboutStatus = event === "error" && /\bchannel:status\b/.test(msg ?? "")
    if (arg?.channel === statusChannel || request === statusRequest || isAboutStatus) return heartbeat
    const found = (channel: string | undefined, symbol: string | undefined) => {
      const stream = streams.get(`${channel ?? ""}:${symbol ?? ""}`)
      return stream === undefined ? [] : [stream]
    }
    switch (event) {
      case "subscribe":
        return {
          _tag: "Acknowledged",
          request,
          streams: found(arg?.channel, arg?.instId),
          others: "pending"
        }
      case "error": {
        const named = /channel:([\w-]+),\s*instId:([\w-]+)/.exec(msg ?? "")
        const refused = named === null ? found(arg?.channel, arg?.instId) : found(named[1], named[2])
        return {
          _tag: "Refused",
          request,
          streams: refused,
          reason: `${code ?? ""} ${msg ?? ""}`.trim(),
          others: refused.length === 0 ? "dropped" : "pending"
        }
      }
      case "notice":
        return { _tag: "Closing", status: event, reason: `${code ?? ""} ${msg ?? ""}`.trim() }
      case "unsubscribe":
      case "login":
      case "channel-conn-count":
      case "channel-conn-count-error":
        return heartbeat
      default: {
        const [stream] = found(arg?.channel, arg?.instId)
        return stream === undefined ? unknownShape : ofStream(unknownShape, stream)
      }
    }
  }
)
