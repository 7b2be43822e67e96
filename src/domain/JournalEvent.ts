import { Schema } from "effect"
import { ArchiveFile, ArchivePlan, JournalSegment } from "./Archive.ts"
import { ExchangeEvent } from "./ExchangeEvent.ts"
import { Micros } from "./micros.ts"
import { StreamId, streamKey } from "./StreamId.ts"
import { Unsettled } from "./Unsettled.ts"

/** The row set and the key of an archive are fixed. */
export const ArchivePlanned = Schema.TaggedStruct("ArchivePlanned", { plan: ArchivePlan })

/** The entries and the key of a part of the journal that will be archived are fixed. */
export const JournalSegmentPlanned = Schema.TaggedStruct("JournalSegmentPlanned", { plan: JournalSegment })

/** The Parquet file of an archive is complete on the local disk, or known to be what the store has. */
export const ArchiveWritten = Schema.TaggedStruct("ArchiveWritten", {
  archiveId: Schema.String,
  file: ArchiveFile
})

/** The store accepted the object. */
export const ArchiveUploaded = Schema.TaggedStruct("ArchiveUploaded", { archiveId: Schema.String })

/** The store confirms that it has the object with our length and SHA-256. */
export const ArchiveVerified = Schema.TaggedStruct("ArchiveVerified", { archiveId: Schema.String })

/** Rows of a verified archive, those up to `throughId`, left the database in this event's transaction. */
export const ArchiveRowsPurged = Schema.TaggedStruct("ArchiveRowsPurged", {
  archiveId: Schema.String,
  throughId: Schema.Int,
  rows: Schema.Int
})

/** All rows of a verified archive have left the database. */
export const ArchivePurged = Schema.TaggedStruct("ArchivePurged", { archiveId: Schema.String })

/** A part of the journal is in a verified object; its entries may leave the database once they are old. */
export const JournalSegmentArchived = Schema.TaggedStruct("JournalSegmentArchived", {
  archiveId: Schema.String
})

/** A step of an archive failed; it is retried in the next cycle. */
export const ArchiveFailed = Schema.TaggedStruct("ArchiveFailed", {
  archiveId: Schema.String,
  stage: Schema.Literal("write", "upload", "verify", "purge"),
  reason: Schema.String
})

/**
 * An archive is given up before any of its rows left the database: the store has an object under its key that is not its file.
 * The rows, or the entries of the journal, go into another archive under another key; that object is not ours.
 */
export const ArchiveAbandoned = Schema.TaggedStruct("ArchiveAbandoned", {
  archiveId: Schema.String,
  key: Schema.String,
  reason: Schema.String
})

/**
 * The database was restored from a copy: the archive has parts of its journal, by then called `previous`, that record other
 * events under ids above `after`. From here on the journal has another name, and what is above `after` belongs to it.
 */
export const JournalEpochBegan = Schema.TaggedStruct("JournalEpochBegan", {
  previous: Schema.String,
  after: Schema.Int
})

/** Entries up to `throughId` that are in verified segments left the journal, except those that its folds need. */
export const JournalPruned = Schema.TaggedStruct("JournalPruned", {
  throughId: Schema.Int,
  entries: Schema.Int
})

/** When anything was last heard on each open connection, by connection name. */
export const Heard = Schema.Record({ key: Schema.String, value: Micros })
export type Heard = typeof Heard.Type

/** What a process reports about itself at a time; journals of older versions have none of it. */
const condition = {
  heard: Schema.optionalWith(Heard, { exact: true }),
  unsettled: Schema.optionalWith(Unsettled, { exact: true })
}

/**
 * A process started to collect, at a time before it received anything: what is received is kept until the database is open.
 * `previous` is the process before it, if that left no `ProcessStopped`: it was killed, and `lastSeen` is its last sign of life.
 */
export const ProcessStarted = Schema.TaggedStruct("ProcessStarted", {
  at: Schema.optionalWith(Micros, { exact: true }),
  process: Schema.String,
  server: Schema.String,
  version: Schema.String,
  previous: Schema.NullOr(Schema.Struct({ process: Schema.String, lastSeen: Micros, ...condition }))
})

/** These streams are to be recorded for as long as the process lives. */
export const RecordingStarted = Schema.TaggedStruct("RecordingStarted", {
  at: Micros,
  streams: Schema.Array(StreamId)
})

/**
 * MARKETS and LOG_LEVEL were read again while the process was running. `named` are to be recorded by name from now on; `matched`
 * are named no longer, and recorded only because a pattern matches them; `ended` are not to be recorded any more. `patterns` and
 * `logLevel` are what is in effect from now on, present if it changed.
 */
export const SettingsReloaded = Schema.TaggedStruct("SettingsReloaded", {
  at: Micros,
  named: Schema.Array(StreamId),
  matched: Schema.Array(StreamId),
  ended: Schema.Array(StreamId),
  patterns: Schema.optionalWith(Schema.Array(Schema.String), { exact: true }),
  logLevel: Schema.optionalWith(Schema.String, { exact: true })
})

