import type { EndKind } from "../domain/ExchangeEvent.ts"
import type { Integer } from "../domain/Integer.ts"
import type { LastMessage } from "../domain/LastMessage.ts"
import type { MarketStream } from "../domain/StreamId.ts"
import { type Continuity, type ContinuityRule, type DeliveredNumbers, nothingSeen } from "./Continuity.ts"
import type { Exchange } from "./Exchange.ts"
import type { FirstMessage } from "./FirstMessage.ts"
import { usualPause } from "./PauseHabit.ts"
import { makeRemembered, type Remembered } from "./SeenHere.ts"
import { makeStreamWatch, type StreamWatch } from "./StreamWatch.ts"
import type { UnreadableTime } from "./UnreadableTime.ts"

/**
 * - `connecting`: no connection, or not asked for yet;
 * - `subscribed`: the exchange took it, and nothing has come so far;
 * - `live`: messages come;
 * - `silent`: it was taken, and should say something by now;
 * - `refused`: the exchange does not want it; it is asked for again later;
 * - `unreadable`: frames come of which nobody knows what they say.
 */
export type StreamState = "connecting" | "subscribed" | "live" | "silent" | "refused" | "unreadable"

/** All that is known of a stream, over all its connections. Times in microseconds since the epoch, NaN for never. */
export interface TrackedStream {
  readonly id: MarketStream
  readonly channel: string
  readonly rule: ContinuityRule
  readonly watch: StreamWatch
  state: StreamState
  /** The connection that its messages come from. */
  connection: string | null
  continuity: Continuity
  /** What a connection that is to take over has seen of it. */
  successor: DeliveredNumbers | null
  readonly remembered: Remembered
  /** Up to this number the connection before has delivered what may come once more. NaN for none. */
  overlap: Integer
  /** The last message of an earlier process, until it was compared with `first`. */
  before: LastMessage | null
  first: FirstMessage | null
  lastMessageAt: number
  /** When its last connection ended: up to when it had brought all that was sent. NaN while none has. */
  sureUntil: number
  /** When the last message came that was not one that was known, and the newest time of the exchange of these. */
  lastNewAt: number
  newest: number
  /** The sequence id of its newest message. */
  lastSequenceId: string
  messages: number
  gaps: number
  /** Since they were last reported. */
  outOfOrder: number
  repeated: number
  /** Whether it was told to be silent, and no message has come since. */
  isToldSilent: boolean
  /** What is known of the frames that could not be read, as long as they make it doubtful. */
  unreadable: UnreadableTime | null
  /** How long it has to be calm until such a time is over, and when the last one was over; monotonic milliseconds. */
  unreadableCalm: number
  unreadableEndedAt: number
  /** How often it was refused in a row, and when to ask again, by the clock that nobody sets. */
  refusals: number
  retryAt: number
  readonly reconnects: Map<EndKind, number>
}

export const trackStream = (exchange: Exchange, id: MarketStream): TrackedStream => ({
  id,
  channel: exchange.channelOf(id),
  rule: exchange.continuity(id.dataType),
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
  reconnects: new Map()
})

/**
 * The exchange refused it: asks again after 5 minutes, and every time after twice as long, up to an hour. Returns after how
 * many microseconds.
 */
export const refuse = (stream: TrackedStream, elapsed: number): number => {
  const pause = Math.min(firstRetryMicros * 2 ** stream.refusals, lastRetryMicros)
  stream.state = "refused"
  stream.retryAt = elapsed + pause
  stream.refusals++
  return pause
}

/**
 * Up to when its connection, which was last heard at `heardAt`, has brought all of a stream: what is heard of others proves it
 * of one that has been quiet no longer than is usual for it. Else it may have been dead, and nothing is sure after its own last
 * message.
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

/** Of fewer pauses nobody knows what is usual. */
const knownPauses = 3

const firstRetryMicros = 300_000_000
const lastRetryMicros = 3_600_000_000

/** A time for others: null for never. */
export const timeOf = (micros: number): number | null => (Number.isNaN(micros) ? null : micros)
