import { Chunk, HashMap, Option } from "effect"
import { microsOf } from "../../domain/Archive.ts"
import { beginOf } from "../../domain/Coverage/during.ts"
import type { Gap, StreamCoverage } from "../../domain/Coverage/state.ts"
import { holesOf, wantedIn } from "../../domain/CoverageReport.ts"
import { greatest, type Integer, least } from "../../domain/Integer.ts"
import { microsPerHour } from "../../domain/micros.ts"
import { difference, intersection, lengthOf, union, type Window } from "../../domain/Window.ts"
import { isNumbered } from "../../exchange/registry.ts"
import type { ServerCoverage } from "../coverage/read.ts"

/** What no server has of a stream's day. Microseconds. */
export interface RemainingHoles {
  /** From the first to the last time at which any server was to record it. */
  readonly wanted: number
  readonly length: number
  readonly windows: ReadonlyArray<Window>
}

/** What was merged of a stream's day from one server. */
export interface Merged {
  /** From the first to the last message of each object. */
  readonly spans: ReadonlyArray<Window>
  /** Messages per hour of receipt, by hours since the epoch. */
  readonly hours: ReadonlyMap<number, number>
  /** The times of objects that could not be read. */
  readonly unread: ReadonlyArray<Window>
}

/**
 * The holes that all servers have in common. A server also has a hole whenever it was not meant to record, including when no
 * server was alive, and where its journal counts messages that were not merged: they are still in its database, or their object
 * is gone. If the exchange numbers its messages, gaps are compared by these numbers: two servers can miss the same message at
 * different times of receipt. Everything else is compared by time, gaps with some slack.
 */
export const unionHoles = (
  servers: ReadonlyArray<ServerCoverage>,
  day: {
    readonly exchange: string
    readonly symbol: string
    readonly dataType: string
    readonly date: string
  },
  range: Window,
  merged: ReadonlyMap<string, Merged>
): RemainingHoles => {
  const { end, start } = microsOf(day.date)
  const within = { from: Math.max(start, range.from), to: Math.min(end, range.to) }
  const coverages = servers.flatMap(({ server, streams }) =>
    streams
      .filter(
        ({ stream }) =>
          stream.exchange === day.exchange && stream.symbol === day.symbol && stream.dataType === day.dataType
      )
      .map((coverage) => ({ coverage, merged: merged.get(server) }))
  )
  const wanted = wantedBy(
    coverages.map(({ coverage }) => coverage),
    within
  )
  const [first, ...others] = coverages.map(({ coverage, merged }) =>
    holesIn(coverage, wanted, { within, numbered: isNumbered(day), merged })
  )
  const common = first === undefined ? undefined : others.reduce(meet, first)
  const windows = common === undefined ? [] : intersection([...common.windows, ...common.gaps], wanted)
  return { wanted: lengthOf(wanted), length: lengthOf(windows), windows }
}

/** From the first to the last time of all servers, except when they know that the symbol was not listed. */
const wantedBy = (coverages: ReadonlyArray<StreamCoverage>, within: Window): ReadonlyArray<Window> => {
  if (coverages.length === 0) return []
  const unwanted = difference(
    coverages.flatMap((coverage) => Array.from(coverage.unwanted)),
    coverages.flatMap((coverage) => wantedIn(coverage, within))
  )
  return difference(intersection([recordedSpan(coverages)], [within]), unwanted)
}

/** From the first to the last time for which any of these servers, at least one, is to have a stream. */
export const recordedSpan = (coverages: ReadonlyArray<StreamCoverage>): Window => ({
  from: Math.min(...coverages.map(beginOf)),
  to: Math.max(...coverages.flatMap((coverage) => [coverage.wanted.to, beginOf(coverage) + 1]))
})

/** What a server lacks. */
interface UnionHoles {
  /** In order and not touching. */
  readonly windows: ReadonlyArray<Window>
  /** Gaps with known numbers of the missing messages: from `first` up to, but excluding, `end`; in order. */
  readonly gaps: ReadonlyArray<NumberedGap>
}

interface NumberedGap extends Window {
  readonly first: Integer
  readonly end: Integer
}

/** The maximum time between two servers hearing the same message, microseconds. */
const slack = 500_000

/** Numbers are compared within the day and this much around it: an exchange can restart them. */
const around = microsPerHour

const widened = ({ from, to }: Window): Window => ({ from: from - slack, to: to + slack })

