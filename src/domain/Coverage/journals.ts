import { Chunk, HashMap, Option } from "effect"
import type { JournalEntry } from "../JournalEvent.ts"
import { endOfJournal } from "./ending.ts"
import { findAgain, latestBefore, lose, unarchivedFrom } from "./missing.ts"
import { type Coverage, isEndless } from "./state.ts"

/**
 * Joins an entry to those before it. Drops can be journalled long after they happened, so they do not tell until when entries are
 * missing: the next entry does.
 */
export const joined = (state: Coverage, entry: JournalEntry): Coverage => {
  const { event, id, isKept } = entry
  if (id === 0) return state
  if (isKept === true) return Option.isSome(state.missingSince) ? state : lose(state)
  const isBack = id <= state.lastId
  const isAhead = id > state.lastId + 1 && Option.isNone(state.missingSince)
  const before = isBack
    ? beginJournal(endOfJournal(state), { after: id - 1, goesBack: true })
    : isAhead
      ? lose(state)
      : state
  return event._tag === "MessagesDropped" ? before : findAgain(before, latestBefore(entry))
}

/**
 * Begins another journal of the server with the entry above `after`. Messages that the previous journal counted and that are in
 * no archive are presumed lost with its database. `goesBack`: the database was restored from a copy, and what happened between
 * the last part of the previous journal and this one is unknown.
 */
export const beginJournal = (
  state: Coverage,
  { after, goesBack }: { readonly after: number; readonly goesBack: boolean }
): Coverage => {
  let lostFrom = Number.POSITIVE_INFINITY
  const streams = HashMap.map(state.streams, (coverage) => {
    // Once it is unknown how many messages are archived, their counts do not tell since when.
    const from = isEndless(coverage) ? unarchivedFrom(state, coverage) : coverage.unarchived[0]?.from
    const noneSince = Option.some(state.through)
    if (from === undefined) return { ...coverage, uncounted: 0, noneSince }
    lostFrom = Math.min(lostFrom, from)
    return {
      ...coverage,
      unarchived: [],
      uncounted: 0,
      noneSince,
      doubts: Chunk.append(coverage.doubts, {
        from,
        to: Math.max(state.lastSeen, from + 1),
        reason: "journal" as const
      })
    }
  })
  const isLost = lostFrom < Number.POSITIVE_INFINITY
  return {
    ...state,
    streams,
    lastId: after,
    archivedBefore: Option.none(),
    archives: HashMap.empty(),
    missing: isLost
      ? Chunk.append(state.missing, { from: lostFrom, to: Math.max(state.lastSeen, lostFrom + 1) })
      : state.missing,
    missingSince: goesBack ? Option.some(state.lastSeen) : Option.none()
  }
}
