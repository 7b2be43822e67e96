import { Chunk, HashMap, Option } from "effect"
import { dateOf, microsOf } from "./Archive.ts"
import { beginOf, during } from "./Coverage/during.ts"
import type { Doubt, DropWindow, Gap, StreamCoverage } from "./Coverage/state.ts"
import { isUnset } from "./Coverage/unset.ts"
import { microsPerDay, microsPerHour } from "./micros.ts"
import type { StreamId } from "./StreamId.ts"
import { difference, intersection, lengthOf, union, type Window } from "./Window.ts"

/** Why a time should be left out of a study. */
export type Reason = "down" | "gap" | "dropped" | Doubt["reason"]

export interface ExcludedWindow extends Window {
  readonly reasons: ReadonlyArray<Reason>
}

/** An hour of a day: how long the stream was to be recorded, and how much of that is a hole. Microseconds. */
export interface HourCoverage {
  readonly wanted: number
  readonly excluded: number
  readonly messages: number
}

/**
 * A stream on one day, or on the requested part of it. Messages are counted by the hour, and an hour that is only partly in range
 * is counted whole. The percentages refer to the time in which the stream was to be recorded, and add up to 100.
 */
export interface DayCoverage {
  readonly stream: StreamId
  readonly date: string
  readonly messages: number
  /** How long the stream was to be recorded, microseconds. */
  readonly wanted: number
  readonly connected: number
  readonly down: number
  readonly gaps: ReadonlyArray<Gap>
  readonly drops: ReadonlyArray<DropWindow>
  readonly doubts: ReadonlyArray<Doubt>
  readonly exclude: ReadonlyArray<ExcludedWindow>
  readonly verifiedPercent: number
  readonly unverifiablePercent: number
  readonly excludedPercent: number
  readonly hours: ReadonlyArray<HourCoverage>
}

/**
 * Returns what is known of a stream on each day of a time range. `isProvable`: the exchange's messages prove that none is
 * missing; otherwise what looks whole is unverifiable. Days on which no clock that works can be, before the first plausible time
 * or after `latest`, are given only if they have messages: nothing is claimed of these.
 */
export const daysOf = (
  coverage: StreamCoverage,
  range: Window,
  isProvable: boolean,
  latest = Number.POSITIVE_INFINITY
): ReadonlyArray<DayCoverage> => {
  const span = spanOf(coverage)
  const [wanted] = intersection([span], [{ from: range.from, to: Math.min(range.to, latest) }])
  const strays = straysOf(coverage, range, latest).filter(
    ({ from, to }) => to <= span.from || from >= Math.min(span.to, latest)
  )
  const straying = strays.map((window) => strayDay(coverage, window, isProvable))
  if (wanted === undefined) return straying
  const days: Array<DayCoverage> = []
  for (let from = microsOf(dateOf(wanted.from)).start; from < wanted.to; from += microsPerDay) {
    const day = dayOf(coverage, from, wanted, isProvable)
    if (day.wanted > 0 || day.messages + day.gaps.length + day.drops.length + day.doubts.length > 0) {
      days.push(day)
    }
  }
  const isBefore = ({ date }: DayCoverage) => date < dateOf(wanted.from)
  return [...straying.filter(isBefore), ...days, ...straying.filter((day) => !isBefore(day))]
}

/** The hours with messages on each day that no clock that works can show, as far as they are in range. */
const straysOf = ({ messages }: StreamCoverage, range: Window, latest: number): ReadonlyArray<Window> => {
  const days = new Map<string, Window>()
  for (const hour of HashMap.keys(messages)) {
    const [from, to] = [hour * microsPerHour, (hour + 1) * microsPerHour]
    if (!(isUnset(from) || from >= latest) || from >= range.to || to <= range.from) continue
    const date = dateOf(from)
    const known = days.get(date) ?? { from, to }
    days.set(date, { from: Math.min(known.from, from), to: Math.max(known.to, to) })
  }
  return Array.from(days.values()).sort((a, b) => a.from - b.from)
}

