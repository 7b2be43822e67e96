import { Chunk, HashMap, Option } from "effect"
import type { ClockStepped } from "../JournalEvent.ts"
import { streamKey } from "../StreamId.ts"
import type { Unsettled } from "../Unsettled.ts"
import type { Window } from "../Window.ts"
import type { Coverage, Doubt, StreamCoverage } from "./state.ts"
import { beginDoubt, endDoubts, makeSure, reach } from "./streams.ts"
import { doubtBehind, isSet, sinceOf } from "./unset.ts"

/** Marks a time that the wall clock ran through twice: what is recorded there can be from either pass. */
export const cameTwice = (state: Coverage, { from, to }: Window): Coverage => ({
  ...state,
  streams: HashMap.map(state.streams, (coverage) => ({
    ...coverage,
    doubts: Chunk.append(coverage.doubts, { from, to, reason: "clock" as const })
  }))
})

/** Applies what was journalled earlier, if entries of the process that may have contained it are missing. */
export const settle = (state: Coverage, at: number, unsettled: Unsettled | undefined): Coverage => {
  if (unsettled === undefined || Option.isNone(state.unsureSince)) return state
  const { doubts, more, setBack } = unsettled
  const twice = setBack
    .map(({ from, to }) => ({ from: to, to: from + 1 }))
    .filter(({ from, to }) => !Chunk.some(state.missing, (known) => known.from === from && known.to === to))
    .reduce(
      (all, window) => ({ ...cameTwice(all, window), missing: Chunk.append(all.missing, window) }),
      state
    )
  const streams = doubts.reduce(
    (all, { reason, since, stream }) =>
      HashMap.modify(all, streamKey(stream), (coverage) => beginDoubt(coverage, reason, since)),
    twice.streams
  )
  const unnamedDoubt = (coverage: StreamCoverage, since: number): StreamCoverage => ({
    ...coverage,
    doubts: Chunk.append(coverage.doubts, {
      from: Math.min(since, at - 1),
      to: at,
      reason: "journal" as const
    })
  })
  return {
    ...twice,
    streams: more === undefined ? streams : HashMap.map(streams, (coverage) => unnamedDoubt(coverage, more))
  }
}

/** Moves what is open to another time. Nobody can say whether the time in between was recorded: it was skipped, or came twice. */
export const stepClock = (state: Coverage, { from, to }: typeof ClockStepped.Type): Coverage => ({
  ...state,
  through: Math.max(state.through, to),
  // With entries missing it is also in doubt for streams that are not known yet.
  unsureSince: Option.map(state.unsureSince, (since) => Math.min(since, to)),
  missing: Option.isSome(state.unsureSince)
    ? Chunk.append(state.missing, { from: Math.min(from, to), to: Math.max(from, to) + 1 })
    : state.missing,
  streams: HashMap.map(state.streams, (known) => {
    const coverage = makeSure(known, from)
    return coverage.isWanted || !HashMap.isEmpty(coverage.open) || Option.isSome(known.unsureSince)
      ? {
          ...reach(reach(coverage, from), to),
          unsureSince: Option.as(known.unsureSince, to),
          connected: Chunk.appendAll(
            coverage.connected,
            Chunk.fromIterable(
              Array.from(HashMap.values(coverage.open), (since) => ({
                from: sinceOf(since, from),
                to: Math.max(since, from),
                process: state.process
              }))
            )
          ),
          open: HashMap.map(coverage.open, () => to),
          lasting: HashMap.map(coverage.lasting, () => to),
          doubts: Chunk.appendAll(endDoubts(coverage, from).doubts, doubtsOfStep(coverage, from, to))
        }
      : Option.isSome(coverage.delistedAt) && to < from
        ? {
            ...coverage,
            doubts: Chunk.append(coverage.doubts, { from: to, to: from + 1, reason: "clock" as const })
          }
        : coverage
  })
})

/** When the clock is set for the first time, no time is skipped: only what was recorded by another reckoning came twice. */
const doubtsOfStep = (coverage: StreamCoverage, from: number, to: number): Chunk.Chunk<Doubt> => {
  const doubt = (window: Window) => Chunk.of({ ...window, reason: "clock" as const })
  if (isSet(from, to)) return doubtBehind({ ...coverage, doubts: Chunk.empty() }, to).doubts
  if (isSet(to, from)) return doubt({ from, to: from + 1 })
  return doubt({ from: Math.min(from, to), to: Math.max(from, to) + 1 })
}
