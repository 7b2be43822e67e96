import type { EndKind } from "../domain/ExchangeEvent.ts"
import type { Integer } from "../domain/Integer.ts"
import type { LastMessage } from "../domain/LastMessage.ts"
import type { MarketStream } from "../domain/StreamId.ts"
import {
  type Continuity,
  type ContinuityRule,
  type DeliveredNumbers,
  nothingSeen,
  unproven
} from "./Continuity.ts"
import type { Exchange } from "./Exchange.ts"
import type { FirstMessage } from "./FirstMessage.ts"
import { usualPause } from "./PauseHabit.ts"
import { makeRemembered, type Remembered } from "./SeenHere.ts"
import { makeStreamWatch, type StreamWatch } from "./StreamWatch.ts"
import type { UnreadableTime } from "./UnreadableTime.ts"

/**
 * The state of a stream.
 *
 * - `connecting`: no connection, or not subscribed yet;
 * - `subscribed`: the exchange accepted it, and no message has arrived so far;
 * - `live`: messages arrive;
 * - `silent`: it was accepted, and a message is overdue;
 * - `refused`: the exchange refused it; it is requested again later;
 * - `unreadable`: frames arrive that cannot be read.
 */
export type StreamState = "connecting" | "subscribed" | "live" | "silent" | "refused" | "unreadable"

/** Everything known about a stream, over all its connections. Times in microseconds since the epoch, NaN for never. */
export interface TrackedStream {
  readonly id: MarketStream
  /** Empty if it has none, because it is polled. */
  readonly channel: string
  readonly rule: ContinuityRule
  readonly watch: StreamWatch
  state: StreamState
  /** The connection that its messages come from. */
  connection: string | null
  continuity: Continuity
  /** What the connection that is about to take over has seen of it. */
  successor: DeliveredNumbers | null
  readonly remembered: Remembered
  /** The number up to which the previous connection has delivered messages that may arrive once more. NaN for none. */
  overlap: Integer
  /** The last message of an earlier process, until it has been compared with `first`. */
  before: LastMessage | null
  first: FirstMessage | null
  lastMessageAt: number
  /**
   * When its last connection ended: the time up to which it had delivered everything that was sent. NaN while none has ended.
   */
  sureUntil: number
  /** When the last message arrived that was not known already, and the newest exchange time of such messages. */
  lastNewAt: number
  newest: number
  /** The sequence id of its newest message. */
  lastSequenceId: string
  messages: number
  gaps: number
  /** Counts since they were last reported. */
  outOfOrder: number
  repeated: number
  /** Whether it was reported as silent, and no message has arrived since. */
  isToldSilent: boolean
  /** What is known about its unreadable frames, while they put it in doubt. */
  unreadable: UnreadableTime | null
  /** How long it must be calm until such a period ends, and when the last one ended; monotonic milliseconds. */
  unreadableCalm: number
  unreadableEndedAt: number
  /** How often it was refused in a row, and when to retry, by the clock that is never set. */
  refusals: number
  retryAt: number
  /** How many requests for it in a row were answered with the end of the connection. */
  closes: number
  readonly reconnects: Map<EndKind, number>
}

export const trackStream = (exchange: Exchange, id: MarketStream): TrackedStream => ({
  id,
  channel: exchange.dataTypes.includes(id.dataType) ? exchange.channelOf(id) : "",
  rule: exchange.dataTypes.includes(id.dataType) ? exchange.continuity(id.dataType) : unproven,
  watch: makeStreamWatch(),
  state: "connecting",
  connection: null,
  continuity: nothingSeen,
  successor: null,
  remembered: makeRemembered(),
  overlap: Number.NaN,
  before: null,
  first: null,
  lastMessageAt: Number.NaN,
  sureUntil: Number.NaN,
  lastNewAt: Number.NaN,
  newest: Number.NaN,
  lastSequenceId: "",
  messages: 0,
  gaps: 0,
  outOfOrder: 0,
  repeated: 0,
  isToldSilent: false,
  unreadable: null,
  unreadableCalm: 0,
  unreadableEndedAt: Number.NEGATIVE_INFINITY,
  refusals: 0,
  retryAt: 0,
  closes: 0,
  reconnects: new Map()
})

/**
 * Marks a stream as refused: it is requested again after 5 minutes, then after twice as long each time, up to an hour. Returns
 * the delay in microseconds.
 */
export const refuse = (stream: TrackedStream, elapsed: number): number => {
  const pause = Math.min(firstRetryMicros * 2 ** stream.refusals, lastRetryMicros)
  stream.state = "refused"
  stream.retryAt = elapsed + pause
  stream.refusals++
  return pause
}

/**
 * Returns the time up to which its connection, last heard at `heardAt`, has delivered everything of a stream. Hearing other
 * streams proves it for a stream that has been quiet no longer than is usual for it. Otherwise the stream may have been dead,
 * and nothing is certain after its own last message.
 */
export const sureUntil = (stream: TrackedStream, heardAt: number): number => {
  const { habit } = stream.watch
  const isAsUsual =
    !stream.isToldSilent &&
    stream.unreadable === null &&
    habit.pauses >= knownPauses &&
    heardAt - stream.lastMessageAt <= usualPause(habit) * 1_000_000
  return isAsUsual ? heardAt : stream.lastMessageAt
}

/** With fewer pauses it is unknown what is usual. */
const knownPauses = 3

const firstRetryMicros = 300_000_000
const lastRetryMicros = 3_600_000_000

/** Converts a time for use outside: NaN, which stands for never, becomes null. */
export const timeOf = (micros: number): number | null => (Number.isNaN(micros) ? null : micros)
