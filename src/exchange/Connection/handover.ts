import type { ExchangeEvent } from "../../domain/ExchangeEvent.ts"
import { greatest, type Integer } from "../../domain/Integer.ts"
import {
  advance,
  type Continuity,
  type DeliveredNumbers,
  type Hole,
  judge,
  maxHoles,
  missingOn,
  type NumberedRule,
  nothingSeen,
  type Place,
  sizeOf,
  spansConnections,
  type Verdict
} from "../Continuity.ts"
import { isLater, judgeHere, type SeenHere } from "../SeenHere.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import { discontinuity, gapDetected } from "./verdictEvents.ts"

/*
 * A handover: two connections bring a stream until the next one takes it over from the one that keeps it. What one of them has
 * missed the other may have brought; what neither has is a gap. Pure functions: they take what was seen, and return what is
 * known and what to report. Times are receive times in microseconds, NaN for never.
 */

/** What a connection has delivered of a stream that another one keeps. */
export interface StandbyNumbers extends DeliveredNumbers {
  /** The holes found here, as they were then. */
  readonly found: ReadonlyArray<FoundHole>
  /** Whether the exchange set its numbers back here: they are not comparable with those of the previous connection. */
  readonly isSetBack: boolean
  readonly firstAt: number
  readonly lastAt: number
}

/** `after` and `before` are the receive times of the messages around it. */
export interface FoundHole {
  readonly hole: Hole
  readonly size: number | null
  readonly after: number
  readonly before: number
}

/** What the connection that keeps a stream knows about it. */
export type KeptNumbers = Pick<
  TrackedStream,
  "id" | "rule" | "continuity" | "lastMessageAt" | "lastNewAt" | "newest" | "overlap"
>

export const nothingDelivered: StandbyNumbers = {
  start: Number.NaN,
  seen: nothingSeen,
  found: [],
  isSetBack: false,
  firstAt: Number.NaN,
  lastAt: Number.NaN
}

/** Records a message on a connection that has yet to take over. */
export const standBy = (
  standby: StandbyNumbers,
  here: SeenHere,
  { continuity, rule }: Pick<KeptNumbers, "continuity" | "rule">,
  message: Place & { readonly exchangeTimestamp: number | null },
  now: number
): {
  readonly standby: StandbyNumbers
  readonly verdict: Verdict
  /** The verdict on the message for the connection that keeps the stream, if that one had missed it. */
  readonly late: Verdict | undefined
} => {
  const spans = spansConnections(rule)
  const begin = message.snapshot ? message.last : message.previous
  const start = Number.isNaN(standby.start) ? begin : standby.start
  const verdict = judgeHere(rule.kind, standby.seen, message, here, {
    time: message.exchangeTimestamp,
    newest: Number.NaN
  })
  const next: StandbyNumbers = {
    ...standby,
    start,
    seen: advance(standby.seen, message, verdict, Number.POSITIVE_INFINITY),
    firstAt: Number.isNaN(standby.firstAt) ? now : standby.firstAt,
    lastAt: now
  }
  const late = spans && continuity.holes.length > 0 ? judge(rule.kind, continuity, message) : undefined
  return {
    standby: withVerdict(next, verdict, standby.lastAt, {
      begin,
      continuity,
      last: message.last,
      now,
      spans
    }),
    verdict,
    late: late?._tag === "OutOfOrder" ? late : undefined
  }
}

const withVerdict = (
  standby: StandbyNumbers,
  verdict: Verdict,
  after: number,
  {
    begin,
    continuity,
    last,
    now,
    spans
  }: {
    readonly begin: Integer
    readonly continuity: Continuity
    readonly last: Integer
    readonly now: number
    readonly spans: boolean
  }
): StandbyNumbers => {
  if (verdict._tag === "Gap") {
    const { hole, size } = verdict
    const isLeft = ({ to }: Hole) => !spans || !(to <= continuity.last)
    return {
      ...standby,
      found: [...standby.found, { hole, size, after, before: now }].filter(({ hole }) => isLeft(hole)),
      seen: { ...standby.seen, holes: standby.seen.holes.filter(isLeft) }
    }
  }
  if (verdict._tag === "Restarted" || verdict._tag === "SetBack") {
    const isSetBack = verdict._tag === "SetBack"
    const hole = { from: standby.start, to: begin }
    return {
      ...standby,
      found: spans ? [] : [{ hole, size: null, after, before: now }],
      seen: { ...standby.seen, holes: [] },
      start: isSetBack ? last : begin,
      isSetBack: standby.isSetBack || isSetBack
    }
  }
  return standby
}

