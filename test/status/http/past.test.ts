import { describe, expect, it } from "@effect/vitest"
import { Chunk, FastCheck, HashMap, Option, Schema } from "effect"
import { endOfJournal } from "../../../src/domain/Coverage/ending.ts"
import { noCoverage } from "../../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../../src/domain/Coverage.ts"
import { daysOf } from "../../../src/domain/CoverageReport.ts"
import type { JournalEntry } from "../../../src/domain/JournalEvent.ts"
import { microsPerDay, microsPerHour } from "../../../src/domain/micros.ts"
import { type StreamId, streamKey } from "../../../src/domain/StreamId.ts"
import { isProvable } from "../../../src/exchange/registry.ts"
import { CoverageReply, coverageReply } from "../../../src/status/http/coverageReply.ts"
import { makePast, type Past, pastLimits } from "../../../src/status/http/Past.ts"
import { journals, killedProcesses, recordings } from "../../domain/events.ts"
import { newYear, trade } from "../../support/snapshots.ts"

const decode = Schema.decodeUnknownSync(Schema.parseJson(CoverageReply))

const replyOf = (past: Past, now: number, days: number) =>
  decode(Array.from(coverageReply({ past, reading: null }, { now, days, keys: [] })).join(""))

/** What the journal says, folded in one piece, in the same words. */
const saidOf = (entries: ReadonlyArray<JournalEntry>, { from, hours }: CoverageReply) => {
  const { streams } = endOfJournal(entries.reduce(applyToCoverage, noCoverage))
  const range = { from, to: from + hours * microsPerHour }
  return Array.from(streams)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, coverage]) => {
      const rows = { wanted: zeros(hours), holes: zeros(hours), messages: zeros(hours) }
      for (const { date, hours: counts } of daysOf(coverage, range, isProvable(coverage.stream))) {
        const first = (Date.parse(`${date}T00:00:00Z`) * 1000 - from) / microsPerHour
        for (const [i, { excluded, messages, wanted }] of counts.entries()) {
          if (first + i < 0 || first + i >= hours) continue
          rows.wanted[first + i] = Math.round(wanted / 1e5) / 10
          rows.holes[first + i] = Math.round(excluded / 1e5) / 10
          rows.messages[first + i] = messages
        }
      }
      return { ...coverage.stream, ...rows }
    })
}

const zeros = (length: number) => Array.from({ length }, () => 0)

/** The end of a process is told of at a time that is not before its last sign of life: storage keeps the latest. */
const withPossibleEnds = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<JournalEntry> => {
  let alive = 0
  return entries.map((entry) => {
    const { event } = entry
    if (event._tag === "ProcessAlive") alive = Math.max(alive, event.lastSeen)
    if (event._tag !== "ProcessStarted" || event.previous === null) return entry
    const lastSeen = Math.max(event.previous.lastSeen, alive)
    return { ...entry, event: { ...event, previous: { ...event.previous, lastSeen } } }
  })
}

const anyJournal = FastCheck.oneof(
  recordings,
  killedProcesses.map(({ entries }) => entries),
  journals.map(withPossibleEnds)
)

const counted = (stream: StreamId, id: number, hour: number): JournalEntry => ({
  id,
  at: (hour + 1) * microsPerHour,
  event: {
    _tag: "MessagesCommitted",
    stream,
    hour,
    messages: 5,
    first: hour * microsPerHour,
    last: (hour + 1) * microsPerHour - 1
  }
})

