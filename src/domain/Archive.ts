import { Either, Schema } from "effect"
import { microsPerDay } from "./micros.ts"
import { StreamId } from "./StreamId.ts"

/**
 * An archive: a fixed set of rows of one stream, stored as one Parquet object. It holds the stream's rows whose `id` is in
 * [firstId, lastId] and whose receive time is on `date` (UTC).
 */
export const ArchivePlan = Schema.Struct({
  /** Assigned once, when the archive is planned; sorts by time. */
  archiveId: Schema.String,
  stream: StreamId,
  /** YYYY-MM-DD, UTC. */
  date: Schema.String,
  firstId: Schema.Int,
  lastId: Schema.Int,
  /** The object's key, assigned once: every retry writes the same object. */
  key: Schema.String
})
export type ArchivePlan = typeof ArchivePlan.Type

/** A part of the journal, stored as one Parquet object: the entries with ids in [firstId, lastId]. */
export const JournalSegment = Schema.Struct({
  archiveId: Schema.String,
  /**
   * YYYY-MM-DD, UTC, of its first and last entries. Times need not grow with the ids, so entries of other dates may lie in
   * between.
   */
  date: Schema.String,
  firstId: Schema.Int,
  lastId: Schema.Int,
  key: Schema.String
})
export type JournalSegment = typeof JournalSegment.Type

/** What identifies a finished Parquet file. */
export const ArchiveFile = Schema.Struct({
  rows: Schema.Int,
  /** Bytes. */
  size: Schema.Int,
  /** SHA-256 of the whole file, in lower-case hex. */
  sha256: Schema.String
})
export type ArchiveFile = typeof ArchiveFile.Type

/** Returns the UTC date, YYYY-MM-DD, of a time in microseconds since the epoch. */
export const dateOf = (micros: number): string => new Date(micros / 1000).toISOString().slice(0, 10)

/** Returns the range of receive times on a date, in microseconds: [start, end). */
export const microsOf = (date: string): { readonly start: number; readonly end: number } => {
  const start = Date.parse(`${date}T00:00:00Z`) * 1000
  return { start, end: start + microsPerDay }
}

/**
 * Builds the Hive-partitioned key of an archive's object. Every value is percent-encoded, so a symbol or server name can never
 * escape its folder. `firstTimestamp` is in microseconds.
 */
export const archiveKey = (options: {
  readonly stream: { readonly exchange: string; readonly symbol: string; readonly dataType: string }
  readonly date: string
  readonly serverName: string
  readonly firstTimestamp: number
  readonly archiveId: string
}): string => {
  const first = new Date(Math.floor(options.firstTimestamp / 1000)).toISOString().replace(/[-:.]/g, "")
  return [
    `exchange=${encodeSegment(options.stream.exchange)}`,
    `symbol=${encodeSegment(options.stream.symbol)}`,
    `data_type=${encodeSegment(options.stream.dataType)}`,
    `date=${options.date}`,
    `${encodeSegment(options.serverName)}_${first}_${options.archiveId}.parquet`
  ].join("/")
}

/** Prefix of the parts of the journal. pyarrow and Spark skip names that begin with `_`. */
export const journalPrefix = "_journal/"

/** All prefixes under which parts of the journal can be found: the second one was used until November 2026. */
export const journalPrefixes: ReadonlyArray<string> = [journalPrefix, "journal/"]

/** The prefixes under which the parts of one date can be found. */
export const journalPrefixesOf = (date: string): ReadonlyArray<string> => [
  `${journalPrefix}${date}/`,
  `journal/date=${date}/`
]

/** Key of the probe object, which shows how a store behaves. It exists only for a moment. */
export const probeKey = `${journalPrefix}probe`

/** Whether a key belongs to a probe: a killed process may leave one behind. */
export const isProbe = (key: string): boolean => key === probeKey || key === "journal/probe"

/**
 * Builds the key of a part of the journal. `journal` names the database's journal; ids are unique only within it. The object is a
 * Parquet file with a different extension, in a folder that is not a Hive partition, so that readers that take all `.parquet`
 * files, as DuckDB and Polars do, find only rows.
 */
