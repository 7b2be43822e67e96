import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from "node:fs"
import { gzipSync } from "node:zlib"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer, Schema, Stream } from "effect"
import { entriesBetween } from "../../../src/archive/Archiver/checkpoint.ts"
import { journalColumns, journalPage } from "../../../src/archive/columns.ts"
import * as HyparquetWriter from "../../../src/archive/HyparquetWriter.ts"
import { ParquetWriter } from "../../../src/archive/ParquetWriter.ts"
import { archiveKey, checkpointKey, dateOf, segmentKey } from "../../../src/domain/Archive.ts"
import { withoutBearing } from "../../../src/domain/Coverage.ts"
import {
  advanced,
  CheckpointText,
  type CoverageCheckpoint,
  emptyCheckpoint,
  entryText,
  shortened
} from "../../../src/domain/CoverageCheckpoint.ts"
import {
  type JournalEntry,
  type JournalEvent,
  nothing,
  streamKeyOf
} from "../../../src/domain/JournalEvent.ts"
import { microsPerDay, microsPerHour } from "../../../src/domain/micros.ts"
import type { StreamId } from "../../../src/domain/StreamId.ts"
import type { JournalRow } from "../../../src/storage/EventJournal.ts"
import { endWithParent, readArgument, tell } from "./channel.ts"

/**
 * Writes the archived journal of a server that has recorded many streams for many days: of each stream and hour the six steps
 * of an archive and a count of messages, and once a day a connection; with checkpoints, as often as the archiver makes them.
 * Of the last days the objects are there, too: files of their size that take no room.
 */
const Options = Schema.Struct({
  folder: Schema.String,
  streams: Schema.Int,
  days: Schema.Int,
  /** Of so many days there are objects. */
  objectDays: Schema.Int,
  /** Begin of the first day, microseconds. */
  from: Schema.Number
})

const { days, folder, from, objectDays, streams } = Schema.decodeUnknownSync(Options)(readArgument())
endWithParent()

const encode = Schema.encodeSync(CheckpointText)
const server = "bench"
const journal = "0123456789abcdef"
const file = { rows: 36_000, size: 1_000_000, sha256: "ab".repeat(32) }
const all = Array.from(
  { length: streams },
  (_, n): StreamId => ({
    exchange: "binance",
    symbol: `s${n >> 1}usdt`,
    dataType: n % 2 === 0 ? "trade" : "orderbook"
  })
)
const idOf = (at: number, n: number) =>
  `${Math.floor(at / 1000)
    .toString(16)
    .padStart(12, "0")}${n.toString(16).padStart(12, "0")}`

const objectKey = (stream: StreamId, begin: number, archiveId: string) =>
  archiveKey({ stream, date: dateOf(begin), serverName: server, firstTimestamp: begin, archiveId })

const makeObjects = (hour: number) => {
  const begin = from + hour * microsPerHour
  for (const [n, stream] of all.entries()) {
    const path = `${folder}/${objectKey(stream, begin, idOf(begin + microsPerHour, n))}`
    if (hour % 24 === 0) mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true })
    const object = openSync(path, "w")
    ftruncateSync(object, file.size)
    closeSync(object)
  }
}

