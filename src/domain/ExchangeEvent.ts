import { Schema } from "effect"
import { Integer } from "./Integer.ts"
import { Micros } from "./micros.ts"
import { SkipReason } from "./SkipReason.ts"
import { StreamId } from "./StreamId.ts"

/** When it happened. */
const at = { at: Micros }

/** For how many such events in a row it stands, and for what lies between them; for itself by default. */
const count = { count: Schema.optionalWith(Schema.Int, { exact: true }) }

/** The receive times of the messages before and after it; null where there is none. */
const between = { after: Schema.NullOr(Micros), before: Schema.NullOr(Micros) }

/** What ended a connection. */
export const EndKind = Schema.Literal(
  /** It could not be made. */
  "connect",
  /** The exchange, or the network between, closed it. */
  "closed",
  /** Nothing at all was heard. */
  "idle",
  /** A ping was not answered. */
  "pong",
  /** Most of what came could not be read. */
  "unreadable",
  /** The exchange told of an error, and not of which request or stream. */
  "error",
  /** No subscription was answered. */
  "unanswered",
  /** Its streams were silent. */
  "silent",
  /** Another connection has taken over: its lifetime was up, or the exchange announced that it will close it. */
  "replaced",
  /** It has no streams any more. */
  "empty"
)
export type EndKind = typeof EndKind.Type

/**
 * The first message of a stream came on a connection: only then is it known that its messages can be read. `since`: the exchange
 * had confirmed it already then, and it is connected since. `connection` names the connection within this process.
 */
export const StreamConnected = Schema.TaggedStruct("StreamConnected", {
  ...at,
  stream: StreamId,
  connection: Schema.String,
  since: Schema.optionalWith(Micros, { exact: true })
})

/**
 * The connection that carried the stream ended. `code` is the WebSocket close code, where there was one; `heard` is when
 * anything was last heard on the connection: nothing is known of the time after it.
 */
export const StreamDisconnected = Schema.TaggedStruct("StreamDisconnected", {
  ...at,
  stream: StreamId,
  connection: Schema.String,
  heard: Schema.optionalWith(Micros, { exact: true }),
  kind: EndKind,
  reason: Schema.String,
  code: Schema.NullOr(Schema.Int)
})

/** The exchange refused a stream; `reason` in its words. It is asked for again at `retryAt`. */
export const SubscriptionRefused = Schema.TaggedStruct("SubscriptionRefused", {
  ...at,
  stream: StreamId,
  reason: Schema.String,
  retryAt: Micros
})

/** A stream that was accepted says nothing, or nothing any more, and what was done about it. */
export const StreamSilent = Schema.TaggedStruct("StreamSilent", {
  ...at,
  stream: StreamId,
  /** Since the last message, or since it was asked for. */
  seconds: Schema.Number,
  action: Schema.Literal("resubscribed", "moved"),
  /** Whether it lasts until a `StreamHeard`. */
  isOpen: Schema.optionalWith(Schema.Boolean, { exact: true })
})

/** A message came of a stream of which it had been told that it is silent. `after` is the receive time of the one before. */
export const StreamHeard = Schema.TaggedStruct("StreamHeard", {
  ...at,
  stream: StreamId,
  after: Schema.NullOr(Micros)
})

/**
 * A frame of the stream came that cannot be used, or one that may be of any stream of its connection: what it said is not
 * known, until a `StreamReadable`. `after` is the receive time of what was read before it, null where there was nothing.
 * Frames that follow are not told by themselves.
 */
export const StreamUnreadable = Schema.TaggedStruct("StreamUnreadable", {
  ...at,
  stream: StreamId,
  reason: SkipReason,
  after: Schema.NullOr(Micros)
})

/**
 * The stream can be read again since `at`: that is the receive time of what was read after the last of `frames` that could not be
 * used, of which `kept` are recorded as they came. Of a frame that may be of several streams each one tells. `after` is that of
 * the `StreamUnreadable`, which may be in a part of the journal that is missing.
 */
