import { Chunk } from "effect"
import { microsOf } from "../../domain/Archive.ts"
import type { Gap, StreamCoverage } from "../../domain/Coverage.ts"
import { holesOf, wantedIn } from "../../domain/CoverageReport.ts"
import { difference, intersection, lengthOf, union, type Window } from "../../domain/Window.ts"
import { isNumbered } from "../../exchange/registry.ts"
import type { ServerCoverage } from "../coverage/read.ts"

/** What of a stream's day no server has. Microseconds. */
export interface RemainingHoles {
  /** How long any of them was to record it. */
  readonly wanted: number
  readonly length: number
  readonly windows: ReadonlyArray<Window>
}

/**
 * The holes that all servers have in common; a server that was not to record at a time has a hole there. Where the
 * exchange numbers its messages, gaps are compared by these numbers: two servers may miss the same message at different
 * times of receipt. All else is compared by time, gaps with some slack.
 */
export const unionHoles = (
  servers: ReadonlyArray<ServerCoverage>,
  day: {
    readonly exchange: string
    readonly symbol: string
    readonly dataType: string
    readonly date: string
  },
  range: Window
): RemainingHoles => {
  const { end, start } = microsOf(day.date)
  const within = { from: Math.max(start, range.from), to: Math.min(end, range.to) }
  const coverages = servers.flatMap(({ streams }) =>
    streams.filter(
      ({ stream }) =>
        stream.exchange === day.exchange && stream.symbol === day.symbol && stream.dataType === day.dataType
    )
  )
  const wanted = union(coverages.flatMap((of) => wantedIn(of, within)))
  const [first, ...others] = coverages.map((of) => holesIn(of, wanted, isNumbered(day)))
  const common = first === undefined ? undefined : others.reduce(meet, first)
  const windows = common === undefined ? [] : intersection(union([...common.windows, ...common.gaps]), wanted)
  return { wanted: lengthOf(wanted), length: lengthOf(windows), windows }
}

/** What a server has not. */
interface Holes {
  readonly windows: ReadonlyArray<Window>
  /** Those of which the numbers of the missing messages are known: from `first` up to, and without, `end`. */
  readonly gaps: ReadonlyArray<NumberedGap>
}

interface NumberedGap extends Window {
  readonly first: number
  readonly end: number
}

/** Two servers hear the same message at most so far apart, microseconds. */
const slack = 500_000

const widened = ({ from, to }: Window): Window => ({ from: from - slack, to: to + slack })

const holesIn = (of: StreamCoverage, wanted: ReadonlyArray<Window>, numbered: boolean): Holes => {
  const hasNumbers = ({ expected, received }: Gap) => numbered && received > expected
  const [gaps, others] = [Chunk.filter(of.gaps, hasNumbers), Chunk.filter(of.gaps, (gap) => !hasNumbers(gap))]
  const own = wanted.flatMap((window) => wantedIn(of, window))
  return {
    windows: union([
      ...difference(wanted, own),
      ...own.flatMap((window) => holesOf({ ...of, gaps: Chunk.empty() }, window)),
      ...intersection(Chunk.map(others, widened), wanted)
    ]),
    gaps: Array.from(gaps, ({ expected, from, received, to }) => ({
      from,
      to,
      first: expected,
      end: received
    }))
  }
}

const meet = (a: Holes, b: Holes): Holes => ({
  windows: intersection(a.windows, b.windows),
  gaps: [
    ...a.gaps.flatMap((gap) => b.gaps.flatMap((other) => meetByNumber(gap, other))),
    ...a.gaps.flatMap((gap) => meetByTime(gap, b.windows)),
    ...b.gaps.flatMap((gap) => meetByTime(gap, a.windows))
  ]
})

/** The messages around a hole that is left are on the server whose own hole begins later or ends earlier. */
const meetByNumber = (a: NumberedGap, b: NumberedGap): ReadonlyArray<NumberedGap> => {
  const first = Math.max(a.first, b.first)
  const end = Math.min(a.end, b.end)
  if (first >= end) return []
  const from = a.first === b.first ? Math.min(a.from, b.from) : a.first > b.first ? a.from : b.from
  const to = a.end === b.end ? Math.max(a.to, b.to) : a.end < b.end ? a.to : b.to
  return [{ first, end, from: Math.min(from, to), to: Math.max(from, to) }]
}

const meetByTime = (gap: NumberedGap, windows: ReadonlyArray<Window>): ReadonlyArray<NumberedGap> => {
  const wide = widened(gap)
  return windows.flatMap(({ from, to }) =>
    from < wide.to && to > wide.from
      ? [{ ...gap, from: Math.max(from, wide.from), to: Math.min(to, wide.to) }]
      : []
  )
}