/** What the journal tells of an hour. */
const eventsOf = (hour: number): ReadonlyArray<readonly [at: number, event: JournalEvent]> => {
  const begin = from + hour * microsPerHour
  const end = begin + microsPerHour
  const events: Array<readonly [number, JournalEvent]> = []
  if (hour === 0) {
    events.push(
      [begin, { _tag: "ProcessStarted", at: begin, process: "p", server, version: "1", previous: null }],
      [begin, { _tag: "RecordingStarted", at: begin, streams: all }]
    )
  }
  if (hour % 24 === 0) {
    for (const stream of all) {
      const connection = `c${hour}`
      events.push([begin, { _tag: "StreamConnected", at: begin, stream, connection }])
      if (hour === 0) continue
      const before = { connection: `c${hour - 24}`, kind: "replaced", reason: "", code: null } as const
      events.push([begin, { _tag: "StreamDisconnected", at: begin, stream, ...before }])
    }
  }
  for (const [n, stream] of all.entries()) {
    const archiveId = idOf(end, n)
    const date = dateOf(begin)
    const key = objectKey(stream, begin, archiveId)
    const [firstId, lastId] = [1, 2]
    events.push(
      [end - 1, { _tag: "ArchivePlanned", plan: { archiveId, stream, date, firstId, lastId, key } }],
      [end - 1, { _tag: "ArchiveWritten", archiveId, file }],
      [end - 1, { _tag: "ArchiveUploaded", archiveId }],
      [end - 1, { _tag: "ArchiveVerified", archiveId }],
      [end - 1, { _tag: "ArchiveRowsPurged", archiveId, throughId: lastId, rows: file.rows }],
      [end - 1, { _tag: "ArchivePurged", archiveId }]
    )
  }
  for (const stream of all) {
    const counted = {
      hour: Math.floor(begin / microsPerHour),
      messages: file.rows,
      first: begin,
      last: end - 1
    }
    events.push([end - 1, { _tag: "MessagesCommitted", stream, ...counted }])
  }
  events.push([end - 1, { _tag: "ProcessAlive", process: "p", lastSeen: end - 1 }])
  return events
}

/**
 * Of days that nobody asks for only what lasts is told to the fold: what was counted and archived within an hour leaves nothing,
 * and a year of it would take an hour to write.
 */
const foldHour = (checkpoint: CoverageCheckpoint, hour: number, rows: ReadonlyArray<JournalRow>) => {
  const last = rows.at(-1)
  const isTold = hour >= (days - 3) * 24
  const entries = eventsOf(hour).flatMap(([at, event], n): ReadonlyArray<JournalEntry> => {
    const id = rows[n]?.id ?? 0
    if (isTold) return [{ id, at, event: withoutBearing.has(event._tag) ? nothing : event }]
    return "stream" in event && event._tag !== "MessagesCommitted" ? [{ id: 0, at, event }] : []
  })
  const next = advanced(checkpoint, entries, last === undefined ? "" : entryText(last))
  return { ...next, until: last?.at ?? 0, coverage: { ...next.coverage, lastId: last?.id ?? 0 } }
}

const main = Effect.gen(function* () {
  const writer = yield* ParquetWriter
  let id = 0
  let bytes = 0
  let checkpoint = emptyCheckpoint(journal)
  let checkpointed = 0
  for (let hour = 0; hour < days * 24; hour++) {
    const rows = eventsOf(hour).map(
      ([at, event]): JournalRow => ({
        id: ++id,
        at,
        tag: event._tag,
        stream: streamKeyOf(event),
        payload: JSON.stringify(event)
      })
    )
    if (hour >= (days - objectDays) * 24) makeObjects(hour)
    const begin = from + hour * microsPerHour
    checkpoint = shortened(foldHour(checkpoint, hour, rows))
    const archiveId = idOf(begin + microsPerHour, streams)
    const key = segmentKey({ date: dateOf(begin), serverName: server, journal, archiveId })
    const pages = Array.from({ length: Math.ceil(rows.length / 1000) }, (_, n) =>
      journalPage(rows.slice(n * 1000, n * 1000 + 1000))
    )
    const { size } = yield* writer.write({
      path: `${folder}/${key}`,
      columns: journalColumns,
      pages: Stream.fromIterable(pages),
      metadata: {
        server,
        archive_id: archiveId,
        journal,
        first_id: String(id - rows.length + 1),
        last_id: String(id)
      }
    })
    bytes += size
    if (id - checkpointed >= entriesBetween) {
      checkpointed = id
      const next = idOf(begin + microsPerHour, streams + 1)
      const place = checkpointKey({ serverName: server, journal, archiveId: next, until: checkpoint.until })
      writeFileSync(`${folder}/${place}`, gzipSync(encode(checkpoint)))
    }
  }
  tell({ entries: id, bytes, to: from + days * microsPerDay })
  process.disconnect()
}).pipe(Effect.provide(Layer.provideMerge(HyparquetWriter.layer(), NodeContext.layer)))

main.pipe(NodeRuntime.runMain)
