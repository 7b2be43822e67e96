import { Chunk, HashMap, Option } from "effect"
import type { Heard } from "../JournalEvent.ts"
import { closeAll, endsOf } from "./connections.ts"
import { findAgain, unarchivedFrom } from "./missing.ts"
import type { ConnectedWindow, Coverage, StreamCoverage } from "./state.ts"
import { makeSure, unwant } from "./streams.ts"

/**
 * The journal ends here. Whether a message is missing after the last one of a stream, only the next one shows, or what is told
 * of it: of a stream that the running process records nothing is said of the time after it, and of one that an earlier process
 * recorded last it is in doubt. `isAlone`: nobody knows of a database that has what was counted and is in no archive; the same
 * goes for its time.
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
    streams: HashMap.map(ended.streams, (of, key) => {
      const before = HashMap.get(found.streams, key)
      const archived = isAlone ? unarchivedFrom(state, of) : Number.POSITIVE_INFINITY
      return Option.exists(before, ({ isWanted }) => isWanted)
        ? endUnproven(of, Option.getOrElse(before, () => of).wanted.to, archived)
        : doubtFrom(doubtUnproven(of), archived)
    })
  }
}

/** It is said to be wanted up to its last message, or to what was told of it later, but no longer than until `most`. */
const endUnproven = (of: StreamCoverage, told: number, most: number): StreamCoverage => {
  const to = Math.min(most, Math.max(told, of.lastMessageAt + 1))
  return doubtUnproven({
    ...of,
    wanted: { from: of.wanted.from, to: Math.min(of.wanted.to, to) },
    connected: Chunk.map(of.connected, (window) =>
      window.to > to ? { ...window, to: Math.max(window.from, to) } : window
    )
  })
}

/** The archive does not have what was received from then on. */
const doubtFrom = (of: StreamCoverage, from: number): StreamCoverage =>
  from < of.wanted.to
    ? { ...of, doubts: Chunk.append(of.doubts, { from, to: of.wanted.to, reason: "archive" as const }) }
    : of

const doubtUnproven = (of: StreamCoverage): StreamCoverage => {
  const from = Math.max(of.lastMessageAt, of.wanted.from)
  const connected = Chunk.reduce(of.connected, 0, (last, { to }) => Math.max(last, to))
  const to = Math.min(connected, of.wanted.to)
  if (to <= from + 1) return of
  return of.wanted.to - from < lastMoments && of.lastMessageAt > 0
    ? { ...of, wanted: { from: of.wanted.from, to: from + 1 } }
    : { ...of, doubts: Chunk.append(of.doubts, { from, to, reason: "unproven" as const }) }
}

export const seen = (state: Coverage, at: number): Coverage => ({
  ...state,
  lastSeen: Math.max(state.lastSeen, at),
  through: Math.max(state.through, at)
})

/**
 * The process is gone: what it had committed and told of, it had up to `at`, whatever else it told. A stream of which
 * nothing was heard just before is not said to have been wanted in these last moments.
 */
export const endProcess = (state: Coverage, at: number, heard: Heard | undefined): Coverage => ({
  ...state,
  process: state.process + 1,
  heard: undefined,
  unsureSince: Option.none(),
  through: Math.max(state.through, at),
  streams: HashMap.map(state.streams, (of) => endStream(of, at, state.process, heard))
})

/** Microseconds: shorter than that nobody calls it silence. */
const lastMoments = 1_000_000

const endStream = (
  was: StreamCoverage,
  at: number,
  process: number,
  heard: Heard | undefined
): StreamCoverage => {
  const ends = endsOf(was, at, process, heard)
  const of = closeAll(makeSure(was, at), ends)
  const last = ends.reduce((last, { to }) => Math.max(last, to), 0)
  const isBeyond = (window: ConnectedWindow) => window.process === process && window.to > at
  const closed = Chunk.some(of.connected, isBeyond)
    ? Chunk.map(of.connected, (window) =>
        isBeyond(window) ? { ...window, to: Math.max(window.from, at) } : window
      )
    : of.connected
  return {
    ...unwant(of, last > 0 && at - last < lastMoments ? last : at),
    isNamed: false,
    connected: closed
  }
}