/** Returns what neither the connection that keeps the stream nor its successor has delivered so far. */
export const missingOnBoth = (
  standby: StandbyNumbers,
  { continuity, rule }: Pick<KeptNumbers, "continuity" | "rule">
): ReadonlyArray<Hole> => {
  if (!spansConnections(rule) || standby.isSetBack || Number.isNaN(standby.start)) return []
  const from = Number.isNaN(continuity.last) ? standby.start : continuity.last
  return missingOn(standby, { from, to: standby.seen.last })
}

/**
 * Takes over a stream that is live on the connection. Returns what is known about the stream from then on, and the events to
 * report. `time` is the newest exchange time on this connection.
 */
export const takeOver = (
  standby: StandbyNumbers,
  time: number,
  stream: KeptNumbers,
  now: number
): { readonly stream: Omit<KeptNumbers, "id" | "rule">; readonly events: ReadonlyArray<ExchangeEvent> } => {
  const { continuity, id, rule } = stream
  const { found, seen } = standby
  const spans = spansConnections(rule)
  // Its messages are newer than those of the other connection, under numbers that are not higher.
  const isSetBack =
    standby.isSetBack || (spans && seen.last < continuity.last && isLater(time, stream.newest))
  const last = { ...seen, holes: seen.holes.slice(-maxHoles) }
  const goesOn = spans && !isSetBack
  const times = {
    lastNewAt:
      !goesOn || !(continuity.last >= seen.last)
        ? standby.lastAt
        : continuity.last === seen.last
          ? Math.min(standby.lastAt, stream.lastNewAt)
          : stream.lastNewAt,
    newest: Number.isNaN(stream.newest) || time > stream.newest ? time : stream.newest,
    lastMessageAt: Math.max(standby.lastAt, stream.lastMessageAt || 0)
  }
  if (!goesOn) {
    const doubts = isSetBack
      ? [{ after: Math.min(stream.lastMessageAt, standby.firstAt), before: standby.lastAt }]
      : found
    const reason = isSetBack ? "set back" : "reconnect"
    return {
      stream: { ...times, continuity: last, overlap: stream.overlap },
      events: doubts.map(({ after, before }) => discontinuity(id, reason, { at: now, after, before }))
    }
  }
  const missing = missingOnBoth(standby, stream)
  return {
    stream: {
      ...times,
      overlap: continuity.last > seen.last ? continuity.last : Number.NaN,
      continuity: Number.isNaN(continuity.last)
        ? last
        : {
            last: greatest(continuity.last, seen.last || continuity.last),
            holes: [...continuity.holes, ...missing].slice(-maxHoles),
            repeats: 0
          }
    },
    events: missing.map((hole) => {
      const known = found.find((other) => hole.from >= other.hole.from && hole.to <= other.hole.to)
      return gapDetected(id, rule, restOf(rule, hole, known), {
        at: now,
        after: known?.after ?? Math.min(stream.lastMessageAt, standby.firstAt),
        before: known?.before ?? Math.max(stream.lastMessageAt, standby.firstAt)
      })
    })
  }
}

/** Returns the rest of a hole that was found, with its size if it is the whole of it. */
export const restOf = (
  { kind }: NumberedRule,
  hole: Hole,
  found: { readonly hole: Hole; readonly size: number | null } | undefined
): { readonly hole: Hole; readonly size: number | null } => ({
  hole,
  size: found?.hole.from === hole.from && found.hole.to === hole.to ? found.size : sizeOf(kind, hole)
})
