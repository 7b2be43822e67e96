import { Chunk, HashMap, Option } from "effect"
import { microsPerHour } from "../micros.ts"
import type { Window } from "../Window.ts"
import type { Coverage, StreamCoverage } from "./state.ts"

/** What is known of a stream of a time, without what ends before it or begins after it. */
export const during = (of: StreamCoverage, { from, to }: Window): StreamCoverage => {
  const isIn = (window: Window) => window.to >= from && window.from < to
  return {
    ...noteBegin(of),
    unwanted: Chunk.filter(of.unwanted, isIn),
    connected: Chunk.filter(of.connected, isIn),
    gaps: Chunk.filter(of.gaps, isIn),
    drops: Chunk.filter(of.drops, isIn),
    doubts: Chunk.filter(of.doubts, isIn)
  }
}

/**
 * Since when anything of a stream can be missing: its first message ever, or what is known to be missing or in doubt before. That
 * the exchange took it proves nothing. One that never had a message is to be recorded from the begin.
 */
export const beginOf = (of: StreamCoverage): number =>
  of.lastMessageAt === 0 ? of.wanted.from : Math.max(of.wanted.from, earliestOf(of))

/** Notes its begin, before anything is forgotten that it may follow from. */
export const noteBegin = (of: StreamCoverage): StreamCoverage => ({
  ...of,
  begunAt: Option.liftPredicate(earliestOf(of), Number.isFinite)
})

export const earliestOf = ({ begunAt, doubts, drops, gaps, lasting }: StreamCoverage): number => {
  let earliest = Option.getOrElse(begunAt, () => Number.POSITIVE_INFINITY)
  for (const from of HashMap.values(lasting)) earliest = Math.min(earliest, from)
  for (const { from } of gaps) earliest = Math.min(earliest, from)
  for (const { from } of drops) earliest = Math.min(earliest, from)
  // What nothing proves is no sign of a message.
  for (const { from, reason } of doubts) if (reason !== "unproven") earliest = Math.min(earliest, from)
  return earliest
}

/** The state without what it knows of other times, so that it is no larger than what is asked for. */
export const forgetOutside = (state: Coverage, range: Window): Coverage => ({
  ...state,
  streams: HashMap.map(state.streams, (of) => ({
    ...during(of, range),
    messages: HashMap.filter(
      of.messages,
      (_, hour) => (hour + 1) * microsPerHour > range.from && hour * microsPerHour < range.to
    )
  }))
})
