import { HashMap, Option } from "effect"
import { isImpaired, statusKey } from "./ExchangeStatuses.ts"
import type { JournalEntry, JournalEvent } from "./JournalEvent.ts"
import type { StreamId } from "./StreamId.ts"
import { maxSetBacks } from "./Unsettled.ts"

/**
 * The ids of the entries without which the folds over the journal would reach a different state, by what needs them: the plan and
 * the steps of a pending archive, the open connections, the doubts that last, the delisted symbols, the status messages of
 * exchanges that are not as usual, the running process, the latest times the clock was set back, the latest segment, the latest
 * epoch. A fold over the journal.
 */
export type NeededEntries = HashMap.HashMap<string, ReadonlyArray<number>>

export const noneNeeded: NeededEntries = HashMap.empty()

/** Returns the ids of the entries that must stay whatever their age. */
export const neededIds = (needed: NeededEntries): ReadonlySet<number> =>
  new Set(Array.from(HashMap.values(needed)).flat())

/** Returns what is needed after an entry. */
export const applyToNeeded = (needed: NeededEntries, { event, id }: JournalEntry): NeededEntries => {
  switch (event._tag) {
    case "JournalSegmentPlanned":
    case "ArchivePlanned":
      return HashMap.set(needed, event.plan.archiveId, [id])
    case "ArchiveWritten":
    case "ArchiveUploaded":
    case "ArchiveVerified":
    case "ArchiveRowsPurged":
    case "ArchiveFailed":
      return HashMap.modify(needed, event.archiveId, (ids) => [...ids, id])
    case "ArchivePurged":
    case "ArchiveAbandoned":
      return HashMap.remove(needed, event.archiveId)
    case "JournalSegmentArchived": {
      // The latest one says how far the journal is archived; without its end it would be pending again.
      const [plan] = Option.getOrElse(HashMap.get(needed, event.archiveId), () => [])
      return plan === undefined
        ? needed
        : HashMap.set(HashMap.remove(needed, event.archiveId), "segment", [plan, id])
    }
    case "JournalEpochBegan":
      return HashMap.set(needed, "epoch", [id])
    case "ProcessStarted":
      return HashMap.set(withoutProcess(needed), `${ofProcess}start`, [id])
    case "ProcessStopped":
      return withoutProcess(needed)
    case "ClockStepped":
      return HashMap.set(event.to < event.from ? withSetBack(needed, id) : needed, `${ofProcess}clock`, [id])
    case "SettingsReloaded":
      return append(
        event.ended.reduce((rest, stream) => delistDoubts(rest, doubtsOfStream(stream)), needed),
        `${ofProcess}recording`,
        id
      )
    case "RecordingStarted":
      return append(needed, `${ofProcess}recording`, id)
    case "StreamConnected":
      return HashMap.set(needed, connectionKey(event), [id])
    case "StreamDisconnected":
      return HashMap.remove(needed, connectionKey(event))
    case "StreamSilent":
    case "StreamUnreadable": {
      // The first one says since when.
      const key = doubtKey(event)
      const isOpen = event._tag === "StreamUnreadable" || event.isOpen === true
      return !isOpen || HashMap.has(needed, key) ? needed : HashMap.set(needed, key, [id])
    }
    case "StreamHeard":
    case "StreamReadable":
      return HashMap.remove(HashMap.remove(needed, doubtKey(event)), beforeDelisting(doubtKey(event)))
    case "SymbolDelisted":
      return HashMap.set(delistDoubts(needed, doubtsOf(event)), delistedKey(event), [id])
    case "SymbolListed":
      return HashMap.remove(needed, delistedKey(event))
    case "ExchangeStatus": {
      if (event.isPassing === true) return needed
      const key = `${ofProcess}status ${statusKey(event)}`
      return isImpaired(event) ? HashMap.set(needed, key, [id]) : HashMap.remove(needed, key)
    }
    default:
      return needed
  }
}

const append = (needed: NeededEntries, key: string, id: number): NeededEntries =>
  HashMap.modifyAt(needed, key, (before) => Option.some([...Option.getOrElse(before, () => []), id]))

/**
 * Ends the doubts, below this prefix, of streams that are not recorded any more, unless that is by name: the next entry of each
 * starts over.
 */
const delistDoubts = (needed: NeededEntries, prefix: string): NeededEntries =>
  HashMap.reduce(needed, needed, (all, ids, key) => {
    if (!key.startsWith(prefix) || key.endsWith(delisted)) return all
    const earlier = Option.getOrElse(HashMap.get(all, beforeDelisting(key)), () => ids)
    return HashMap.set(HashMap.remove(all, key), beforeDelisting(key), earlier)
  })

/** Times that came twice stay in doubt for good. */
const withSetBack = (needed: NeededEntries, id: number): NeededEntries =>
  HashMap.modifyAt(needed, "set back", (before) =>
    Option.some([...Option.getOrElse(before, () => []), id].slice(-maxSetBacks))
  )

/** Prefix of what ends with the process. */
const ofProcess = "process "

const withoutProcess = (needed: NeededEntries): NeededEntries =>
  HashMap.filter(needed, (_, key) => !key.startsWith(ofProcess))

interface Symbol {
  readonly exchange: string
  readonly symbol: string
}

const symbolKey = ({ exchange, symbol }: Symbol): string => `${ofProcess}${exchange}:${symbol}:`

const delistedKey = ({ exchange, symbol }: Symbol): string => `${ofProcess}delisted ${exchange}:${symbol}`

const doubtKey = (event: { readonly _tag: JournalEvent["_tag"]; readonly stream: StreamId }): string => {
  const reason = event._tag === "StreamSilent" || event._tag === "StreamHeard" ? "silent" : "unreadable"
  return `${doubtsOfStream(event.stream)}${reason}`
}

const doubtsOfStream = (stream: StreamId): string => `${doubtsOf(stream)}${stream.dataType} `

const doubtsOf = ({ exchange, symbol }: Symbol): string => `${ofProcess}doubt ${exchange}:${symbol}:`

const delisted = " before it was delisted"

const beforeDelisting = (key: string): string => `${key}${delisted}`

const connectionKey = (event: { readonly connection: string; readonly stream: StreamId }): string =>
  `${symbolKey(event.stream)}${event.stream.dataType} ${event.connection}`
