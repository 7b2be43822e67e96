import { Chunk, HashMap, Option } from "effect"
import type { GapDetected } from "../ExchangeEvent.ts"
import type { Integer } from "../Integer.ts"
import type { Heard } from "../JournalEvent.ts"
import type { StreamId } from "../StreamId.ts"
import { type LastingReason, lastingReasons } from "../Unsettled.ts"
import type { Window } from "../Window.ts"

/** Messages that are missing between two received ones. */
export interface Gap extends Window {
  /** How many are missing; null if unknown. */
  readonly size: number | null
  readonly rule: (typeof GapDetected.Type)["rule"]
  readonly scope: (typeof GapDetected.Type)["scope"]
  /** The exchange's numbers between which they are missing. */
  readonly expected: Integer
  readonly received: Integer
}

/** Messages that were dropped from our queue. */
export interface DropWindow extends Window {
  readonly count: number
}

/** A time on a connection. */
export interface ConnectedWindow extends Window {
  /** The process it belongs to, counted from the start of the journal. */
  readonly process: number
}

/**
 * Why a time can be in doubt. `journal`: entries of the journal are missing that may have said anything. `archive`: the archive
 * does not have the object that the messages left the database for. `unproven`: the process ended, and no later message proves
 * that none is missing since the last one.
 */
export const doubtReasons = [
  "reconnect",
  "snapshot",
  "set back",
  "untold",
  "id reused",
  "journal",
  "archive",
  "clock",
  "unproven",
  ...lastingReasons
] as const

/** A time for which it is unknown whether messages are missing. */
export interface Doubt extends Window {
  readonly reason: (typeof doubtReasons)[number]
}

/** What the journal says about a stream. Times are in microseconds since the epoch. */
export interface StreamCoverage {
  readonly stream: StreamId
  /** From when to when it was to be recorded. */
  readonly wanted: Window
  /** The times in between when it was not to be recorded. */
  readonly unwanted: Chunk.Chunk<Window>
  /** Whether the running process is to record it. */
  readonly isWanted: boolean
  /** Whether the running process is to record it by name, and so regardless of what the exchange lists. */
  readonly isNamed: boolean
  /** Since when its symbol has been delisted. */
  readonly delistedAt: Option.Option<number>
  readonly connected: Chunk.Chunk<ConnectedWindow>
  /** The open connections: since when each has been open, by name. */
  readonly open: HashMap.HashMap<string, number>
  /** Message counts by hour of receipt, in hours since the epoch. */
  readonly messages: HashMap.HashMap<number, number>
  readonly gaps: Chunk.Chunk<Gap>
  readonly drops: Chunk.Chunk<DropWindow>
  readonly doubts: Chunk.Chunk<Doubt>
  /**
   * Entries were missing up to this time, and it is not known yet whether the stream was connected then. A later event settles
   * it: a message without a new connection before it, or the end of a connection that was made meanwhile.
   */
  readonly unsureSince: Option.Option<number>
  /** Receive time of the last message that the journal counts; 0 if it counts none. */
  readonly lastMessageAt: number
  /** The first time of which anything is known, if it was noted: see `beginOf`. */
  readonly begunAt: Option.Option<number>
  /** Since when this journal has counted no messages, if it has not counted any. */
  readonly noneSince: Option.Option<number>
  /** Messages that were counted and are in no finished archive, in order of receipt; `messages` received since `from`. */
  readonly unarchived: ReadonlyArray<{ readonly from: number; readonly messages: number }>
  /** Messages that were archived before they were counted. */
  readonly uncounted: number
  /** Since when it has been in doubt, by reason. */
  readonly lasting: HashMap.HashMap<LastingReason, number>
}

/** What a journal says about the recording: a fold over its entries. */
export interface Coverage {
  readonly streams: HashMap.HashMap<string, StreamCoverage>
  /** How many processes have ended. */
  readonly process: number
  /** The time, microseconds, up to which the running process has committed what it received and journalled its holes. */
  readonly lastSeen: number
  /** When the running process had last heard its connections by then, if the journal says so. */
  readonly heard: Heard | undefined
  /** The time up to which the journal speaks, microseconds. */
  readonly through: number
  /** The id of the last entry: if the next one does not follow it, entries are missing. */
  readonly lastId: number
  /** Since when entries have been missing, while none has come after them. */
  readonly missingSince: Option.Option<number>
  /** Times whose entries are missing: they are in doubt for every stream. */
  readonly missing: Chunk.Chunk<Window>
  /** The time until which entries of the running process were missing, if any were. */
  readonly unsureSince: Option.Option<number>
  /** What was received before this time is in archives that the journal records, or in doubt; none if unknown. */
  readonly archivedBefore: Option.Option<number>
  /**
   * Archives of rows that are under way, by archive id, and those that are purged or given up behind an older one of their
   * stream.
   */
  readonly archives: HashMap.HashMap<string, ArchiveUnderWay>
}

export interface ArchiveUnderWay {
  readonly stream: string
  readonly rows: number
  /** The id of its first row: ids grow with the time of receipt. */
  readonly firstId: number
  /** Whether its rows have left the database, or stay there for another archive because it was given up. */
  readonly end?: "purged" | "given up"
}

export const noCoverage: Coverage = {
  streams: HashMap.empty(),
  process: 0,
  lastSeen: 0,
  heard: undefined,
  through: 0,
  lastId: 0,
  missingSince: Option.none(),
  missing: Chunk.empty(),
  unsureSince: Option.none(),
  archivedBefore: Option.none(),
  archives: HashMap.empty()
}

/** Messages from then on, of which it is unknown how many are archived. */
export const endless = (from: number) => ({ from, messages: Number.POSITIVE_INFINITY })

export const isEndless = ({ unarchived }: StreamCoverage): boolean =>
  unarchived.at(-1)?.messages === Number.POSITIVE_INFINITY

export const newStream = (
  { missing, unsureSince }: Coverage,
  stream: StreamId,
  at: number
): StreamCoverage => ({
  stream,
  wanted: { from: at, to: at },
  unwanted: Chunk.empty(),
  isWanted: false,
  isNamed: false,
  delistedAt: Option.none(),
  connected: Chunk.empty(),
  open: HashMap.empty(),
  messages: HashMap.empty(),
  gaps: Chunk.empty(),
  drops: Chunk.empty(),
  doubts: Chunk.map(missing, ({ from, to }) => ({ from, to, reason: "journal" as const })),
  unsureSince,
  lastMessageAt: 0,
  begunAt: Option.none(),
  noneSince: Option.some(0),
  unarchived: Option.toArray(Option.map(unsureSince, endless)),
  uncounted: 0,
  lasting: HashMap.empty()
})
