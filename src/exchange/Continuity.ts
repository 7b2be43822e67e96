import { distance, greatest, type Integer, least, plus } from "../domain/Integer.ts"

/**
 * How a stream proves that no message is missing.
 *
 * - `counter`: numbers that step by one with every message, or with every part of it;
 * - `range`: every message covers a range of numbers that begins where the one before ended;
 * - `chain`: every message names the one before; the numbers themselves may jump, or even go back;
 * - `none`: nothing on the wire proves it.
 */
export type ContinuityRule = NumberedRule | { readonly kind: "none" }

/** The rule of a stream whose messages are numbered. */
export interface NumberedRule {
  readonly kind: "counter" | "range" | "chain"
  /** Of what the numbers are: of each stream, or of all frames of a connection together. */
  readonly scope: "stream" | "connection"
  /** Whether the numbers go on over a reconnect: those of the exchange do, those of a connection do not. */
  readonly spansConnections: boolean
  /** The number that every connection begins with; without, any may be the first. */
  readonly first?: number
}

export const unproven: ContinuityRule = { kind: "none" }

/** Whether the numbers of a stream go on over a reconnect. */
export const spansConnections = (rule: ContinuityRule): rule is NumberedRule =>
  rule.kind !== "none" && rule.scope === "stream" && rule.spansConnections

/** Which numbers a message covers: those above `previous`, up to and including `last`. NaN where it has none. */
export interface Place {
  readonly previous: Integer
  readonly last: Integer
  /** How many of these numbers it leaves out: of a counter, where a message has several parts. None by default. */
  readonly missing?: number
  /** Whether the message stands for itself, whatever came before: a whole book, or the begin of a new numbering. */
  readonly snapshot: boolean
}

/** What was seen of a numbering so far. */
export interface Continuity {
  /** The number up to which messages were seen; NaN before the first one. */
  readonly last: Integer
  /** The newest holes: what arrives late lies in one of them. At most `maxHoles`. */
  readonly holes: ReadonlyArray<Hole>
  /** Messages in a row that had been seen before. */
  readonly repeats: number
}

/** Numbers above `from`, up to and including `to`, that were not seen. */
export interface Hole {
  readonly from: Integer
  readonly to: Integer
}

/** How a message stands to those before it. */
export type Verdict =
  /** The first one, or the next one, or it has no number. */
  | { readonly _tag: "Continues" }
  /** Messages are missing before it, or parts within it; `size` is how many numbers, null where that cannot be known. */
  | { readonly _tag: "Gap"; readonly hole: Hole; readonly size: number | null }
  /** It was missing and arrives late. */
  | { readonly _tag: "OutOfOrder" }
  /** It was seen before. */
  | { readonly _tag: "Repeated" }
  /** A snapshot: what came before is replaced, and nothing is said about it. */
  | { readonly _tag: "Restarted" }
  /** The exchange set its numbers back: it said so in a message that continues the chain, or a message's time does. */
  | { readonly _tag: "SetBack" }

export const nothingSeen: Continuity = { last: Number.NaN, holes: [], repeats: 0 }

/** Judges a message against what was seen before it. Pure: the state is changed by `advance`. */
export const judge = (rule: ContinuityRule["kind"], seen: Continuity, place: Place): Verdict => {
  const verdict = judgeEnds(rule, seen, place)
  const missing = place.missing ?? 0
  if (!(missing > 0) || place.snapshot || (verdict._tag !== "Continues" && verdict._tag !== "Gap"))
    return verdict
  // Which ones is not known, but that they lie between its first and its last.
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

/** What was seen after a message with this verdict. Remembers so many holes. */
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

/** What another connection has seen of a numbering: the numbers above `start`, but for its holes. NaN before the first. */
export interface DeliveredNumbers {
  readonly start: Integer
  readonly seen: Continuity
}

/** What of a hole another connection has not delivered either, so far. */
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

/** How many numbers a hole has; null where that cannot be known. */
export const sizeOf = (rule: ContinuityRule["kind"], { from, to }: Hole): number | null =>
  rule === "chain" ? null : distance(from, to)

/** The number that was to come and the one that came, as the exchange writes them. */
export const numbersAround = (
  rule: ContinuityRule["kind"],
  { from, to }: Hole
): { readonly expected: Integer; readonly received: Integer } =>
  rule === "chain" ? { expected: from, received: to } : { expected: plus(from, 1), received: plus(to, 1) }

/** Holes of a stream that are remembered, to know what arrives late from what arrives twice. */
export const maxHoles = 16

/** So many repeated messages in a row, and none that is new, mean that the numbers were set back unseen. */
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

/** A hole without the numbers of a message that lies in it. */
const without = (hole: Hole, { last, previous }: Place): ReadonlyArray<Hole> =>
  previous < hole.from || last > hole.to
    ? [hole]
    : [
        { from: hole.from, to: previous },
        { from: last, to: hole.to }
      ].filter(({ from, to }) => to > from)
