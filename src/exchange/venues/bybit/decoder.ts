import { crc32 } from "node:zlib"
import { Schema } from "effect"
import { integerOf, plus } from "../../../domain/Integer.ts"
import type { MarketStream } from "../../../domain/StreamId.ts"
import type { Place } from "../../Continuity.ts"
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
} from "../../decoding/frames.ts"
import * as Scan from "../../decoding/scan.ts"
import { timeAt } from "../../decoding/time.ts"
import { tradesId } from "../../decoding/trades.ts"
import type { Decoder, Exchange, Frame } from "../../Exchange.ts"

const frameKeys = ["topic", "ts", "type", "data", "cts"]
const bookKeys = ["u", "seq"]
const tradeKeys = ["i", "T"]
const liquidationKeys = ["T"]
const unnumbered: Place = { previous: Number.NaN, last: Number.NaN, snapshot: false }

/** Makes the decoder of one connection. `areTickersWhole`: tickers have all members, instead of those that changed. */
export const makeDecoder = (options: {
  readonly exchange: Exchange
  readonly streams: ReadonlyMap<string, MarketStream>
  readonly connection: string
  readonly areTickersWhole: boolean
}): Decoder => {
  const { areTickersWhole, connection, exchange, streams } = options
  const member = Scan.makeMember()
  const inFrame = new Int32Array(frameKeys.length)
  const inBook = new Int32Array(bookKeys.length)
  const inTrade = new Int32Array(tradeKeys.length)
  const inLiquidation = new Int32Array(liquidationKeys.length)

  return (frame) => {
    const flaw = flawOf(frame) ?? readMembers(frame, frameKeys, inFrame, member)
    if (flaw !== undefined) return flaw
    const [topicAt = -1, , , dataAt = -1] = inFrame
    if (topicAt < 0) return answer(frame, streams)
    const topic = Scan.stringAt(frame, topicAt)
    if (topic === undefined) return unknownShape
    const stream = streams.get(topic)
    if (stream === undefined) return ofNobody(exchange, topic, topic.slice(topic.lastIndexOf(".") + 1))
    if (dataAt < 0) return ofStream(unknownShape, stream)
    switch (stream.dataType) {
      case "trade":
        return trades(frame, stream, dataAt)
      case "ticker":
        return ticker(frame, stream, dataAt)
      case "liquidation":
        return liquidations(frame, stream, dataAt)
      default:
        return book(frame, stream, dataAt)
    }
  }

  /** `{topic, ts, type, data: {s, b, a, u, seq}, cts}` */
  function book(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    const [, sentAt = -1, typeAt = -1, , madeAt = -1] = inFrame
    if (Scan.readObject(frame, dataAt, bookKeys, inBook, member) < 0) return ofStream(unknownShape, stream)
    const [idAt = -1, seqAt = -1] = inBook
    const id = Scan.integerTextAt(frame, idAt)
    const seq = Scan.integerTextAt(frame, seqAt)
    if (id === undefined || !isNumber(id) || seq === undefined) return ofStream(noSequenceId, stream)
    const time = timeAt(frame, madeAt) ?? timeAt(frame, sentAt)
    // The best bid and offer are all there is in each frame.
    if (stream.dataType === "bbo") return dataOf(frame, stream, `${id}-${seq}`, time, unnumbered)
    const last = integerOf(id)
    // `u` restarts at 1 when the exchange's side was restarted.
    const snapshot = id === "1" || Scan.stringAt(frame, typeAt) === "snapshot"
    const name = snapshot ? `snapshot-${connection}-${id}-${seq}` : `${id}-${seq}`
    return dataOf(frame, stream, name, time, { previous: plus(last, -1), last, snapshot })
  }

  /** `{topic, ts, type, cs, data: {symbol, ...}}`: of futures a whole ticker at the start, then the members that changed. */
  function ticker(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    const [, sentAt = -1, typeAt = -1] = inFrame
    if (frame[dataAt] !== Scan.openBrace) return ofStream(unknownShape, stream)
    const sent = Scan.integerTextAt(frame, sentAt)
    if (sent === undefined) return ofStream(noSequenceId, stream)
    const snapshot = !areTickersWhole && Scan.stringAt(frame, typeAt) === "snapshot"
    const id = `${sent}-${hashOf(frame)}`
    return dataOf(frame, stream, snapshot ? `snapshot-${connection}-${id}` : id, timeAt(frame, sentAt), {
      ...unnumbered,
      snapshot
    })
  }

  /** `{topic, ts, type, data: [{T, s, S, v, p}, ...]}`; `type` carries no meaning. */
  function liquidations(frame: Buffer, stream: MarketStream, dataAt: number): Frame {
    let first: string | undefined
    let time: number | null = null
    let end = dataAt
    let at = frame[dataAt] === Scan.openBracket ? Scan.nextItem(frame, dataAt + 1) : -1
    while (at >= 0) {
      end = Scan.readObject(frame, at, liquidationKeys, inLiquidation, member)
      if (end < 0) return ofStream(unknownShape, stream)
      const [madeAt = -1] = inLiquidation
      const text = Scan.integerTextAt(frame, madeAt)
      if (text === undefined) return ofStream(noSequenceId, stream)
      first ??= text
      time = timeAt(frame, madeAt)
      at = Scan.nextItem(frame, end)
    }
    if (first === undefined) return ofStream(unknownShape, stream)
    return dataOf(frame, stream, `${first}-${hashOf(frame.subarray(dataAt, end))}`, time, unnumbered)
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
    return dataOf(frame, stream, tradesId(first, last, count), timestamp, unnumbered)
  }
}

const dataOf = (
  frame: Buffer,
  stream: MarketStream,
  exchangeSequenceId: string,
  exchangeTimestamp: number | null,
  { last, previous, snapshot }: Place
): Frame => ({
  _tag: "Data",
  stream,
  exchangeSequenceId,
  exchangeTimestamp,
  start: 0,
  end: frame.length,
  previous,
  last,
  snapshot,
  also: noOthers
})

const hashOf = (bytes: Buffer): string => crc32(bytes).toString(16).padStart(8, "0")

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
    const named = (reason.match(/[A-Za-z0-9.-]+/g) ?? []).flatMap((word) => {
      const stream = streams.get(word)
      return stream === undefined ? [] : [stream]
    })
    return reason.includes("already subscribed") && named.length > 0
      ? { _tag: "Acknowledged", request, streams: named, others: "dropped" }
      : { _tag: "Refused", request, streams: named, reason, others: "dropped" }
  }
)
