import { type Continuity, type ContinuityRule, judge, type Place, type Verdict } from "./Continuity.ts"

/**
 * What one connection has brought of a numbering. Messages come in order on a connection: one that does not go beyond those
 * before is one of them that came twice, or late, or else the exchange has set its numbers back. Its own time tells which.
 */
export interface SeenHere {
  /** The highest number, and the newest time of the exchange, microseconds. NaN before the first one. */
  last: number
  time: number
}

export const makeSeenHere = (): SeenHere => ({ last: Number.NaN, time: Number.NaN })

/**
 * Judges a message against what was seen before, here and elsewhere, by its number and, where that is known, by the time that the
 * exchange gave it; null where it sends none: then nothing says that it is not another message. `newest` is that time of the
 * newest message of any connection.
 */
export const judgeHere = (
  rule: ContinuityRule["kind"],
  seen: Continuity,
  place: Place,
  here: SeenHere,
  { newest, time }: { readonly time: number | null; readonly newest: number }
): Verdict => {
  const verdict = judge(rule, seen, place)
  if (verdict._tag !== "Repeated" && verdict._tag !== "OutOfOrder") return verdict
  const isAnother = place.last <= here.last ? time === null || !(time <= here.time) : isLater(time, newest)
  return isAnother ? setBack : verdict
}

/** Whether a message that came by another connection than the newest one is another one: servers may give one message two times. */
export const isLater = (time: number | null, newest: number): boolean =>
  time === null || !(time <= newest + toleranceMicros)

/** Notes a message. */
export const seeHere = (here: SeenHere, { last }: Place, time: number | null, { _tag }: Verdict): void => {
  if (!Number.isNaN(last) && (_tag === "SetBack" || _tag === "Restarted" || !(last <= here.last))) {
    here.last = last
  }
  if (time !== null && !(time <= here.time)) here.time = time
}

/** Whether a message with this verdict had not been known. */
export const isNew = ({ _tag }: Verdict): boolean => _tag !== "Repeated" && _tag !== "OutOfOrder"

const setBack: Verdict = { _tag: "SetBack" }
const toleranceMicros = 1_000_000