export const segmentKey = (options: {
  readonly date: string
  readonly serverName: string
  readonly journal: string
  readonly archiveId: string
}): string =>
  `${journalPrefix}${options.date}/${encodeSegment(options.serverName)}_${options.journal}_${options.archiveId}.journal`

/**
 * Builds the key of a coverage checkpoint, stored beside the parts of the journal that it makes unnecessary. `until` is in
 * microseconds.
 */
export const checkpointKey = (options: {
  readonly serverName: string
  readonly journal: string
  readonly archiveId: string
  readonly until: number
}): string =>
  `${journalPrefix}${dateOf(options.until)}/${encodeSegment(options.serverName)}_${options.journal}_${options.archiveId}_${options.until}${checkpointSuffix}`

/** Suffix of a checkpoint's name. */
export const checkpointSuffix = ".checkpoint.json.gz"

/** Parses the key of an object; undefined if it is not one of our keys. */
export const parseKey = (
  key: string
):
  | {
      readonly _tag: "Journal"
      readonly date: string
      readonly server: string
      readonly journal: string
      readonly archiveId: string
    }
  | {
      readonly _tag: "Checkpoint"
      readonly date: string
      readonly server: string
      readonly journal: string
      /** Parts of the journal with greater archive ids describe what came after the checkpoint. */
      readonly archiveId: string
      /** Microseconds. */
      readonly until: number
    }
  | {
      readonly _tag: "Archive"
      readonly stream: {
        readonly exchange: string
        readonly symbol: string
        readonly dataType: string
      }
      readonly date: string
      readonly server: string
      /** Receive time of its first message, microseconds, truncated to the millisecond. */
      readonly firstTimestamp: number
      readonly archiveId: string
    }
  | undefined => {
  const segment =
    /^(?:_journal\/|journal\/date=)([\d-]{10})\/(.+)_([0-9a-f]{16})_([0-9a-f]{24})\.(?:journal|parquet)$/.exec(
      key
    )
  if (segment !== null) {
    const [, date = "", server = "", journal = "", archiveId = ""] = segment
    return { _tag: "Journal", date, server: decodeSegment(server), journal, archiveId }
  }
  const checkpoint =
    /^(?:_journal\/|journal\/date=)([\d-]{10})\/(.+)_([0-9a-f]{16})_([0-9a-f]{24})_(\d{1,16})\.checkpoint\.json\.gz$/.exec(
      key
    )
  if (checkpoint !== null) {
    const [, date = "", server = "", journal = "", archiveId = "", until = ""] = checkpoint
    return {
      _tag: "Checkpoint",
      date,
      server: decodeSegment(server),
      journal,
      archiveId,
      until: Number(until)
    }
  }
  const archive =
    /^exchange=([^/]+)\/symbol=([^/]+)\/data_type=([^/]+)\/date=([\d-]{10})\/(.+)_(\d{8}T\d{9})Z_([0-9a-f]{24})\.parquet$/.exec(
      key
    )
  if (archive === null) return undefined
  const [, exchange = "", symbol = "", dataType = "", date = "", server = "", first = "", archiveId = ""] =
    archive
  return {
    _tag: "Archive",
    stream: {
      exchange: decodeSegment(exchange),
      symbol: decodeSegment(symbol),
      dataType: decodeSegment(dataType)
    },
    date,
    server: decodeSegment(server),
    firstTimestamp: Date.parse(first.replace(/(....)(..)(..T..)(..)(..)(...)/, "$1-$2-$3:$4:$5.$6Z")) * 1000,
    archiveId
  }
}

/** Returns when an archive was planned, milliseconds since the epoch, read from the start of its id. */
export const millisOfArchiveId = (archiveId: string): number => Number.parseInt(archiveId.slice(0, 12), 16)

const decodeSegment = (text: string): string =>
  /^(?:[^%]|%[0-9A-Fa-f]{2})*$/.test(text)
    ? Either.getOrElse(
        Either.try(() => decodeURIComponent(text)),
        () => text
      )
    : text

/** Percent-encodes everything except letters, digits, `-`, `_` and inner dots, which are safe in a path and in a key. */
const encodeSegment = (value: string): string =>
  encodeURIComponent(value)
    .replace(/[!'()*~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/^\.+/, (dots) => "%2E".repeat(dots.length))
