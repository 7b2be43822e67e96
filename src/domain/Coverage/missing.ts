import { Chunk, HashMap, Option } from "effect"
import type { JournalEntry, JournalEvent } from "../JournalEvent.ts"
import type { Window } from "../Window.ts"
import { closeAll, endsOf } from "./connections.ts"
import { type Coverage, endless, isEndless, type StreamCoverage } from "./state.ts"

/** How late an event can be journalled, microseconds: later events may be journalled before it. */
const mostLate = 60_000_000

/**
 * Returns the latest time at which what was journalled before this entry can have happened. Storage's own events, and starts, are
 * never late.
 */
export const latestBefore = ({ at, event }: JournalEntry): number =>
  "at" in event && !isNeverLate.has(event._tag) ? at + mostLate : at

const isNeverLate: ReadonlySet<string> = new Set<JournalEvent["_tag"]>([
  "ProcessStarted",
  "RecordingStarted",
  "DiskSpace"
])

/** Entries are missing from here on: what is open may have ended. */
export const lose = (state: Coverage): Coverage => ({
  ...state,
  missingSince: Option.some(state.lastSeen),
  streams: HashMap.map(state.streams, (coverage) =>
    closeAll(coverage, endsOf(coverage, state.lastSeen, state.process, state.heard))
  )
})

/** Resumes with the first entry after the missing ones. */
export const findAgain = (state: Coverage, at: number): Coverage =>
  Option.match(state.missingSince, {
    onNone: () => state,
    onSome: (from) => {
      const window = { from, to: Math.max(at, from + 1) }
      return {
        ...state,
        missingSince: Option.none(),
        missing: Chunk.append(state.missing, window),
        unsureSince: Option.some(window.to),
        streams: HashMap.map(state.streams, (coverage) => ({
          ...doubt(coverage, { ...window, from: Math.min(window.from, unarchivedFrom(state, coverage)) }),
          unsureSince: HashMap.isEmpty(coverage.open) ? Option.some(window.to) : Option.none(),
          // It is unknown how many of the messages counted meanwhile are archived.
          unarchived: isEndless(coverage) ? coverage.unarchived : [...coverage.unarchived, endless(from)],
          uncounted: 0
        }))
      }
    }
  })

/**
 * Returns the time since when messages were counted that may have left the database for an archive of which the journal has no
 * record.
 */
export const unarchivedFrom = (
  { archivedBefore }: Coverage,
  { unarchived: [first] }: StreamCoverage
): number =>
  first === undefined ? Number.POSITIVE_INFINITY : Option.getOrElse(archivedBefore, () => first.from)

/** Puts the stream in doubt from the last message before, since a gap that was not journalled may begin there. */
const doubt = (coverage: StreamCoverage, { from, to }: Window): StreamCoverage => ({
  ...coverage,
  doubts: Chunk.append(coverage.doubts, {
    from: coverage.lastMessageAt > 0 ? Math.min(from, coverage.lastMessageAt) : from,
    to,
    reason: "journal"
  })
})
