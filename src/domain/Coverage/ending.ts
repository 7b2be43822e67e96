import { Chunk, HashMap, Option } from "effect"
import type { Heard } from "../JournalEvent.ts"
import { closeAll, endsOf } from "./connections.ts"
import { findAgain, unarchivedFrom } from "./missing.ts"
import type { ConnectedWindow, Coverage, StreamCoverage } from "./state.ts"
import { makeSure, unwant } from "./streams.ts"
import { doubtUnset } from "./unset.ts"

/**
 * Ends the journal here. Only the next message of a stream, or a later event about it, shows whether a message is missing after
 * the last one. So nothing is said about the time after the last message of a stream that the running process records; for a
 * stream that an earlier process recorded last, that time is in doubt. `isAlone`: no database is known that holds what was
 * counted and is in no archive; that time is in doubt too.
 */
export const endOfJournal = (
  state: Coverage,
  lastSeen = 0,
  heard?: Heard,
  { isAlone = false }: { readonly isAlone?: boolean } = {}
): Coverage => {
  const last = Math.max(state.lastSeen, lastSeen)
  const found = findAgain(seen(state, lastSeen), last)
  const ended = endProcess(found, last, heard ?? state.heard)
  return {
    ...ended,
    streams: HashMap.map(ended.streams, (coverage, key) => {
      const before = HashMap.get(found.streams, key)
      const archived = isAlone ? unarchivedFrom(state, coverage) : Number.POSITIVE_INFINITY
      return doubtUnset(
        Option.exists(before, ({ isWanted }) => isWanted)
          ? endUnproven(coverage, Option.getOrElse(before, () => coverage).wanted.to, archived)
          : doubtFrom(doubtUnproven(coverage), archived)
      )
    })
  }
}

/** Treats a stream as wanted up to its last message, or to a later event about it, but no longer than until `most`. */
const endUnproven = (coverage: StreamCoverage, told: number, most: number): StreamCoverage => {
  const to = Math.min(most, Math.max(told, coverage.lastMessageAt + 1))
  return doubtUnproven({
    ...coverage,
    wanted: { from: coverage.wanted.from, to: Math.min(coverage.wanted.to, to) },
    connected: Chunk.map(coverage.connected, (window) =>
      window.to > to ? { ...window, to: Math.max(window.from, to) } : window
    )
  })
}

/** Marks the time from then on as in doubt, since the archive does not have what was received in it. */
const doubtFrom = (coverage: StreamCoverage, from: number): StreamCoverage =>
  from < coverage.wanted.to
    ? {
        ...coverage,
        doubts: Chunk.append(coverage.doubts, { from, to: coverage.wanted.to, reason: "archive" as const })
      }
    : coverage

const doubtUnproven = (coverage: StreamCoverage): StreamCoverage => {
  const from = Math.max(coverage.lastMessageAt, coverage.wanted.from)
  const connected = Chunk.reduce(coverage.connected, 0, (last, { to }) => Math.max(last, to))
  const to = Math.min(connected, coverage.wanted.to)
  if (to <= from + 1) return coverage
  return coverage.wanted.to - from < lastMoments && coverage.lastMessageAt > 0
    ? { ...coverage, wanted: { from: coverage.wanted.from, to: from + 1 } }
    : { ...coverage, doubts: Chunk.append(coverage.doubts, { from, to, reason: "unproven" as const }) }
}

export const seen = (state: Coverage, at: number): Coverage => ({
  ...state,
  lastSeen: Math.max(state.lastSeen, at),
  through: Math.max(state.through, at)
})

/**
 * Ends the process: what it committed and journalled reaches up to `at`, whatever else it journalled. A stream that was not heard
 * just before is not taken to have been wanted in these last moments.
 */
export const endProcess = (state: Coverage, at: number, heard: Heard | undefined): Coverage => ({
  ...state,
  process: state.process + 1,
  heard: undefined,
  unsureSince: Option.none(),
  through: Math.max(state.through, at),
  streams: HashMap.map(state.streams, (coverage) => endStream(coverage, at, state.process, heard))
})

/** Microseconds; anything shorter does not count as silence. */
export const lastMoments = 1_000_000

const endStream = (
  was: StreamCoverage,
  at: number,
  process: number,
  heard: Heard | undefined
): StreamCoverage => {
  const ends = endsOf(was, at, process, heard)
  const coverage = closeAll(makeSure(was, at), ends)
  const last = ends.reduce((last, { to }) => Math.max(last, to), 0)
  const isBeyond = (window: ConnectedWindow) => window.process === process && window.to > at
  const closed = Chunk.some(coverage.connected, isBeyond)
    ? Chunk.map(coverage.connected, (window) =>
        isBeyond(window) ? { ...window, to: Math.max(window.from, at) } : window
      )
    : coverage.connected
  return {
    ...unwant(coverage, last > 0 && at - last < lastMoments ? last : at),
    isNamed: false,
    connected: closed
  }
}
