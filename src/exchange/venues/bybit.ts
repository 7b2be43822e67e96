import { Duration, Schema } from "effect"
import { integerOf, plus } from "../../domain/Integer.ts"
import type { MarketStream, MarketType } from "../../domain/StreamId.ts"
import { type ContinuityRule, unproven } from "../Continuity.ts"
import {
  answerReader,
  flawOf,
  heartbeat,
  isNumber,
  noOthers,
  noSequenceId,
  ofNobody,
  ofStream,
  pong,
  RequestId,
  readMembers,
  requestOf,
  unknownShape
} from "../decoding/frames.ts"
import * as Scan from "../decoding/scan.ts"
import { timeAt } from "../decoding/time.ts"
import { tradesId } from "../decoding/trades.ts"
import type { Decoder, Exchange, Frame } from "../Exchange.ts"
import { instrumentIn, stateOf, symbolLike } from "../instruments.ts"
import { requestsOf } from "../requests.ts"
import { readStatus } from "./bybit/status.ts"

/**
 * Bybit v5 spot. Protocol facts: bybit-exchange/docs, v5/websocket (July 2026), where the topic `system.status` has an address
 * of its own. Several public collectors measured in 2026 that one bad topic causes its whole request to be refused, and that
 * `u` increases by one.
 *
 * Sequence ids: `u-seq` of a change of the book; `snapshot-<connection>-u-seq` of a whole book, which every connection receives
 * again; `i` of a trade, or both ends and the number of trades if a frame has several.
 */
export const bybit: Exchange = {
  name: "bybit",
  url: "wss://stream.bybit.com/v5/public/spot",
  dataTypes: ["orderbook", "trade"],
  parseSymbol: symbolLike(
    /^[A-Z0-9]{2,40}$/,
    "letters and digits without a separator, as in BTCUSDT",
    (base, quote) => `${base}${quote}`
  ),
  channelOf,
  continuity: (dataType) => (dataType === "trade" ? unproven : bookRule),
  limits: {
    // Not documented; generous for a public connection.
    messages: [{ count: 20, per: Duration.seconds(1) }],
    messagesOf: "connection",
    connections: [{ count: 500, per: Duration.minutes(5) }],
    fits: (streams) =>
      streams.length <= streamsPerConnection &&
      streams.reduce((sum, stream) => sum + channelOf(stream).length + quotes, 0) <= maxTopicCharacters
  },
  keepalive: {
    ping: { _tag: "Text", text: '{"op":"ping"}' },
    every: Duration.seconds(20),
    pongWithin: Duration.seconds(10)
  },
  idleTimeout: Duration.seconds(60),
  opening: [],
  statusFeed: {
    urlOf: (url) => {
      const status = url.replace(/\/v5\/public\/spot\b.*$/, "/v5/public/misc/status")
      return status === url ? undefined : status
    },
    after: Duration.minutes(1),
    opening: ['{"op":"subscribe","args":["system.status"]}'],
    ping: '{"op":"ping"}',
    read: readStatus,
    current: "/v5/system/status"
  },
  acknowledges: true,
  requests: (change, nextId) =>
    requestsOf(change, nextId, topicsPerRequest, (op, streams, id) =>
      JSON.stringify({ req_id: id, op, args: streams.map(channelOf) })
    ),
  makeDecoder,
  instruments: {
    url: "https://api.bybit.com",
    paths: ["/v5/market/instruments-info?category=spot&limit=1000"],
    depth: 3,
    read: instrumentIn(
      Schema.Struct({ symbol: Schema.optional(Schema.String), status: Schema.optional(Schema.String) }),
      ({ status, symbol }) =>
        symbol === undefined ? undefined : { symbol, state: stateOf(status, ["prelaunch", "delivering"]) }
    )
  }
}

/** Larger requests are refused. */
const topicsPerRequest = 10
/** Characters of all topics of a connection, a little below the limit of 21,000. */
const maxTopicCharacters = 20_000
/** Two quotation marks and a comma per topic. */
const quotes = 3
const streamsPerConnection = 400

const bookRule: ContinuityRule = { kind: "counter", scope: "stream", spansConnections: false }

function channelOf(stream: MarketStream): string {
  return `${topics[stream.dataType]}.${stream.symbol}`
}

const topics: Partial<Record<MarketType, string>> = {
  orderbook: "orderbook.50",
  trade: "publicTrade",
  orderbook_diff: "orderbook.50"
}

const frameKeys = ["topic", "ts", "type", "data", "cts"]
const bookKeys = ["u", "seq"]
const tradeKeys = ["i", "T"]

