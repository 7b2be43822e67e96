import { crc32 } from "node:zlib"
import { Duration, Schema } from "effect"
import type { MarketStream, MarketType } from "../../domain/StreamId.ts"
import { unproven } from "../Continuity.ts"
import {
  answerReader,
  flawOf,
  heartbeat,
  noOthers,
  noSequenceId,
  noSymbol,
  ofNobody,
  ofStream,
  readMembers,
  unknownShape
} from "../decoding/frames.ts"
import * as Scan from "../decoding/scan.ts"
import { timeAt as readTime } from "../decoding/time.ts"
import type { Decoder, Exchange, Frame, Request, SubscriptionChange } from "../Exchange.ts"
import { instrumentIn, symbolLike } from "../instruments.ts"

/**
 * Upbit. Protocol facts: docs.upbit.com/kr/reference, WebSocket (2026). That frames are binary, that nothing is acknowledged,
 * that connections are closed after 60 s without traffic, and that a request replaces the previous one were measured in
 * September 2026.
 *
 * Sequence ids: `sequential_id` of a trade as text, because it does not fit a number. A book has no number: its id is its time
 * and a CRC-32 of the frame without `stream_type`, since what is sent again after a reconnect differs in nothing else.
 */
export const upbit: Exchange = {
  name: "upbit",
  url: "wss://api.upbit.com/websocket/v1",
  dataTypes: ["orderbook", "trade"],
  parseSymbol: symbolLike(
    /^[A-Z0-9]{2,10}-[A-Z0-9]{1,20}$/,
    "a market code with the quote currency first, as in KRW-BTC",
    (base, quote) => `${quote}-${base}`
  ),
  channelOf: (stream) => `${types[stream.dataType]}:${stream.symbol}`,
  continuity: () => unproven,
  limits: {
    messages: [
      { count: 5, per: Duration.seconds(1) },
      { count: 100, per: Duration.minutes(1) }
    ],
    messagesOf: "connection",
    connections: [{ count: 5, per: Duration.seconds(1) }],
    // 855 codes of one type were served on one connection.
    fits: (streams) => streams.length <= 500
  },
  keepalive: {
    ping: { _tag: "Protocol" },
    every: Duration.seconds(25),
    pongWithin: Duration.seconds(10)
  },
  idleTimeout: Duration.seconds(60),
  opening: [],
  acknowledges: false,
  requests,
  makeDecoder,
  instruments: {
    url: "https://api.upbit.com",
    paths: ["/v1/market/all"],
    depth: 1,
    // There is no status: a suspended market stays in the list, with a notice elsewhere.
    read: instrumentIn(Schema.Struct({ market: Schema.optional(Schema.String) }), ({ market }) =>
      market === undefined ? undefined : { symbol: market, state: "traded" }
    )
  }
}

const types: Partial<Record<MarketType, string>> = {
  orderbook: "orderbook",
  trade: "trade",
  orderbook_diff: "orderbook"
}

/** Every request is the whole list, and replaces the previous one. */
function requests({ all, subscribe }: SubscriptionChange, nextId: () => string): ReadonlyArray<Request> {
  const id = nextId()
  const lists = (["orderbook", "trade"] as const).flatMap((type) => {
    const codes = all.filter((stream) => stream.dataType === type).map((stream) => stream.symbol)
    return codes.length === 0 ? [] : [{ type, codes }]
  })
  return lists.length === 0
    ? []
    : [
        {
          id,
          frame: JSON.stringify([{ ticket: `${ticket}-${id}` }, ...lists, { format: "DEFAULT" }]),
          streams: subscribe,
          indivisible: true,
          repeated: all
        }
      ]
}

const ticket = "crypto-collector"

/** Long names of the format DEFAULT, then the short ones of SIMPLE. */
const keys = [
  ...["type", "code", "timestamp", "stream_type", "sequential_id", "trade_timestamp"],
  ...["ty", "cd", "tms", "st", "sid", "ttms"]
]
const shortNames = 6

function makeDecoder(streams: ReadonlyMap<string, MarketStream>): Decoder {
  const member = Scan.makeMember()
  const values = new Int32Array(keys.length)
  const at = (index: number) => {
    const position = values[index] ?? -1
    return position < 0 ? (values[index + shortNames] ?? -1) : position
  }

  return (frame) => {
    const flaw = flawOf(frame) ?? readMembers(frame, keys, values, member)
    if (flaw !== undefined) return flaw
    if (at(0) < 0) return answer(frame, streams)
    const type = Scan.stringAt(frame, at(0))
    const code = Scan.stringAt(frame, at(1))
    if (type === undefined) return unknownShape
    if (code === undefined) return noSymbol
    const name = `${type}:${code}`
    const stream = streams.get(name)
    if (stream === undefined) return ofNobody(upbit, name, code)
    const snapshot = Scan.stringAt(frame, at(3)) === "SNAPSHOT"
    return stream.dataType === "trade" ? trade(frame, stream, snapshot) : book(frame, stream, snapshot)
  }

  function trade(frame: Buffer, stream: MarketStream, snapshot: boolean): Frame {
    const id = Scan.integerTextAt(frame, at(4))
    return id === undefined
      ? ofStream(noSequenceId, stream)
      : message(frame, stream, id, readTime(frame, at(5)), snapshot)
  }

  function book(frame: Buffer, stream: MarketStream, snapshot: boolean): Frame {
    const timeAt = at(2)
    const time = Scan.integerTextAt(frame, timeAt)
    if (time === undefined) return ofStream(noSequenceId, stream)
    const kindAt = at(3)
    const hash =
      kindAt < 0
        ? crc32(frame)
        : crc32(frame.subarray(Scan.skipValue(frame, kindAt)), crc32(frame.subarray(0, kindAt)))
    const id = `${time}-${hash.toString(16).padStart(8, "0")}`
    return message(frame, stream, id, readTime(frame, timeAt), snapshot)
  }
}

const message = (
  frame: Buffer,
  stream: MarketStream,
  exchangeSequenceId: string,
  exchangeTimestamp: number | null,
  snapshot: boolean
): Frame => ({
  _tag: "Data",
  stream,
  exchangeSequenceId,
  exchangeTimestamp,
  start: 0,
  end: frame.length,
  previous: Number.NaN,
  last: Number.NaN,
  snapshot,
  also: noOthers
})

/** An error names nothing, and the exchange closes the connection after it. */
const answer = answerReader(
  Schema.Union(
    Schema.Struct({ error: Schema.Struct({ name: Schema.String, message: Schema.String }) }),
    Schema.Struct({ status: Schema.Literal("UP") })
  ),
  (answer): Frame =>
    "error" in answer ? { _tag: "Failed", reason: `${answer.error.name} ${answer.error.message}` } : heartbeat
)
