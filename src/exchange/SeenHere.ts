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
  readonly remembered: Remembered
}

/** The latest messages of a numbering, whatever connection brought them. */
export interface Remembered {
  /** Number and time of each, in turn, 2 kB at most; the next one goes to `next`. */
  readonly recent: Array<Integer>
  next: number
}

export const makeRemembered = (): Remembered => ({ recent: [], next: 0 })

export const makeSeenHere = (remembered: Remembered): SeenHere => ({
  first: Number.NaN,
  last: Number.NaN,
  time: Number.NaN,
  remembered
})

/**
 * Judges a message against what was seen before, here and elsewhere, by its number and, where that is known, by the time that the
 * exchange gave it; null where it sends none: then nothing says that it is not another message. `newest` is that time of the
 * newest message of any connection. One that came twice has the number and the time of one of the latest
 * `rememberedMessages`; that of another connection may be lower than all of these, and its time is not quite the same.
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
  const { remembered } = here
  if (!(place.last <= here.last)) {
    return !isLater(time, newest) && !isLongBefore(time, newest) && !isOther(remembered, place, time)
  }
  if (time === null || !(time <= here.time)) return false
  if (_tag === "OutOfOrder") return isLate(remembered, place, time)
  return isRemembered(remembered, place, time, place.last <= here.first ? toleranceMicros : 0)
}

/** Whether a message that came by another connection than the newest one is another one: servers may give one message two times. */
export const isLater = (time: number | null, newest: number): boolean =>
  time === null || !(time <= newest + toleranceMicros)

/** So far behind another no server is that works: its clock was set back. */
const isLongBefore = (time: number | null, newest: number): boolean =>
  time !== null && time < newest - lagMicros

const isRemembered = (
  { recent }: Remembered,
  { last }: Place,
  time: number,
  toleranceMicros: number
): boolean => {
  for (let i = 0; i < recent.length; i += 2) {
    if (recent[i] === last && Math.abs(Number(recent[i + 1]) - time) <= toleranceMicros) return true
  }
  return false
}

/** Whether another message is remembered by its number, or none of its number can have been forgotten. */
const isOther = (remembered: Remembered, place: Place, time: number | null): boolean => {
  const { recent } = remembered
  let isThere = false
  let isBelow = recent.length < 2 * rememberedMessages
  for (let i = 0; i < recent.length; i += 2) {
    const number = recent[i] ?? Number.NaN
    isThere ||= number === place.last && !Number.isNaN(recent[i + 1])
    isBelow &&= place.last < number
  }
  return isBelow || (isThere && time !== null && !isRemembered(remembered, place, time, toleranceMicros))
}

/** Whether it is no older than the message before it, as far as that is remembered. */
const isLate = ({ recent }: Remembered, { last }: Place, time: number): boolean => {
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
  const { remembered } = here
  remembered.recent[remembered.next] = last
  remembered.recent[remembered.next + 1] = time ?? Number.NaN
  remembered.next = (remembered.next + 2) % (2 * rememberedMessages)
}

/** Whether a message with this verdict had not been known. */
export const isNew = ({ _tag }: Verdict): boolean => _tag !== "Repeated" && _tag !== "OutOfOrder"

const setBack: Verdict = { _tag: "SetBack" }
const toleranceMicros = 1_000_000
const lagMicros = 60_000_000
const rememberedMessages = 128