const strayDay = (coverage: StreamCoverage, hours: Window, isProvable: boolean): DayCoverage => {
  const stray: StreamCoverage = {
    ...coverage,
    wanted: hours,
    begunAt: Option.some(hours.from),
    unwanted: Chunk.empty(),
    connected: Chunk.empty(),
    gaps: Chunk.empty(),
    drops: Chunk.empty(),
    doubts: Chunk.of({ ...hours, reason: "clock" as const })
  }
  return dayOf(stray, microsOf(dateOf(hours.from)).start, hours, isProvable)
}

/** Returns the times in which the stream was to be recorded. */
export const wantedIn = (coverage: StreamCoverage, within: Window): ReadonlyArray<Window> =>
  difference(intersection([spanOf(coverage)], [within]), coverage.unwanted)

/** Returns the times to be left out of those in which the stream was to be recorded, with the reasons for each. */
export const holesOf = (whole: StreamCoverage, within: Window): ReadonlyArray<ExcludedWindow> => {
  const coverage = during(whole, within)
  const wanted = wantedIn(coverage, within)
  const causes: ReadonlyArray<readonly [Reason, Iterable<Window>]> = [
    ["down", difference(wanted, coverage.connected)],
    ["gap", coverage.gaps],
    ["dropped", coverage.drops],
    ...Array.from(coverage.doubts, (doubt) => [doubt.reason, [doubt]] as const)
  ]
  const clipped = causes.flatMap(([reason, windows]) =>
    intersection(windows, wanted).map((window) => ({ ...window, reason }))
  )
  // Each lies in one window of their union, so both are walked once, in order.
  const order = new Map(causes.map(([reason], i) => [reason, i]))
  const inOrder = clipped.toSorted((a, b) => a.from - b.from)
  let next = 0
  return union(clipped).map((window) => {
    const reasons = new Set<Reason>()
    for (let cause = inOrder[next]; cause !== undefined && cause.from < window.to; cause = inOrder[++next]) {
      reasons.add(cause.reason)
    }
    return {
      ...window,
      reasons: Array.from(reasons).sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0))
    }
  })
}

/** At least one microsecond, for a stream of which only a moment is known. */
const spanOf = (coverage: StreamCoverage): Window => {
  const from = beginOf(coverage)
  return { from, to: Math.max(coverage.wanted.to, from + 1) }
}

const dayOf = (whole: StreamCoverage, from: number, range: Window, isProvable: boolean): DayCoverage => {
  const day = { from, to: from + microsPerDay }
  const coverage = during(whole, day)
  const within = { from: Math.max(day.from, range.from), to: Math.min(day.to, range.to) }
  const exclude = holesOf(coverage, within)
  const windows = wantedIn(coverage, within)
  const wanted = lengthOf(windows)
  const excluded = lengthOf(exclude)
  const connected = lengthOf(intersection(coverage.connected, windows))
  /** What began before the range belongs to its first day. */
  const beginsIn = (window: Window) => {
    const from = window.to > range.from ? Math.max(window.from, range.from) : window.from
    return from >= within.from && from < within.to
  }
  const hours = Array.from({ length: 24 }, (_, n): HourCoverage => {
    const hour = { from: from + n * microsPerHour, to: from + (n + 1) * microsPerHour }
    const isAsked = intersection([hour], [within]).length > 0
    return {
      wanted: lengthOf(intersection([hour], windows)),
      excluded: lengthOf(intersection([hour], exclude)),
      messages: isAsked
        ? Option.getOrElse(HashMap.get(coverage.messages, hour.from / microsPerHour), () => 0)
        : 0
    }
  })
  const percent = (micros: number) => (wanted === 0 ? 0 : (100 * micros) / wanted)
  return {
    stream: coverage.stream,
    date: dateOf(from),
    messages: hours.reduce((sum, { messages }) => sum + messages, 0),
    wanted,
    connected,
    down: wanted - connected,
    gaps: Chunk.toReadonlyArray(coverage.gaps).filter(beginsIn),
    drops: Chunk.toReadonlyArray(coverage.drops).filter(beginsIn),
    doubts: Chunk.toReadonlyArray(coverage.doubts).filter(beginsIn),
    exclude,
    verifiedPercent: isProvable ? percent(wanted - excluded) : 0,
    unverifiablePercent: isProvable ? 0 : percent(wanted - excluded),
    excludedPercent: percent(excluded),
    hours
  }
}
