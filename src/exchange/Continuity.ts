import { distance, greatest, type Integer, least, plus } from "../domain/Integer.ts"

/**
 * How a stream proves that no message is missing.
 *
 * - `counter`: numbers that increase by one with every message, or with every part of it;
 * - `range`: every message covers a range of numbers that starts where the previous one ended;
 * - `chain`: every message names the previous one; the numbers themselves can jump, or even go back;
 * - `none`: nothing on the wire proves it.
 */
export type ContinuityRule = NumberedRule | { readonly kind: "none" }

/** The rule of a stream whose messages are numbered. */
export interface NumberedRule {
  readonly kind: "counter" | "range" | "chain"
  /** What is numbered: each stream by itself, or all frames of a connection together. */
  readonly scope: "stream" | "connection"
  /** Whether the numbers continue across a reconnect: numbers of the exchange do, numbers of a connection do not. */
  readonly spansConnections: boolean
  /** The number that every connection starts with; if undefined, any number can be the first. */
  readonly first?: number
}

export const unproven: ContinuityRule = { kind: "none" }

/** Whether the numbers of a stream continue across a reconnect. */
export const spansConnections = (rule: ContinuityRule): rule is NumberedRule =>
  rule.kind !== "none" && rule.scope === "stream" && rule.spansConnections

/** The numbers that a message covers: those above `previous`, up to and including `last`. NaN if it has none. */
export interface Place {
  readonly previous: Integer
  readonly last: Integer
  /** How many of these numbers are missing, for counters whose messages have several parts. None by default. */
  readonly missing?: number
  /** Whether the message stands on its own, whatever came before it: a whole book, or the start of a new numbering. */
  readonly snapshot: boolean
}

/** What has been seen of a numbering so far. */
export interface Continuity {
  /** The number up to which messages have been seen; NaN before the first one. */
  readonly last: Integer
  /** The newest holes, in which late messages fall. At most `maxHoles`. */
  readonly holes: ReadonlyArray<Hole>
  /** Consecutive messages that had already been seen. */
  readonly repeats: number
}

/** Numbers above `from`, up to and including `to`, that have not been seen. */
export interface Hole {
  readonly from: Integer
  readonly to: Integer
}

/** How a message relates to those before it. */
export type Verdict =
  /** The first message, the next one, or one without a number. */
  | { readonly _tag: "Continues" }
  /** Messages are missing before it, or parts within it; `size` is how many numbers are missing, null if that is unknown. */
  | { readonly _tag: "Gap"; readonly hole: Hole; readonly size: number | null }
  /** It was missing, and arrived late. */
  | { readonly _tag: "OutOfOrder" }
  /** It had already been seen. */
  | { readonly _tag: "Repeated" }
  /** A snapshot: it replaces what came before, and proves nothing about it. */
  | { readonly _tag: "Restarted" }
  /** The exchange set its numbers back, as shown by a message that continues the chain, or by the time of a message. */
  | { readonly _tag: "SetBack" }

export const nothingSeen: Continuity = { last: Number.NaN, holes: [], repeats: 0 }

/** Judges a message against what was seen before it. Pure: `advance` changes the state. */
export const judge = (rule: ContinuityRule["kind"], seen: Continuity, place: Place): Verdict => {
  const verdict = judgeEnds(rule, seen, place)
  const missing = place.missing ?? 0
  if (!(missing > 0) || place.snapshot || (verdict._tag !== "Continues" && verdict._tag !== "Gap"))
    return verdict
  // The exact numbers are unknown, only that they lie between the first and the last of the message.
  const from = verdict._tag === "Gap" ? verdict.hole.from : plus(place.previous, 1)
  const before = verdict._tag === "Gap" ? verdict.size : 0
  return {
    _tag: "Gap",
    hole: { from, to: plus(place.last, -1) },
    size: before === null ? null : before + missing
  }
}

