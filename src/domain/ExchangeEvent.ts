import { Schema } from "effect"
import { Integer } from "./Integer.ts"
import { Micros } from "./micros.ts"
import { SkipReason } from "./SkipReason.ts"
import { StreamId } from "./StreamId.ts"

/** When the event happened. */
const at = { at: Micros }

/** How many such events in a row it stands for, including what lies between them; only itself by default. */
const count = { count: Schema.optionalWith(Schema.Int, { exact: true }) }

/** The receive times of the messages before and after it; null where there is none. */
const between = { after: Schema.NullOr(Micros), before: Schema.NullOr(Micros) }

/** What ended a connection. */
export const EndKind = Schema.Literal(
  /** It could not be made. */
  "connect",
  /** The exchange, or the network in between, closed it. */
  "closed",
  /** Nothing at all was heard. */
  "idle",
  /** A ping was not answered. */
  "pong",
  /** Most of what came could not be read. */
  "unreadable",
  /** The exchange reported an error without saying which request or stream it is about. */
  "error",
  /** No subscription was answered. */
  "unanswered",
  /** Its streams were silent. */
  "silent",
  /** Another connection has taken over: its lifetime was up, or the exchange announced that it would close it. */
  "replaced",
  /** It has no streams left. */
  "empty"
)
export type EndKind = typeof EndKind.Type

/**
 * The first message of a stream arrived on a connection: only then is it known that its messages can be read. `since`: when the
 * exchange had already confirmed it; the stream has been connected since then. `connection` names the connection within this
 * process.
 */
export const StreamConnected = Schema.TaggedStruct("StreamConnected", {
  ...at,
  stream: StreamId,
  connection: Schema.String,
  since: Schema.optionalWith(Micros, { exact: true })
})

/**
 * The connection that carried the stream ended. `code` is the WebSocket close code, where there was one; `heard` is when anything
 * was last heard on the connection: nothing is known of the time after it.
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

/** The exchange refused a subscription; `reason` is in its words. The stream is requested again at `retryAt`. */
export const SubscriptionRefused = Schema.TaggedStruct("SubscriptionRefused", {
  ...at,
  stream: StreamId,
  reason: Schema.String,
  retryAt: Micros
})

/** An accepted stream has been silent from the start, or has fallen silent; `action` is what was done about it. */
export const StreamSilent = Schema.TaggedStruct("StreamSilent", {
  ...at,
  stream: StreamId,
  /** Since the last message, or since it was subscribed to. */
  seconds: Schema.Number,
  action: Schema.Literal("resubscribed", "moved"),
  /** Whether the silence lasts until a `StreamHeard`. */
  isOpen: Schema.optionalWith(Schema.Boolean, { exact: true })
})

/** A message arrived on a stream that had been reported as silent. `after` is the receive time of the message before it. */
export const StreamHeard = Schema.TaggedStruct("StreamHeard", {
  ...at,
  stream: StreamId,
  after: Schema.NullOr(Micros)
})

/**
 * A frame of the stream, or one that may belong to any stream of its connection, could not be used: what it said is unknown,
 * until a `StreamReadable`. `after` is the receive time of the last readable frame before it, null if there was none. Further
 * unreadable frames are not reported individually.
 */
export const StreamUnreadable = Schema.TaggedStruct("StreamUnreadable", {
  ...at,
  stream: StreamId,
  reason: SkipReason,
  after: Schema.NullOr(Micros)
})

/**
 * The stream has been readable again since `at`, the receive time of the first readable frame after the last of `frames` unusable
 * ones, `kept` of which are recorded as received. A frame that may belong to several streams is reported for each. `after` is
 * that of the `StreamUnreadable`, which may be in a missing part of the journal.
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
  /** `connection`: frames of the connection are missing, and it is unknown which of its streams they belong to. */
  scope: Schema.Literal("stream", "connection"),
  expected: Integer,
  received: Integer,
  /** How many numbers are missing; null if unknown. */
  size: Schema.NullOr(Schema.Number),
  ...count,
  ...between
})

/**
 * The stream started over, as its exchange defines it: nothing says whether messages are missing in between. `untold`: so much
 * happened while the journal could not be written that it was not kept. `id reused`: the exchange gave a message an id that
 * another message of the stream already had.
 */
export const Discontinuity = Schema.TaggedStruct("Discontinuity", {
  ...at,
  stream: StreamId,
  reason: Schema.Literal("reconnect", "snapshot", "set back", "untold", "id reused"),
  ...count,
  ...between
})

/** How many messages arrived out of order since the last such event of the stream: they had been reported as missing. */
export const OutOfOrder = Schema.TaggedStruct("OutOfOrder", { ...at, stream: StreamId, count: Schema.Int })

/** How many duplicate messages arrived since the last such event of the stream. */
export const Repeated = Schema.TaggedStruct("Repeated", { ...at, stream: StreamId, count: Schema.Int })

/** A symbol that matches a pattern of MARKETS is in the exchange's list for the first time. */
export const SymbolListed = Schema.TaggedStruct("SymbolListed", {
  ...at,
  exchange: Schema.String,
  symbol: Schema.String
})

/** A symbol is no longer in the exchange's list. */
export const SymbolDelisted = Schema.TaggedStruct("SymbolDelisted", {
  ...at,
  exchange: Schema.String,
  symbol: Schema.String
})

/**
 * A status message of an exchange, in its own words, valid since `at`: journalled when it changes, once for all connections.
 * `subject`: what it is about, such as a product or a maintenance; absent if it is about the exchange as a whole. `isPassing`: an
 * announcement whose end will not be announced. It says nothing about what was recorded.
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

/** What was observed of the exchanges, apart from their messages. */
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