const holesIn = (
  coverage: StreamCoverage,
  wanted: ReadonlyArray<Window>,
  options: {
    readonly within: Window
    readonly numbered: boolean
    readonly merged: Merged | undefined
  }
): UnionHoles => {
  const { merged, numbered, within } = options
  const near = Chunk.filter(
    coverage.gaps,
    ({ from, to }) => to > within.from - around && from < within.to + around
  )
  const hasNumbers = ({ expected, received }: Gap) => numbered && received > expected
  const own = wantedIn(coverage, within)
  return {
    windows: union([
      ...difference(wanted, own),
      ...holesOf({ ...coverage, gaps: Chunk.empty() }, within),
      ...absentIn(coverage, merged, within, own),
      ...intersection(merged?.unread ?? [], wanted),
      ...intersection(
        Chunk.map(
          Chunk.filter(near, (gap) => !hasNumbers(gap)),
          widened
        ),
        wanted
      )
    ]),
    gaps: disjoint(
      Array.from(Chunk.filter(near, hasNumbers), ({ expected, from, received, to }) => ({
        from,
        to,
        first: expected,
        end: received
      }))
    )
  }
}

/**
 * Where messages counted by the journal are not among the merged ones: in the hours that have too few, outside the objects,
 * each of which has all messages between its first and its last.
 */
const absentIn = (
  coverage: StreamCoverage,
  merged: Merged | undefined,
  within: Window,
  own: ReadonlyArray<Window>
): ReadonlyArray<Window> => {
  const hours: Array<Window> = []
  for (let hour = Math.floor(within.from / microsPerHour); hour * microsPerHour < within.to; hour++) {
    const counted = Option.getOrElse(HashMap.get(coverage.messages, hour), () => 0)
    if (counted > (merged?.hours.get(hour) ?? 0)) {
      hours.push({ from: hour * microsPerHour, to: (hour + 1) * microsPerHour })
    }
  }
  const outside = difference(intersection(hours, own), merged?.spans ?? [])
  // If a clock was set back, objects can lie in the time of one that is gone.
  const others = hours.filter((hour) => intersection([hour], outside).length === 0)
  return [...outside, ...others]
}

/** Sorts by number and combines overlapping gaps. */
const disjoint = (gaps: ReadonlyArray<NumberedGap>): ReadonlyArray<NumberedGap> => {
  const list: Array<NumberedGap> = []
  for (const gap of gaps.toSorted((a, b) => (a.first < b.first ? -1 : Number(a.first > b.first)))) {
    const last = list.at(-1)
    if (last === undefined || gap.first >= last.end) list.push(gap)
    else {
      list[list.length - 1] = {
        first: last.first,
        end: greatest(last.end, gap.end),
        from: Math.min(last.from, gap.from),
        to: Math.max(last.to, gap.to)
      }
    }
  }
  return list
}

const meet = (a: UnionHoles, b: UnionHoles): UnionHoles => ({
  windows: intersection(a.windows, b.windows),
  gaps: disjoint([
    ...meetByNumber(a.gaps, b.gaps),
    ...a.gaps.flatMap((gap) => meetByTime(gap, b.windows)),
    ...b.gaps.flatMap((gap) => meetByTime(gap, a.windows))
  ])
})

/** The messages around a remaining hole are on the server whose own hole starts later or ends earlier. */
const meetByNumber = (
  left: ReadonlyArray<NumberedGap>,
  right: ReadonlyArray<NumberedGap>
): ReadonlyArray<NumberedGap> => {
  const common: Array<NumberedGap> = []
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    const a = left[i]
    const b = right[j]
    if (a === undefined || b === undefined) break
    const first = greatest(a.first, b.first)
    const end = least(a.end, b.end)
    if (first < end) {
      const from = a.first === b.first ? Math.min(a.from, b.from) : a.first > b.first ? a.from : b.from
      const to = a.end === b.end ? Math.max(a.to, b.to) : a.end < b.end ? a.to : b.to
      common.push({ first, end, from: Math.min(from, to), to: Math.max(from, to) })
    }
    if (a.end < b.end) i++
    else j++
  }
  return common
}

const meetByTime = (gap: NumberedGap, windows: ReadonlyArray<Window>): ReadonlyArray<NumberedGap> => {
  const wide = widened(gap)
  const common: Array<NumberedGap> = []
  for (let i = firstEndingAfter(windows, wide.from); i < windows.length; i++) {
    const window = windows[i]
    if (window === undefined || window.from >= wide.to) break
    common.push({ ...gap, from: Math.max(window.from, wide.from), to: Math.min(window.to, wide.to) })
  }
  return common
}

/** The first window that ends after a time. The windows are in order and do not touch. */
const firstEndingAfter = (windows: ReadonlyArray<Window>, time: number): number => {
  let low = 0
  let high = windows.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((windows[middle]?.to ?? time) > time) high = middle
    else low = middle + 1
  }
  return low
}