describe("the status page's memory of the journal", () => {
  it.prop(
    "says what the journal says, however often it was compacted, saved and loaded",
    [anyJournal, FastCheck.array(FastCheck.integer({ min: 1, max: 15 }), { minLength: 1, maxLength: 8 })],
    ([entries, lengths]) => {
      const now = newYear + 60_000_000
      let past = makePast()
      for (let at = 0, n = 0; at < entries.length; n++) {
        const length = lengths[n % lengths.length] ?? 1
        past.apply(entries.slice(at, at + length))
        past.settle(now)
        at += length
        if (length % 3 === 0) past = makePast(structuredCloneOf(past))
      }
      past.settle(now)
      const reply = replyOf(past, now, 2)
      expect(
        reply.streams.map(({ unverifiable: _, ...row }) => row),
        JSON.stringify(entries, (_, value) => (typeof value === "bigint" ? String(value) : value))
      ).toEqual(saidOf(entries, reply))
    }
  )

  it("covers fewer days, and says so, if there is more than its limits", () => {
    const hours = 40 * 24
    const begin = newYear / microsPerHour
    const past = makePast(undefined, { ...pastLimits, windows: 500 })
    past.apply([{ id: 1, at: newYear, event: { _tag: "RecordingStarted", at: newYear, streams: [trade] } }])
    past.apply([
      {
        id: 2,
        at: newYear,
        event: { _tag: "StreamConnected", at: newYear, stream: trade, connection: "c" }
      }
    ])
    let id = 2
    const told: Array<number> = []
    for (let hour = 0; hour < hours; hour++) {
      const at = newYear + hour * microsPerHour + 60_000_000
      const gap: JournalEntry = {
        id: ++id,
        at,
        event: {
          _tag: "GapDetected",
          at,
          stream: trade,
          rule: "counter",
          scope: "stream",
          expected: 1,
          received: 2,
          size: 1,
          after: at - 1_000_000,
          before: at
        }
      }
      const end = newYear + (hour + 1) * microsPerHour
      past.apply([
        gap,
        counted(trade, ++id, begin + hour),
        { id: ++id, at: end, event: { _tag: "ProcessAlive", process: "p", lastSeen: end } }
      ])
      past.settle(end)
      told.push(past.knownFrom())
    }
    expect(told.every((from, i) => i === 0 || from >= (told[i - 1] ?? 0))).toBe(true)
    const now = newYear + hours * microsPerHour
    const from = past.knownFrom()
    expect(now - from).toBeLessThan(31 * microsPerDay)
    expect(now - from).toBeGreaterThan(10 * microsPerDay)
    const reply = replyOf(past, now - 1, 31)
    expect(reply.knownFrom).toBe(from)
    const firstKnown = Math.floor((from - reply.from) / microsPerHour)
    const [row] = reply.streams
    expect(firstKnown).toBeGreaterThan(0)
    expect(row?.wanted.slice(0, firstKnown).every((seconds) => seconds === 0)).toBe(true)
    expect(row?.holes.slice(firstKnown + 1, -1).every((seconds) => seconds === 1)).toBe(true)
    expect(row?.messages.slice(firstKnown + 1, -1).every((messages) => messages === 5)).toBe(true)
    const kept = Option.getOrThrow(past.stream(streamKey(trade), { from: 0, to: now }))
    expect(Chunk.size(kept.gaps)).toBeLessThanOrEqual(500)
  })

  it("bounds the counts of very many streams by their bytes", () => {
    const streams = Array.from({ length: 3000 }, (_, n): StreamId => ({ ...trade, symbol: `s${n}` }))
    const past = makePast(undefined, { ...pastLimits, countBytes: 2 * 1024 * 1024 })
    const begin = newYear / microsPerHour
    let id = 0
    for (let day = 0; day < 10; day++) {
      past.apply(streams.map((stream) => counted(stream, ++id, begin + day * 24)))
      past.settle(newYear + (day + 1) * microsPerDay)
    }
    const { days } = past.memory()
    expect(Array.from(days.values()).reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(
      2 * 1024 * 1024
    )
    expect(past.knownFrom()).toBeGreaterThan(newYear)
    expect(past.messages(streamKey(streams[2999] ?? trade), begin + 9 * 24, 1)).toEqual([5])
  })

  it("reuses the emptied place of a stream that is gone", () => {
    const past = makePast()
    const begin = newYear / microsPerHour
    past.apply([counted({ ...trade, symbol: "old" }, 1, begin)])
    past.settle(newYear + microsPerHour)
    past.change((state) => ({
      ...state,
      streams: HashMap.map(state.streams, (coverage) => ({ ...coverage, unarchived: [] }))
    }))
    past.settle(newYear + 40 * microsPerDay)
    expect(past.keys()).toEqual([])
    const hour = begin + 40 * 24
    past.apply([counted({ ...trade, symbol: "new" }, 2, hour)])
    past.settle(newYear + 41 * microsPerDay)
    expect(past.memory().places.size).toBe(1)
    expect(past.messages(streamKey({ ...trade, symbol: "new" }), begin, 1)).toEqual([0])
    expect(past.messages(streamKey({ ...trade, symbol: "new" }), hour, 1)).toEqual([5])
  })
})

const structuredCloneOf = (past: Past) => {
  const { state, ...plain } = past.memory()
  return { ...structuredClone(plain), state }
}
