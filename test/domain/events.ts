import { FastCheck } from "effect"
import type { JournalEntry, JournalEvent } from "../../src/domain/JournalEvent.ts"
import { book, newYear, trade } from "../support/snapshots.ts"

const stream = FastCheck.constantFrom(book, trade)
const archiveId = FastCheck.constantFrom("a1", "a2", "a3")
const connection = FastCheck.constantFrom("c1", "c2")
const file = { rows: 10, size: 100, sha256: "ab" }

const eventAt = (at: number): FastCheck.Arbitrary<JournalEvent> =>
  FastCheck.oneof(
    FastCheck.tuple(archiveId, stream).map(
      ([archiveId, stream]): JournalEvent => ({
        _tag: "ArchivePlanned",
        plan: { archiveId, stream, date: "2026-01-01", firstId: 1, lastId: 9, key: archiveId }
      })
    ),
    archiveId.map(
      (archiveId): JournalEvent => ({
        _tag: "JournalSegmentPlanned",
        plan: { archiveId: `j${archiveId}`, date: "2026-01-01", firstId: 1, lastId: 9, key: archiveId }
      })
    ),
    archiveId.map((archiveId): JournalEvent => ({ _tag: "ArchiveWritten", archiveId, file })),
    archiveId.map((archiveId): JournalEvent => ({ _tag: "ArchiveUploaded", archiveId })),
    archiveId.map((archiveId): JournalEvent => ({ _tag: "ArchiveVerified", archiveId })),
    archiveId.map(
      (archiveId): JournalEvent => ({ _tag: "ArchiveRowsPurged", archiveId, throughId: 3, rows: 2 })
    ),
    archiveId.map((archiveId): JournalEvent => ({ _tag: "ArchivePurged", archiveId })),
    archiveId.map(
      (archiveId): JournalEvent => ({ _tag: "JournalSegmentArchived", archiveId: `j${archiveId}` })
    ),
    archiveId.map(
      (archiveId): JournalEvent => ({ _tag: "ArchiveFailed", archiveId, stage: "verify", reason: "" })
    ),
    FastCheck.tuple(archiveId, FastCheck.constantFrom("", "j")).map(
      ([archiveId, kind]): JournalEvent => ({
        _tag: "ArchiveAbandoned",
        archiveId: `${kind}${archiveId}`,
        key: archiveId,
        reason: ""
      })
    ),
    FastCheck.boolean().map(
      (killed): JournalEvent => ({
        _tag: "ProcessStarted",
        process: "p",
        server: "s",
        version: "1",
        previous: killed ? { process: "o", lastSeen: at - 500_000 } : null
      })
    ),
    FastCheck.constant<JournalEvent>({ _tag: "ProcessStopped", process: "p" }),
    FastCheck.constant<JournalEvent>({ _tag: "ProcessAlive", process: "p", lastSeen: at }),
    FastCheck.constant<JournalEvent>({ _tag: "RecordingStarted", at, streams: [book, trade] }),
    FastCheck.tuple(stream, connection).map(
      ([stream, connection]): JournalEvent => ({
        _tag: "StreamConnected",
        at,
        stream,
        connection
      })
    ),
    FastCheck.tuple(stream, connection).map(
      ([stream, connection]): JournalEvent => ({
        _tag: "StreamDisconnected",
        at,
        stream,
        connection,
        kind: "closed",
        reason: "",
        code: 1006
      })
    ),
    FastCheck.constantFrom("SymbolListed" as const, "SymbolDelisted" as const).map(
      (_tag): JournalEvent => ({ _tag, at, exchange: book.exchange, symbol: book.symbol })
    ),
    FastCheck.tuple(stream, FastCheck.option(FastCheck.nat(9))).map(
      ([stream, size]): JournalEvent => ({
        _tag: "GapDetected",
        at,
        stream,
        rule: "counter",
        scope: "stream",
        expected: 1,
        received: 2,
        size,
        after: at - 300_000,
        before: at
      })
    ),
    stream.map(
      (stream): JournalEvent => ({
        _tag: "MessagesDropped",
        stream,
        count: 3,
        first: at - 200_000,
        last: at
      })
    ),
    stream.map(
      (stream): JournalEvent => ({
        _tag: "MessagesCommitted",
        stream,
        hour: Math.floor(at / 3_600_000_000),
        messages: 7,
        first: at,
        last: at
      })
    )
  )

/** A journal: entries of any events, one a second from the new year on. */
export const journals: FastCheck.Arbitrary<ReadonlyArray<JournalEntry>> = FastCheck.integer({
  min: 0,
  max: 40
}).chain((length) =>
  FastCheck.tuple(
    ...Array.from({ length }, (_, n) => {
      const at = newYear + n * 1_000_000
      return eventAt(at).map((event): JournalEntry => ({ id: n + 1, at, event }))
    })
  )
)
