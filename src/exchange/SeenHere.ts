import type { Integer } from "../domain/Integer.ts"
import { type Continuity, type ContinuityRule, judge, type Place, type Verdict } from "./Continuity.ts"

/**
 * What one connection has brought of a numbering. Messages come in order on a connection: one that does not go beyond those
 * before is one of them that came twice, or late, or else the exchange has set its numbers back, perhaps with its clock. Its own
 * time tells which.
 */
export interface SeenHere {
  /**
   * The first and the highest number, and the newest time of the exchange, microseconds, since they were set back. NaN before the
   * first one.
   */
  first: Integer
  last: Integer
  time: number
  /** Number and time of the latest messages, in turn, 2 kB at most; the next one goes to `next`. */
  readonly recent: Array<Integer>
  next: number
}

export const makeSeenHere = (): SeenHere => ({
  first: Number.NaN,
  last: Number.NaN,
  time: Number.NaN,
  recent: [],
  next: 0
})

/**
 * Judges a message against what was seen before, here and elsewhere, by its number and, where that is known, by the time that the
 * exchange gave it; null where it sends none: then nothing says that it is not another message. `newest` is that time of the
 * newest message of any connection. One that came here twice has the number and the time of one of the latest
 * `rememberedMessages`; of those before the first one here the exchange may send some again that came on another connection.
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
  return isKnown(verdict, here, place, time, newest) ? verdict : setBack
}

const isKnown = (
  { _tag }: Verdict,
  here: SeenHere,
  place: Place,
  time: number | null,
  newest: number
): boolean => {
  if (!(place.last <= here.last)) return !isLater(time, newest) && !isLongBefore(time, newest)
  if (time === null || !(time <= here.time)) return false
  if (place.last <= here.first) return !isLongBefore(time, here.time)
  return _tag === "Repeated" ? isRemembered(here, place, time) : isLate(here, place, time)
}

/** Whether a message that came by another connection than the newest one is another one: servers may give one message two times. */
export const isLater = (time: number | null, newest: number): boolean =>
  time === null || !(time <= newest + toleranceMicros)

/** So far behind another no server is that works: its clock was set back. */
const isLongBefore = (time: number | null, newest: number): boolean =>
  time !== null && time < newest - lagMicros

const isRemembered = ({ recent }: SeenHere, { last }: Place, time: number): boolean => {
  for (let i = 0; i < recent.length; i += 2) if (recent[i] === last && recent[i + 1] === time) return true
  return false
}

/** Whether it is no older than the message before it, as far as that is remembered. */
const isLate = ({ recent }: SeenHere, { last }: Place, time: number): boolean => {
  let before: Integer = Number.NEGATIVE_INFINITY
  let begin = Number.NEGATIVE_INFINITY
  for (let i = 0; i < recent.length; i += 2) {
    const [number = Number.NaN, at = Number.NaN] = [recent[i], recent[i + 1]]
    if (number < last && number > before && !Number.isNaN(at)) {
      before = number
      begin = Number(at)
    }
  }
  return time >= begin - toleranceMicros
}

/** Notes a message. */
export const seeHere = (here: SeenHere, { last }: Place, time: number | null, { _tag }: Verdict): void => {
  if (time !== null && (_tag === "SetBack" || !(time <= here.time))) here.time = time
  if (Number.isNaN(last)) return
  const isAnew = _tag === "SetBack" || _tag === "Restarted"
  if (_tag === "SetBack" || Number.isNaN(here.first) || (isAnew && last < here.first)) here.first = last
  if (isAnew || !(last <= here.last)) here.last = last
  if (_tag === "Repeated") return
  here.recent[here.next] = last
  here.recent[here.next + 1] = time ?? Number.NaN
  here.next = (here.next + 2) % (2 * rememberedMessages)
}

/** Whether a message with this verdict had not been known. */
export const isNew = ({ _tag }: Verdict): boolean => _tag !== "Repeated" && _tag !== "OutOfOrder"

const setBack: Verdict = { _tag: "SetBack" }
const toleranceMicros = 1_000_000
const lagMicros = 60_000_000
const rememberedMessages = 128