const judgeEnds = (rule: ContinuityRule["kind"], seen: Continuity, place: Place): Verdict => {
  const { last } = seen
  const { previous } = place
  if (Number.isNaN(place.last) || rule === "none") return continues
  if (place.snapshot) return Number.isNaN(last) ? continues : restarted
  if (Number.isNaN(last)) return continues
  if (previous === last) return place.last < previous ? setBack : continues
  if (previous > last) return gap(rule, last, previous)
  if (seen.holes.some((hole) => previous >= hole.from && place.last <= hole.to)) return outOfOrder
  if (place.last > last) return rule === "chain" ? gap(rule, last, previous) : continues
  return seen.repeats < maxRepeats ? repeated : gap("chain", last, previous)
}

/** Returns what has been seen after a message with this verdict. Remembers at most `remembered` holes. */
export const advance = (
  seen: Continuity,
  place: Place,
  verdict: Verdict,
  remembered = maxHoles
): Continuity => {
  if (Number.isNaN(place.last)) return seen
  switch (verdict._tag) {
    case "Continues":
      return { last: place.last, holes: seen.holes, repeats: 0 }
    case "SetBack":
    case "Restarted":
      return { last: place.last, holes: [], repeats: 0 }
    case "Gap":
      return {
        last: place.last,
        holes: [...seen.holes.slice(1 - remembered), verdict.hole],
        repeats: 0
      }
    case "OutOfOrder":
      return { last: seen.last, holes: seen.holes.flatMap((hole) => without(hole, place)), repeats: 0 }
    case "Repeated":
      return { last: seen.last, holes: seen.holes, repeats: seen.repeats + 1 }
  }
}

/** What another connection has seen of a numbering: the numbers above `start`, except its holes. NaN before the first. */
export interface DeliveredNumbers {
  readonly start: Integer
  readonly seen: Continuity
}

/** Returns the parts of a hole that another connection has not delivered either, so far. */
export const missingOn = ({ seen, start }: DeliveredNumbers, hole: Hole): ReadonlyArray<Hole> =>
  Number.isNaN(start)
    ? [hole]
    : [
        { from: Number.NEGATIVE_INFINITY, to: start },
        ...seen.holes,
        { from: seen.last, to: Number.POSITIVE_INFINITY }
      ].flatMap((absent) => {
        const from = greatest(absent.from, hole.from)
        const to = least(absent.to, hole.to)
        return to > from ? [{ from, to }] : []
      })

/** How many numbers a hole has; null if that is unknown. */
export const sizeOf = (rule: ContinuityRule["kind"], { from, to }: Hole): number | null =>
  rule === "chain" ? null : distance(from, to)

/** Returns the number that was expected and the one that was received, as the exchange writes them. */
export const numbersAround = (
  rule: ContinuityRule["kind"],
  { from, to }: Hole
): { readonly expected: Integer; readonly received: Integer } =>
  rule === "chain" ? { expected: from, received: to } : { expected: plus(from, 1), received: plus(to, 1) }

/** How many holes of a stream are remembered, to tell late messages from repeated ones. */
export const maxHoles = 16

/** This many repeated messages in a row, without a new one, mean that the numbers were set back unnoticed. */
export const maxRepeats = 1000

const continues: Verdict = { _tag: "Continues" }
const outOfOrder: Verdict = { _tag: "OutOfOrder" }
const repeated: Verdict = { _tag: "Repeated" }
const restarted: Verdict = { _tag: "Restarted" }
const setBack: Verdict = { _tag: "SetBack" }

const gap = (rule: ContinuityRule["kind"], from: Integer, to: Integer): Verdict => ({
  _tag: "Gap",
  hole: { from, to },
  size: sizeOf(rule, { from, to })
})

/** Returns a hole without the numbers of a message that lies in it. */
const without = (hole: Hole, { last, previous }: Place): ReadonlyArray<Hole> =>
  previous < hole.from || last > hole.to
    ? [hole]
    : [
        { from: hole.from, to: previous },
        { from: last, to: hole.to }
      ].filter(({ from, to }) => to > from)
