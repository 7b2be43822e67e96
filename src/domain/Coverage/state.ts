import { Chunk, HashMap, Option } from "effect"
import type { GapDetected } from "../ExchangeEvent.ts"
import type { Integer } from "../Integer.ts"
import type { Heard } from "../JournalEvent.ts"
import type { StreamId } from "../StreamId.ts"
import { type LastingReason, lastingReasons } from "../Unsettled.ts"
import type { Window } from "../Window.ts"

/** Messages that are missing between two that were received. */
export interface Gap extends Window {
  /** How many; null if nobody knows. */
  readonly size: number | null
  readonly rule: (typeof GapDetected.Type)["rule"]
  readonly scope: (typeof GapDetected.Type)["scope"]
  /** The numbers between which they are missing, as the exchange counts. */
  readonly expected: Integer
  readonly received: Integer
}

/** Messages that gave way in our queue. */
export interface DropWindow extends Window {
  readonly count: number
}

/** A time on a connection. */
export interface ConnectedWindow extends Window {
  /** Of which process it was, counted from the begin of the journal. */
  readonly process: number
}

/**
 * `journal`: entries of the journal are missing, which may have told of anything. `archive`: the archive does not have the
 * object that the messages left the database for. `unproven`: the process ended, and no later message proves that none is
 * missing since the last one.
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

/** A time of which nobody can say whether messages are missing. */
export interface Doubt extends Window {
  readonly reason: (typeof doubtReasons)[number]
}

/** What the journal says about a stream. Times in microseconds since the epoch. */
export interface StreamCoverage {
  readonly stream: StreamId
  /** When it was first and last to be recorded. */
  readonly wanted: Window
  /** When it was not to be recorded in between. */
  readonly unwanted: Chunk.Chunk<Window>
  /** Whether the running process is to record it. */
  readonly isWanted: boolean
  /** Whether the running process is to record it by its name, so that it does whatever the exchange lists. */
  readonly isNamed: boolean
  /** Since when its symbol is delisted. */
  readonly delistedAt: Option.Option<number>
  readonly connected: Chunk.Chunk<ConnectedWindow>
  /** Since when, by connection: those that are open. */
  readonly open: HashMap.HashMap<string, number>
  /** By the hour of receipt, hours since the epoch. */
  readonly messages: HashMap.HashMap<number, number>
  readonly gaps: Chunk.Chunk<Gap>
  readonly drops: Chunk.Chunk<DropWindow>
  readonly doubts: Chunk.Chunk<Doubt>
  /**
   * Entries were missing up to this time, and whether the stream was connected then is not known yet. What comes of it
   * later tells: a message without a new connection before it, or the end of a connection that was made meanwhile.
   */
  readonly unsureSince: Option.Option<number>
  /** When the last message was received that the journal counts; 0 if it counts none. */
  readonly lastMessageAt: number
  /** The first time of which anything is known, as far as that was noted: see `beginOf`. */
  readonly begunAt: Option.Option<number>
  /** Since when this journal counts none, if it has not counted any. */
  readonly noneSince: Option.Option<number>
  /** Messages that were counted and are in no archive that is done, in the order of receipt; `messages` since `from`. */
  readonly unarchived: ReadonlyArray<{ readonly from: number; readonly messages: number }>
  /** Messages that were archived before they were counted. */
  readonly uncounted: number
  /** Since when it is in doubt, by what makes it so. */
  readonly lasting: HashMap.HashMap<LastingReason, number>
}

/** What a journal says about the recording: a fold over its entries. */
export interface Coverage {
  readonly streams: HashMap.HashMap<string, StreamCoverage>
  /** How many processes have ended. */
  readonly process: number
  /** Up to here, microseconds, the running process has committed what it received, and told of its holes. */
  readonly lastSeen: number
  /** What the running process had heard on its connections by then, as far as the journal says. */
  readonly heard: Heard | undefined
  /** Until when the journal speaks, microseconds. */
  readonly through: number
  /** The id of the last entry: the next one follows on it, or entries are missing. */
  readonly lastId: number
  /** Since when entries are missing, as long as none came after them. */
  readonly missingSince: Option.Option<number>
  /** Times of which entries are missing: they are in doubt for every stream. */
  readonly missing: Chunk.Chunk<Window>
  /** Until when entries of the running process were missing, if any were. */
  readonly unsureSince: Option.Option<number>
  /** What was received before it is in archives that the journal told of, or in doubt, as far as that is known. */
  readonly archivedBefore: Option.Option<number>
  /** Archives of rows that are under way, by archive id, and what is done or given up behind an older one of its stream. */
  readonly archives: HashMap.HashMap<string, ArchiveUnderWay>
}

export interface ArchiveUnderWay {
  readonly stream: string
  readonly rows: number
  /** The id of its first row: they grow with the time of receipt. */
  readonly firstId: number
  /** Whether its rows have left the database, or stay there for another archive, since it was given up. */
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

/** Messages from then on, of which it cannot be known how many are archived. */
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
