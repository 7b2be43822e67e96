import { Chunk, HashMap, Option } from "effect"
import { microsPerHour } from "../micros.ts"
import type { Window } from "../Window.ts"
import type { Coverage, StreamCoverage } from "./state.ts"

/** Restricts what is known of a stream to a time, without what ends before it or begins after it. */
export const during = (coverage: StreamCoverage, { from, to }: Window): StreamCoverage => {
  const isIn = (window: Window) => window.to >= from && window.from < to
  return {
    ...noteBegin(coverage),
    unwanted: Chunk.filter(coverage.unwanted, isIn),
    connected: Chunk.filter(coverage.connected, isIn),
    gaps: Chunk.filter(coverage.gaps, isIn),
    drops: Chunk.filter(coverage.drops, isIn),
    doubts: Chunk.filter(coverage.doubts, isIn)
  }
}

/**
 * Returns the time since when anything of a stream can be missing: its first message ever, or an earlier time that is known to be
 * missing or in doubt. That the exchange accepted the subscription proves nothing. A stream that never had a message is to be
 * recorded from the start.
 */
export const beginOf = (coverage: StreamCoverage): number =>
  coverage.lastMessageAt === 0 ? coverage.wanted.from : Math.max(coverage.wanted.from, earliestOf(coverage))

/** Notes the start of a stream, before anything it follows from is forgotten. */
export const noteBegin = (coverage: StreamCoverage): StreamCoverage => ({
  ...coverage,
  begunAt: Option.liftPredicate(earliestOf(coverage), Number.isFinite)
})

export const earliestOf = ({ begunAt, doubts, drops, gaps, lasting }: StreamCoverage): number => {
  let earliest = Option.getOrElse(begunAt, () => Number.POSITIVE_INFINITY)
  for (const from of HashMap.values(lasting)) earliest = Math.min(earliest, from)
  for (const { from } of gaps) earliest = Math.min(earliest, from)
  for (const { from } of drops) earliest = Math.min(earliest, from)
  // Unproven time is not a sign of a message.
  for (const { from, reason } of doubts) if (reason !== "unproven") earliest = Math.min(earliest, from)
  return earliest
}

/** Forgets what the state knows of other times, so that it is no larger than what was requested. */
export const forgetOutside = (state: Coverage, range: Window): Coverage => ({
  ...state,
  streams: HashMap.map(state.streams, (coverage) => ({
    ...during(coverage, range),
    messages: HashMap.filter(
      coverage.messages,
      (_, hour) => (hour + 1) * microsPerHour > range.from && hour * microsPerHour < range.to
    )
  }))
})
