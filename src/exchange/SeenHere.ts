import type { Integer } from "../domain/Integer.ts"
import { type Continuity, type ContinuityRule, judge, type Place, type Verdict } from "./Continuity.ts"

/**
 * What one connection has brought of a numbering. Messages arrive in order on a connection, so one that does not go beyond the
 * earlier ones is repeated or late, or else the exchange has set its numbers back, perhaps together with its clock. The time
 * that the exchange gave the message tells which.
 */
export interface SeenHere {
  /**
   * The first and the highest number, and the newest time of the exchange in microseconds, since the numbers were set back. NaN
   * before the first message.
   */
  first: Integer
  last: Integer
  time: number
  readonly remembered: Remembered
}

/** The latest messages of a numbering, from any connection. */
export interface Remembered {
  /**
   * Number and time of each message, alternating, at most 2 kB; `next` is where the next one goes. A snapshot's time is negative:
   * it is the state after the message of that number, sent at that time, and the message itself is no later.
   */
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
 * Judges a message against what was seen before, here and elsewhere, by its number and, if known, by the time that the exchange
 * gave it. The time is null if the exchange sends none: then nothing rules out that it is a different message. `newest` is the
 * exchange time of the newest message of any connection. A repeated message has the number and the time of one of the latest
 * `rememberedMessages`; one from another connection can have a lower number than all of these, and its time differs slightly.
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

/**
 * Whether a message from another connection than the newest one is different from it. Servers may stamp the same message with
 * slightly different times.
 */
export const isLater = (time: number | null, newest: number): boolean =>
  time === null || !(time <= newest + toleranceMicros)

/** Whether a message is further behind than any working server lags: its clock was set back. */
const isLongBefore = (time: number | null, newest: number): boolean =>
  time !== null && time < newest - lagMicros

const isRemembered = (
  { recent }: Remembered,
  { last }: Place,
  time: number,
  toleranceMicros: number
): boolean => {
  for (let i = 0; i < recent.length; i += 2) {
    if (recent[i] !== last) continue
    const at = Number(recent[i + 1])
    if (at < 0 ? time <= toleranceMicros - at : Math.abs(at - time) <= toleranceMicros) return true
  }
  return false
}

/** Whether a different message is remembered under its number, or none with its number can have been forgotten. */
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

/** Whether it is no older than the message before it in the numbering, if that one is remembered. */
const isLate = ({ recent }: Remembered, { last }: Place, time: number): boolean => {
  let before: Integer = Number.NEGATIVE_INFINITY
  let begin = Number.NEGATIVE_INFINITY
  for (let i = 0; i < recent.length; i += 2) {
    const [number = Number.NaN, at = Number.NaN] = [recent[i], recent[i + 1]]
    if (number < last && number > before && at > 0) {
      before = number
      begin = Number(at)
    }
  }
  return time >= begin - toleranceMicros
}

/** Records a message. */
export const seeHere = (
  here: SeenHere,
  { last, snapshot }: Place,
  time: number | null,
  { _tag }: Verdict
): void => {
  if (time !== null && (_tag === "SetBack" || !(time <= here.time))) here.time = time
  if (Number.isNaN(last)) return
  const isAnew = _tag === "SetBack" || _tag === "Restarted"
  if (_tag === "SetBack" || Number.isNaN(here.first) || (isAnew && last < here.first)) here.first = last
  if (isAnew || !(last <= here.last)) here.last = last
  if (_tag === "Repeated") return
  const { remembered } = here
  remembered.recent[remembered.next] = last
  remembered.recent[remembered.next + 1] = time === null ? Number.NaN : snapshot ? -time : time
  remembered.next = (remembered.next + 2) % (2 * rememberedMessages)
}

/** Whether a message with this verdict was previously unknown. */
export const isNew = ({ _tag }: Verdict): boolean => _tag !== "Repeated" && _tag !== "OutOfOrder"

const setBack: Verdict = { _tag: "SetBack" }
const toleranceMicros = 1_000_000
const lagMicros = 60_000_000
const rememberedMessages = 128
