import type { StreamCoverage } from "../../domain/Coverage/state.ts"
import { type ExcludedWindow, holesOf, wantedIn } from "../../domain/CoverageReport.ts"
import { type StreamId, streamKey } from "../../domain/StreamId.ts"
import { difference, intersection, type Window } from "../../domain/Window.ts"
import type { ServerCoverage } from "../coverage/read.ts"
import { recordedSpan } from "../merge/unionHoles.ts"

/** A hole of a stream. */
export interface StreamHole {
  readonly stream: StreamId
  readonly window: ExcludedWindow
}

/** The holes of each stream, oldest first: the times in which no server has all of it. */
export const holesOfAll = (
  servers: ReadonlyArray<ServerCoverage>,
  range: Window
): ReadonlyArray<StreamHole> => {
  const byStream = new Map<string, { readonly stream: StreamId; readonly copies: Array<StreamCoverage> }>()
  for (const coverage of servers.flatMap(({ streams }) => streams)) {
    const { stream } = coverage
    const known = byStream.get(streamKey(stream)) ?? { stream, copies: [] }
    known.copies.push(coverage)
    byStream.set(streamKey(stream), known)
  }
  return Array.from(byStream.values())
    .flatMap(({ copies, stream }) =>
      (copies.length === 1 ? copies.flatMap((copy) => holesOf(copy, range)) : commonHoles(copies, range)).map(
        (window) => ({ stream, window })
      )
    )
    .sort((a, b) => a.window.from - b.window.from)
}

/** A server has a hole whenever it was not to record, too. Each hears the same message at another time: a hole is compared with that. */
const commonHoles = (copies: ReadonlyArray<StreamCoverage>, range: Window): ReadonlyArray<ExcludedWindow> => {
  const span = intersection([recordedSpan(copies)], [range])
  const holes = copies.flatMap((copy) => holesOf(copy, range))
  return copies
    .map(
      (copy): ReadonlyArray<Window> => [
        ...holesOf(copy, range).map(({ from, to }) => ({ from: from - slack, to: to + slack })),
        ...difference(span, wantedIn(copy, range))
      ]
    )
    .reduce((common, lacking) => intersection(common, lacking), span)
    .map((window) => ({
      ...window,
      reasons: [
        ...new Set(
          holes
            .filter(({ from, to }) => from < window.to && to > window.from)
            .flatMap(({ reasons }) => reasons)
        )
      ]
    }))
}

/** The maximum time between two servers hearing the same message, microseconds. */
const slack = 500_000
