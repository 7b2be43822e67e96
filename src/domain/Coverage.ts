import { HashMap, Option } from "effect"
import { applyToStream } from "./Coverage/applyToStream.ts"
import { endArchive } from "./Coverage/archives.ts"
import { cameTwice, settle, stepClock } from "./Coverage/clock.ts"
import { endProcess, seen } from "./Coverage/ending.ts"
import { joined } from "./Coverage/journals.ts"
import { reload } from "./Coverage/reload.ts"
import type { Coverage } from "./Coverage/state.ts"
import { delist, reach, update, updateSymbol, want } from "./Coverage/streams.ts"
import { doubtBehind, isSet, isUnset } from "./Coverage/unset.ts"
import type { JournalEntry, JournalEvent } from "./JournalEvent.ts"
import { streamKey } from "./StreamId.ts"

/**
 * Returns the state after an entry. If its id does not follow the previous one, entries are missing, and everything from the last
 * sign of life before it to this one is in doubt. An id that is not above the previous one means the database was restored from a
 * copy: the journal starts over.
 */
export const applyToCoverage = (before: Coverage, entry: JournalEntry): Coverage => {
  const state = applyEvent(joined(before, entry), entry)
  return entry.id === 0 || entry.isKept === true ? state : { ...state, lastId: entry.id }
}

const applyEvent = (state: Coverage, { at, event }: JournalEntry): Coverage => {
  switch (event._tag) {
    case "ProcessStarted": {
      const { heard, lastSeen = state.lastSeen, unsettled } = event.previous ?? {}
      const ended = endProcess(settle(state, lastSeen, unsettled), lastSeen, heard)
      return {
        ...begunAt(ended, at, lastSeen),
        lastSeen: at,
        through: at
      }
    }
    case "ProcessStopped": {
      const last = Math.max(state.lastSeen, event.lastSeen ?? at)
      const told = settle(state, last, event.unsettled)
      return { ...endProcess({ ...told, lastSeen: last }, last, event.heard), through: at }
    }
    case "ProcessAlive":
      return {
        ...settle(seen(state, event.lastSeen), event.lastSeen, event.unsettled),
        heard: event.heard,
        archivedBefore: Option.orElse(Option.fromNullable(event.archivedBefore), () => state.archivedBefore)
      }
    case "RecordingStarted":
      return event.streams.reduce(
        (all, stream) => update(all, stream, at, (coverage) => ({ ...want(coverage, at), isNamed: true })),
        state
      )
    case "SettingsReloaded":
      return reload(state, at, event)
    case "SymbolListed":
      return updateSymbol(state, event, (coverage) =>
        Option.isSome(coverage.delistedAt) ? want(reach(coverage, at), at) : coverage
      )
    case "SymbolDelisted":
      return updateSymbol(state, event, (coverage) =>
        coverage.isWanted && !coverage.isNamed ? delist(coverage, at) : coverage
      )
    case "ArchivePlanned": {
      const { archiveId, firstId, stream } = event.plan
      const key = streamKey(stream)
      // It takes over the rows of abandoned archives.
      const others = HashMap.filter(
        state.archives,
        (archive) => archive.end !== "given up" || archive.stream !== key || archive.firstId < firstId
      )
      return { ...state, archives: HashMap.set(others, archiveId, { stream: key, rows: 0, firstId }) }
    }
    case "ArchiveWritten":
      return {
        ...state,
        archives: HashMap.modify(state.archives, event.archiveId, (archive) => ({
          ...archive,
          rows: event.file.rows
        }))
      }
    case "ArchiveAbandoned":
      return endArchive(state, event.archiveId, "given up")
    case "ArchivePurged":
      return endArchive(state, event.archiveId, "purged")
    case "ClockStepped":
      return stepClock(state, event)
    default:
      return "stream" in event ? applyToStream(state, at, event) : state
  }
}

/** The state when a process starts, by a clock that may be another one than that of the process before it. */
const begunAt = (state: Coverage, at: number, lastSeen: number): Coverage => {
  if (isSet(lastSeen, at)) {
    return { ...state, streams: HashMap.map(state.streams, (of) => doubtBehind(of, at)) }
  }
  return at < lastSeen && !isUnset(at) ? cameTwice(state, { from: at, to: lastSeen + 1 }) : state
}

/** Tags of events that say nothing about the recording, mostly steps of archives: coverage is the same without them. */
export const withoutBearing: ReadonlySet<string> = new Set<JournalEvent["_tag"]>([
  "ArchiveUploaded",
  "ArchiveVerified",
  "ArchiveRowsPurged",
  "ArchiveFailed",
  "JournalSegmentPlanned",
  "JournalSegmentArchived",
  "JournalPruned",
  "ConnectionOpened",
  "ConnectionEnded"
])
