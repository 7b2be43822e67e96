import { describe, expect, it } from "@effect/vitest"
import { HashMap, Option } from "effect"
import { endOfJournal } from "../../src/domain/Coverage/ending.ts"
import { noCoverage } from "../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../src/domain/Coverage.ts"
import { daysOf } from "../../src/domain/CoverageReport.ts"
import type { JournalEntry, JournalEvent } from "../../src/domain/JournalEvent.ts"
import { streamKey } from "../../src/domain/StreamId.ts"
import { book, newYear } from "../support/snapshots.ts"

const second = 1_000_000
const day = 86_400 * second
const range = { from: 0, to: Number.MAX_SAFE_INTEGER }
const latest = newYear + 30 * day

type Timed = readonly [at: number, event: JournalEvent]

const started = (at: number, lastSeen?: number): Timed => [
  at,
  {
    _tag: "ProcessStarted",
    at,
    process: `p${at}`,
    server: "s",
    version: "1",
    previous: lastSeen === undefined ? null : { process: "o", lastSeen }
  }
]
const recording = (at: number): Timed => [at, { _tag: "RecordingStarted", at, streams: [book] }]
const connected = (at: number, connection: string): Timed => [
  at,
  { _tag: "StreamConnected", at, stream: book, connection }
]
const stepped = (from: number, to: number): Timed => [to, { _tag: "ClockStepped", at: to, from, to }]
const counted = (at: number, first: number, last: number): Timed => [
  at,
  {
    _tag: "MessagesCommitted",
    stream: book,
    hour: Math.floor(first / 3_600_000_000),
    messages: 5,
    first,
    last
  }
]
const alive = (at: number): Timed => [at, { _tag: "ProcessAlive", process: "p", lastSeen: at }]

const daysIn = (list: ReadonlyArray<Timed>) => {
  const entries = list.map(([at, event], n): JournalEntry => ({ id: n + 1, at, event }))
  const { streams } = endOfJournal(entries.reduce(applyToCoverage, noCoverage))
  return daysOf(Option.getOrThrow(HashMap.get(streams, streamKey(book))), range, true, latest)
}

const percents = (list: ReadonlyArray<Timed>) =>
  daysIn(list).map(({ date, messages, verifiedPercent }) => [date, messages, Math.round(verifiedPercent)])

/** Seconds of 1970, and of a day of this year. */
const unset = (seconds: number) => seconds * second
const at = (seconds: number) => newYear + seconds * second

const beginUnset = [started(unset(5)), recording(unset(5)), connected(unset(6), "1")]
const beginSet = [
  started(at(0)),
  recording(at(0)),
  connected(at(0), "1"),
  counted(at(600), at(1), at(599)),
  alive(at(600))
]

describe("a machine whose clock starts in 1970", () => {
  it("shows one day for that, all of it to exclude, and what comes once it is set", () => {
    const list = [
      ...beginUnset,
      stepped(unset(90), at(0)),
      counted(at(60), unset(7), unset(89)),
      counted(at(100), at(0), at(100)),
      alive(at(100))
    ]
    expect(percents(list)).toEqual([
      ["1970-01-01", 5, 0],
      ["2026-01-01", 5, 100]
    ])
    const [first] = daysIn(list)
    expect(first?.excludedPercent).toBe(100)
    expect(first?.exclude.map(({ reasons }) => reasons)).toEqual([["down", "clock"]])
    // Where nobody sets it, nothing is claimed either.
    const never = [...beginUnset, counted(unset(90), unset(7), unset(89)), alive(unset(90))]
    expect(percents(never)).toEqual([["1970-01-01", 5, 0]])
  })

  it("leaves a hole where it is off, and takes nothing back of what was recorded before", () => {
    const next = [
      started(unset(5), at(600)),
      recording(unset(5)),
      connected(unset(6), "2"),
      stepped(unset(60), at(1800)),
      counted(at(2400), at(1800), at(2399)),
      alive(at(2400))
    ]
    const [only, ...more] = daysIn([...beginSet, ...next])
    expect(more).toEqual([])
    expect(only?.exclude.map(({ from, reasons, to }) => [from, to, ...reasons])).toEqual([
      [at(600), at(1800), "down"]
    ])
  })

  it("is in doubt where it is set to a time that was recorded already", () => {
    const [only] = daysIn([
      ...beginSet,
      stepped(at(601), unset(5)),
      stepped(unset(9), at(300)),
      counted(at(900), at(300), at(899)),
      alive(at(900))
    ])
    expect(only?.exclude).toHaveLength(1)
    expect(only?.exclude[0]?.from).toBe(at(300))
    expect(only?.exclude[0]?.to).toBeGreaterThanOrEqual(at(600))
  })

  it("that begins anew once it is set, shows no days in between", () => {
    const list = [
      ...beginUnset,
      counted(unset(90), unset(7), unset(89)),
      started(at(0), unset(90)),
      recording(at(0)),
      connected(at(1), "2"),
      counted(at(100), at(2), at(100)),
      alive(at(100))
    ]
    expect(daysIn(list).map(({ date }) => date)).toEqual(["1970-01-01", "2026-01-01"])
  })
})

describe("a clock that was far in the future", () => {
  it("shows the days until tomorrow, and those that have messages", () => {
    const far = newYear + 40 * 365 * day
    const list = [
      ...beginSet,
      stepped(at(600), far),
      counted(far + 60 * second, far, far + 59 * second),
      stepped(far + 60 * second, at(660)),
      counted(at(900), at(660), at(899)),
      alive(at(900))
    ]
    const days = daysIn(list)
    expect(days.length).toBeLessThanOrEqual(32)
    expect(days.at(-1)).toMatchObject({ messages: 5, verifiedPercent: 0, excludedPercent: 100 })
    expect(days[0]?.exclude.map(({ from, reasons }) => [from, ...reasons])).toEqual([
      [at(600), "down", "clock"]
    ])
  })
})
