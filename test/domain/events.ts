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
    FastCheck.tuple(
      FastCheck.subarray([book, trade]),
      FastCheck.subarray([book, trade]),
      FastCheck.subarray([book, trade])
    ).map(
      ([named, matched, ended]): JournalEvent => ({ _tag: "SettingsReloaded", at, named, matched, ended })
    ),
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
        _tag: "StreamConnected",
        at,
        stream,
        connection,
        since: at - 400_000
      })
    ),
    FastCheck.tuple(stream, FastCheck.boolean()).map(
      ([stream, isOpen]): JournalEvent => ({
        _tag: "StreamSilent",
        at,
        stream,
        seconds: 3,
        action: "moved",
        ...(isOpen ? { isOpen } : {})
      })
    ),
    stream.map((stream): JournalEvent => ({ _tag: "StreamHeard", at, stream, after: at - 300_000 })),
    FastCheck.tuple(stream, FastCheck.boolean()).map(
      ([stream, isFirst]): JournalEvent => ({
        _tag: "StreamUnreadable",
        at,
        stream,
        reason: "compressed",
        after: isFirst ? null : at - 300_000
      })
    ),
    FastCheck.tuple(stream, FastCheck.option(FastCheck.constant(at - 300_000))).map(
      ([stream, after]): JournalEvent => ({ _tag: "StreamReadable", at, stream, frames: 3, kept: 2, after })
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
    FastCheck.tuple(FastCheck.constantFrom("online", "maintenance"), FastCheck.boolean()).map(
      ([status, isPassing]): JournalEvent => ({
        _tag: "ExchangeStatus",
        at,
        exchange: book.exchange,
        status,
        ...(isPassing ? { isPassing } : { text: "until noon" })
      })
    ),
    FastCheck.constantFrom("SymbolListed" as const, "SymbolDelisted" as const).map(
      (_tag): JournalEvent => ({ _tag, at, exchange: book.exchange, symbol: book.symbol })
    ),
    FastCheck.tuple(stream, FastCheck.option(FastCheck.nat(9)), FastCheck.boolean()).map(
      ([stream, size, isLarge]): JournalEvent => ({
        _tag: "GapDetected",
        at,
        stream,
        rule: "counter",
        scope: "stream",
        expected: isLarge ? 2 ** 53 - 1 : 1,
        received: isLarge ? 2n ** 53n : 2,
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

/** The same a while later, microseconds. */
export const shifted = ({ at, event, id }: JournalEntry, by: number): JournalEntry => {
  const time = (micros: number | null) => (micros === null ? null : micros + by)
  switch (event._tag) {
    case "GapDetected":
      return {
        id,
        at: at + by,
        event: { ...event, at: event.at + by, after: time(event.after), before: time(event.before) }
      }
    case "StreamUnreadable":
    case "StreamReadable":
    case "StreamHeard":
      return { id, at: at + by, event: { ...event, at: event.at + by, after: time(event.after) } }
    case "StreamConnected": {
      const since = event.since === undefined ? {} : { since: event.since + by }
      return { id, at: at + by, event: { ...event, at: event.at + by, ...since } }
    }
    case "MessagesDropped":
      return { id, at: at + by, event: { ...event, first: event.first + by, last: event.last + by } }
    case "MessagesCommitted": {
      const first = event.first + by
      const hour = Math.floor(first / 3_600_000_000)
      return { id, at: at + by, event: { ...event, hour, first, last: event.last + by } }
    }
    case "ProcessStarted":
      return {
        id,
        at: at + by,
        event: {
          ...event,
          previous: event.previous && { ...event.previous, lastSeen: event.previous.lastSeen + by }
        }
      }
    case "ProcessAlive":
      return { id, at: at + by, event: { ...event, lastSeen: event.lastSeen + by } }
    default:
      return { id, at: at + by, event: "at" in event ? { ...event, at: event.at + by } : event }
  }
}

/** What was true of a process that was killed. */
export interface Life {
  readonly begin: number
  readonly lastSafe: number
  readonly connections: ReadonlyArray<{ readonly from: number; readonly to: number }>
}

/**
 * Processes that recorded a stream one after the other and were killed, each at any moment: what it told of connections
 * was journalled up to then, and what it committed and told of was safe up to some time before.
 */
export const killedProcesses: FastCheck.Arbitrary<{
  readonly entries: ReadonlyArray<JournalEntry>
  readonly lives: ReadonlyArray<Life>
}> = FastCheck.array(
  FastCheck.record({
    pauses: FastCheck.array(FastCheck.tuple(FastCheck.nat(5), FastCheck.integer({ min: 1, max: 9 })), {
      minLength: 1,
      maxLength: 5
    }),
    isOpenAtTheEnd: FastCheck.boolean(),
    unsafe: FastCheck.nat(30),
    /** Whether a part of the journal that was archived says that it lived, at about the middle of its life. */
    isArchived: FastCheck.boolean()
  }),
  { minLength: 1, maxLength: 4 }
).map((processes) => {
  const entries: Array<JournalEntry> = []
  const lives: Array<Life> = []
  const second = 1_000_000
  let now = newYear
  const tell = (event: JournalEvent) => entries.push({ id: entries.length + 1, at: now, event })
  for (const [n, { isArchived, isOpenAtTheEnd, pauses, unsafe }] of processes.entries()) {
    const last = lives.at(-1)
    tell({
      _tag: "ProcessStarted",
      process: `p${n}`,
      server: "s",
      version: "1",
      previous: last === undefined ? null : { process: `p${n - 1}`, lastSeen: last.lastSafe }
    })
    const begin = now
    tell({ _tag: "RecordingStarted", at: now, streams: [book] })
    const connections: Array<{ readonly from: number; readonly to: number }> = []
    for (const [i, [pause, length]] of pauses.entries()) {
      now += pause * second
      const from = now
      const connection = `${n} ${i}`
      tell({ _tag: "StreamConnected", at: now, stream: book, connection })
      now += length * second
      connections.push({ from, to: now })
      if (isOpenAtTheEnd && i === pauses.length - 1) continue
      const end = { kind: "closed", reason: "", code: null } as const
      tell({ _tag: "StreamDisconnected", at: now, stream: book, connection, ...end })
    }
    const lastSafe = Math.max(begin, now - unsafe * second)
    if (isArchived) {
      tell({ _tag: "ProcessAlive", process: `p${n}`, lastSeen: begin + Math.floor((lastSafe - begin) / 2) })
    }
    lives.push({ begin, lastSafe, connections })
    now += 10 * second
  }
  const last = lives.at(-1)
  if (last !== undefined) tell({ _tag: "ProcessStopped", process: "", lastSeen: last.lastSafe })
  return { entries, lives }
})

/**
 * The journal of a stream that was recorded for a while: what was seen of it is told once it is committed, and counted when it
 * is archived.
 */
export const recordings: FastCheck.Arbitrary<ReadonlyArray<JournalEntry>> = FastCheck.array(
  FastCheck.constantFrom(
    "message" as const,
    "message" as const,
    "message" as const,
    "connect" as const,
    "disconnect" as const,
    "gap" as const,
    "drop" as const,
    "archive" as const,
    "archive" as const,
    "restart" as const,
    "other" as const
  ),
  { minLength: 5, maxLength: 60 }
).map((steps) => {
  const entries: Array<JournalEntry> = []
  let now = newYear
  let lives = 0
  let lastMessage: number | null = null
  let counted: { readonly first: number; readonly messages: number } | undefined
  let open: ReadonlyArray<string> = []
  let connections = 0
  const tell = (event: JournalEvent) => entries.push({ id: entries.length + 1, at: now, event })
  const start = () => {
    tell({
      _tag: "ProcessStarted",
      process: `p${++lives}`,
      server: "s",
      version: "1",
      previous: lives === 1 ? null : { process: `p${lives - 1}`, lastSeen: now }
    })
    tell({ _tag: "RecordingStarted", at: now, streams: [book] })
    open = []
    lastMessage = null
  }
  const message = () => {
    lastMessage = now
    counted = { first: counted?.first ?? now, messages: (counted?.messages ?? 0) + 1 }
  }
  start()
  for (const step of steps) {
    now += 1_000_000
    const [first] = open
    if (step === "connect") {
      const connection = `${++connections}`
      open = [...open, connection]
      tell({ _tag: "StreamConnected", at: now, stream: book, connection })
    } else if (step === "disconnect" && first !== undefined) {
      open = open.slice(1)
      const end = { kind: "closed", reason: "", code: null } as const
      tell({ _tag: "StreamDisconnected", at: now, stream: book, connection: first, ...end })
    } else if (step === "message" && first !== undefined) {
      message()
    } else if (step === "gap" && lastMessage !== null && first !== undefined) {
      const numbers = { rule: "counter", scope: "stream", expected: 1, received: 2, size: 1 } as const
      const after: number = lastMessage
      message()
      tell({ _tag: "GapDetected", at: now, stream: book, ...numbers, after, before: now })
    } else if (step === "drop" && lastMessage !== null && first !== undefined) {
      tell({ _tag: "MessagesDropped", stream: book, count: 1, first: now - 500_000, last: now })
    } else if (step === "archive") {
      if (counted !== undefined && lastMessage !== null) {
        const hour = Math.floor(counted.first / 3_600_000_000)
        tell({ _tag: "MessagesCommitted", stream: book, hour, ...counted, last: lastMessage })
        counted = undefined
      }
      tell({ _tag: "ProcessAlive", process: `p${lives}`, lastSeen: now })
    } else if (step === "restart") {
      start()
    } else {
      tell({ _tag: "DiskSpace", at: now, state: "low", free: 1, database: 1 })
    }
  }
  return entries
})