export const StreamReadable = Schema.TaggedStruct("StreamReadable", {
  ...at,
  stream: StreamId,
  frames: Schema.Int,
  kept: Schema.Int,
  after: Schema.NullOr(Micros)
})

/** Messages of a stream are missing; see `ContinuityRule`. */
export const GapDetected = Schema.TaggedStruct("GapDetected", {
  ...at,
  stream: StreamId,
  rule: Schema.Literal("counter", "range", "chain"),
  /** `connection`: so many frames of the connection, and nobody knows of which of its streams. */
  scope: Schema.Literal("stream", "connection"),
  expected: Integer,
  received: Integer,
  /** How many numbers are missing; null where that cannot be known. */
  size: Schema.NullOr(Schema.Number),
  ...count,
  ...between
})

/**
 * The stream began anew, as its exchange defines it: nothing says whether messages are missing in between. `untold`: so
 * much happened while could not write to the journal that it was not kept. `id reused`: the exchange gave a message an id
 * that another message of the stream had.
 */
export const Discontinuity = Schema.TaggedStruct("Discontinuity", {
  ...at,
  stream: StreamId,
  reason: Schema.Literal("reconnect", "snapshot", "set back", "untold", "id reused"),
  ...count,
  ...between
})

/** So many messages out of order since the last such event of the stream: they had been reported as missing. */
export const OutOfOrder = Schema.TaggedStruct("OutOfOrder", { ...at, stream: StreamId, count: Schema.Int })

/** So many duplicate messages since the last such event of the stream. */
export const Repeated = Schema.TaggedStruct("Repeated", { ...at, stream: StreamId, count: Schema.Int })

/** A symbol that a pattern of MARKETS matches is in the exchange's list for the first time. */
export const SymbolListed = Schema.TaggedStruct("SymbolListed", {
  ...at,
  exchange: Schema.String,
  symbol: Schema.String
})

/** A symbol is not in the exchange's list any more. */
export const SymbolDelisted = Schema.TaggedStruct("SymbolDelisted", {
  ...at,
  exchange: Schema.String,
  symbol: Schema.String
})

/**
 * What the exchange says of itself, in its own word, and since `at`: told when it changes, once for all connections. `subject`:
 * what it is about, as a product or a maintenance; the exchange as a whole without. `isPassing`: an announcement of which nothing
 * will tell that it is over. It says nothing of what was recorded.
 */
export const ExchangeStatus = Schema.TaggedStruct("ExchangeStatus", {
  ...at,
  exchange: Schema.String,
  status: Schema.String,
  subject: Schema.optionalWith(Schema.String, { exact: true }),
  text: Schema.optionalWith(Schema.String, { exact: true }),
  isPassing: Schema.optionalWith(Schema.Boolean, { exact: true })
})

/** A connection was made. */
export const ConnectionOpened = Schema.TaggedStruct("ConnectionOpened", {
  ...at,
  exchange: Schema.String,
  connection: Schema.String,
  streams: Schema.Int
})

/** A connection ended, or could not be made. */
export const ConnectionEnded = Schema.TaggedStruct("ConnectionEnded", {
  ...at,
  exchange: Schema.String,
  connection: Schema.String,
  kind: EndKind,
  reason: Schema.String,
  code: Schema.NullOr(Schema.Int)
})

/** What was seen of the exchanges, besides their messages. */
export const ExchangeEvent = Schema.Union(
  StreamConnected,
  StreamDisconnected,
  SubscriptionRefused,
  StreamSilent,
  StreamHeard,
  StreamUnreadable,
  StreamReadable,
  GapDetected,
  Discontinuity,
  OutOfOrder,
  Repeated,
  SymbolListed,
  SymbolDelisted,
  ExchangeStatus,
  ConnectionOpened,
  ConnectionEnded
)
export type ExchangeEvent = typeof ExchangeEvent.Type
