import { microsOf } from "../../domain/Archive.ts"
import { holesOf } from "../../domain/CoverageReport.ts"
import { difference, intersection, lengthOf, type Window } from "../../domain/Window.ts"
import type { ServerCoverage } from "../coverage/read.ts"

/** What of a stream's day no server has. Microseconds. */
export interface RemainingHoles {
  /** How long any of them was to record it. */
  readonly wanted: number
  readonly length: number
  readonly windows: ReadonlyArray<Window>
}

/** The holes that all servers have in common; a server that was not to record at a time has a hole there. */
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
  const wanted = intersection(
    coverages.map((of) => of.wanted),
    [within]
  )
  const windows = coverages.reduce<ReadonlyArray<Window>>((holes, of) => {
    const own = intersection([of.wanted], [within])
    const missing = [...difference(wanted, own), ...own.flatMap((window) => holesOf(of, window))]
    return intersection(holes, missing)
  }, wanted)
  return { wanted: lengthOf(wanted), length: lengthOf(windows), windows }
}