/** A process ended in good order. `lastSeen`: everything it received up to then is committed; without it, everything is. */
export const ProcessStopped = Schema.TaggedStruct("ProcessStopped", {
  process: Schema.String,
  lastSeen: Schema.optionalWith(Micros, { exact: true }),
  ...condition
})

/**
 * The process was alive at this time. Precedes every archived part of the journal, which may be all that a reader has.
 * `archivedBefore`: what was received before this time has left the database for archives that the journal had recorded by then.
 */
export const ProcessAlive = Schema.TaggedStruct("ProcessAlive", {
  process: Schema.String,
  lastSeen: Micros,
  archivedBefore: Schema.optionalWith(Micros, { exact: true }),
  ...condition
})

/**
 * How many messages of a stream were committed whose receive times are in `hour` (hours since the epoch). There can be several
 * events for an hour: they add up. The sum so far was in `message_counts`, which this event's transaction empties.
 */
export const MessagesCommitted = Schema.TaggedStruct("MessagesCommitted", {
  stream: StreamId,
  hour: Schema.Int,
  messages: Schema.Int,
  first: Micros,
  last: Micros
})

/** How many messages of a stream, received from `first` to `last`, were dropped from the queue: a hole of our own. */
export const MessagesDropped = Schema.TaggedStruct("MessagesDropped", {
  stream: StreamId,
  count: Schema.Int,
  first: Micros,
  last: Micros
})

/**
 * The wall clock was set, or ran on while the machine slept or the process did not run: it went from one time to another,
 * microseconds since the epoch. What was received in between by one reckoning was not by the other.
 */
export const ClockStepped = Schema.TaggedStruct("ClockStepped", { at: Micros, from: Micros, to: Micros })

/**
 * The wall clock was compared with others. `drift` is how far it moved since the last measurement from where the monotonic clock
 * says it should be; `offset` is how far it was ahead of the true time, as the machine's time daemon estimates, and `bound` is
 * the possible error of that estimate: null if unknown. Microseconds.
 */
export const ClockMeasured = Schema.TaggedStruct("ClockMeasured", {
  at: Micros,
  drift: Schema.Number,
  offset: Schema.NullOr(Schema.Number),
  bound: Schema.NullOr(Schema.Number),
  source: Schema.Literal("chrony", "unknown")
})

/** The disk has less room than MIN_FREE_DISK, or has enough again. Bytes. */
export const DiskSpace = Schema.TaggedStruct("DiskSpace", {
  at: Micros,
  state: Schema.Literal("low", "enough"),
  free: Schema.Number,
  database: Schema.Number
})

/**
 * The database's file, or the write-ahead log beside it, was removed or replaced while in use, and is about to be put back with
 * everything that was committed.
 */
export const DatabaseRestored = Schema.TaggedStruct("DatabaseRestored", {
  reason: Schema.Literal("removed", "replaced", "log removed")
})

/** What the collector did and saw. */
export const JournalEvent = Schema.Union(
  ArchivePlanned,
  JournalSegmentPlanned,
  ArchiveWritten,
  ArchiveUploaded,
  ArchiveVerified,
  ArchiveRowsPurged,
  ArchivePurged,
  JournalSegmentArchived,
  ArchiveFailed,
  ArchiveAbandoned,
  JournalEpochBegan,
  JournalPruned,
  ProcessStarted,
  RecordingStarted,
  SettingsReloaded,
  ProcessStopped,
  ProcessAlive,
  MessagesCommitted,
  MessagesDropped,
  DiskSpace,
  DatabaseRestored,
  ClockStepped,
  ClockMeasured,
  ...ExchangeEvent.members
)
export type JournalEvent = typeof JournalEvent.Type

/** Stands for an event that says nothing to a reader. */
export const nothing: JournalEvent = RecordingStarted.make({ at: 0, streams: [] })

/** The events that the receiving side journals. */
export const ReceivingEvent = Schema.Union(
  RecordingStarted,
  SettingsReloaded,
  MessagesDropped,
  ClockStepped,
  ClockMeasured,
  ...ExchangeEvent.members
)
export type ReceivingEvent = typeof ReceivingEvent.Type

/** An event with its position in the journal. */
export interface JournalEntry {
  readonly id: number
  /** Microseconds since the epoch. */
  readonly at: number
  readonly event: JournalEvent
  /** Whether entries around it have left the database; it is still there because the folds need it. */
  readonly isKept?: boolean
}

/** Returns the key of the stream that an event is about, if any. */
export const streamKeyOf = (event: JournalEvent): string | null => {
  if ("stream" in event) return streamKey(event.stream)
  return event._tag === "ArchivePlanned" ? streamKey(event.plan.stream) : null
}