function makeDecoder(streams: ReadonlyMap<string, MarketStream>, connection: string): Decoder {
  const member = Scan.makeMember()
  const inFrame = new Int32Array(frameKeys.length)
  const inBook = new Int32Array(bookKeys.length)
  const inTrade = new Int32Array(tradeKeys.length)

  return (frame) => {
    const flaw = flawOf(frame) ?? readMembers(frame, frameKeys, inFrame, member)
    if (flaw !== undefined) return flaw
    const [topicAt = -1, , , dataAt = -1] = inFrame
    if (topicAt < 0) return answer(frame, streams)
    const topic = Scan.stringAt(frame, topicAt)
    if (topic === undefined) return unknownShape
    const stream = streams.get(topic)
    if (stream === undefined) return ofNobody(bybit, topic, topic.slice(topic.lastIndexOf(".") + 1))
    if (dataAt < 0) return ofStream(unknownShape, stream)
    return stream.dataType === "trade" ? trades(frame, stream, dataAt) : book(frame, stream, dataAt)
  }

  /** `{topic, ts, type, data: {s, b, a, u, seq}, cts}` */
  function book(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    const [, sentAt = -1, typeAt = -1, , madeAt = -1] = inFrame
    if (Scan.readObject(frame, dataAt, bookKeys, inBook, member) < 0) return ofStream(unknownShape, stream)
    const [idAt = -1, seqAt = -1] = inBook
    const id = Scan.integerTextAt(frame, idAt)
    const seq = Scan.integerTextAt(frame, seqAt)
    if (id === undefined || !isNumber(id) || seq === undefined) return ofStream(noSequenceId, stream)
    const number = integerOf(id)
    // `u` restarts at 1 when the exchange's side was restarted.
    const snapshot = id === "1" || Scan.stringAt(frame, typeAt) === "snapshot"
    return {
      _tag: "Data",
      stream,
      exchangeSequenceId: snapshot ? `snapshot-${connection}-${id}-${seq}` : `${id}-${seq}`,
      exchangeTimestamp: timeAt(frame, madeAt) ?? timeAt(frame, sentAt),
      start: 0,
      end: frame.length,
      previous: plus(number, -1),
      last: number,
      snapshot,
      also: noOthers
    }
  }

  /** `{topic, ts, type, data: [{i, T, p, v, S, s, seq, BT, RPI}, ...]}`, oldest first; `type` carries no meaning. */
  function trades(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    let first: string | undefined
    let last: string | undefined
    let timestamp: number | null = null
    let count = 0
    let at = frame[dataAt] === Scan.openBracket ? Scan.nextItem(frame, dataAt + 1) : -1
    while (at >= 0) {
      const behind = Scan.readObject(frame, at, tradeKeys, inTrade, member)
      const [idAt = -1, tradedAt = -1] = inTrade
      if (behind < 0) return ofStream(unknownShape, stream)
      last = Scan.idAt(frame, idAt)
      if (last === undefined) return ofStream(noSequenceId, stream)
      first ??= last
      timestamp = timeAt(frame, tradedAt)
      count++
      at = Scan.nextItem(frame, behind)
    }
    if (first === undefined || last === undefined) return ofStream(unknownShape, stream)
    return {
      _tag: "Data",
      stream,
      exchangeSequenceId: tradesId(first, last, count),
      exchangeTimestamp: timestamp,
      start: 0,
      end: frame.length,
      previous: Number.NaN,
      last: Number.NaN,
      snapshot: false,
      also: noOthers
    }
  }
}

/** The pong looks like an acknowledgement: only `ret_msg` tells them apart. A refusal names the first bad topic in its text. */
const answer = answerReader(
  Schema.Struct({
    success: Schema.optional(Schema.Boolean),
    ret_msg: Schema.optional(Schema.String),
    req_id: RequestId,
    op: Schema.optional(Schema.String)
  }),
  ({ op, req_id, ret_msg, success }, streams): Frame => {
    if (ret_msg === "pong" || op === "pong") return pong
    const request = requestOf(req_id)
    if (success === true) {
      return request === null
        ? op === undefined
          ? unknownShape
          : heartbeat
        : { _tag: "Acknowledged", request, streams: null, others: "pending" }
    }
    if (success === undefined) return unknownShape
    const reason = ret_msg ?? "refused"
    const named = (reason.match(/[A-Za-z0-9.]+/g) ?? []).flatMap((word) => {
      const stream = streams.get(word)
      return stream === undefined ? [] : [stream]
    })
    return reason.includes("already subscribed") && named.length > 0
      ? { _tag: "Acknowledged", request, streams: named, others: "dropped" }
      : { _tag: "Refused", request, streams: named, reason, others: "dropped" }
  }
)
