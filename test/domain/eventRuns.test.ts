import { describe, expect, it } from "@effect/vitest"
import { FastCheck, HashMap } from "effect"
import { endOfJournal } from "../../src/domain/Coverage/ending.ts"
import { noCoverage } from "../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../src/domain/Coverage.ts"
import { holesOf } from "../../src/domain/CoverageReport.ts"
import type { GapDetected } from "../../src/domain/ExchangeEvent.ts"
import { makeEventRuns } from "../../src/domain/eventRuns.ts"
import type { JournalEvent, ReceivingEvent } from "../../src/domain/JournalEvent.ts"
import { difference, type Window } from "../../src/domain/Window.ts"
import { book, trade } from "../support/snapshots.ts"

const second = 1_000_000
const begin = 1_800_000_000 * second

/** What is journalled of events, if what is kept is handed on after some of them. */
const journalled = (events: ReadonlyArray<ReceivingEvent>, isTaken: (i: number) => boolean) => {
  const told: Array<ReceivingEvent> = []
  const runs = makeEventRuns<ReceivingEvent>((event) => told.push(event))
  events.forEach((event, i) => {
    runs.pass(event)
    if (isTaken(i)) runs.take()
  })
  runs.take()
  return told
}

/** The times that are left out, by stream. */
const holesOfAll = (events: ReadonlyArray<ReceivingEvent>, within: Window) => {
  const all: ReadonlyArray<JournalEvent> = [
    { _tag: "ProcessStarted", process: "p", server: "s", version: "1", previous: null },
    { _tag: "RecordingStarted", at: within.from, streams: [book, trade] },
    ...events
  ]
  const state = endOfJournal(
    all.reduce(
      (before, event, i) =>
        applyToCoverage(before, {
          id: i + 1,
          at: "at" in event && event.at !== undefined ? event.at : within.from,
          event
        }),
      noCoverage
    ),
    within.to
  )
  return Array.from(HashMap.values(state.streams), (coverage) => ({
    coverage,
    holes: holesOf(coverage, within)
  }))
}

const gapAt = (
  at: number,
  after: number | null,
  before: number | null,
  number = at
): typeof GapDetected.Type => ({
  _tag: "GapDetected",
  at,
  stream: book,
  rule: "counter",
  scope: "stream",
  expected: number,
  received: number + 1,
  size: 1,
  after,
  before
})

/** Events in the order in which they happen, many of them at frame rate, some with a clock that is set. */
const anyEvents = FastCheck.array(
  FastCheck.record({
    pause: FastCheck.oneof(
      { weight: 20, arbitrary: FastCheck.nat({ max: 20_000 }) },
      { weight: 1, arbitrary: FastCheck.integer({ min: -2 * second, max: 20 * second }) }
    ),
    stream: FastCheck.constantFrom(book, trade),
    length: FastCheck.option(FastCheck.nat({ max: 50_000 })),
    hasBefore: FastCheck.boolean(),
    number: FastCheck.nat({ max: 5 }),
    kind: FastCheck.constantFrom<string>(
      ...["gap", "gap", "gap", "gap", "snapshot", "set back", "connected", "disconnected", "stepped"]
    )
  }),
  { minLength: 1, maxLength: 120 }
).map((parts) => {
  let at = begin
  return parts.map(({ hasBefore, kind, length, number, pause, stream }, i): ReceivingEvent => {
    const from = at
    at = Math.max(begin, at + pause)
    const times = { after: length === null ? null : at - length, before: hasBefore ? at : null }
    switch (kind) {
      case "connected":
        return { _tag: "StreamConnected", at, stream, connection: "c" }
      case "disconnected":
        return {
          _tag: "StreamDisconnected",
          at,
          stream,
          connection: "c",
          kind: "closed",
          reason: "",
          code: null
        }
      case "stepped":
        return { _tag: "ClockStepped", at, from, to: at }
      case "snapshot":
      case "set back":
        return { _tag: "Discontinuity", at, stream, reason: kind, ...times }
      default:
        return { ...gapAt(at, null, null, 10 * i + number), stream, ...times }
    }
  })
})

describe("runs of events", () => {
  it("leave all time in doubt that the individual events would", () => {
    FastCheck.assert(
      FastCheck.property(anyEvents, FastCheck.func(FastCheck.boolean()), (events, isTaken) => {
        const within = { from: begin - second, to: begin + 4000 * second }
        const told = journalled(events, isTaken)
        const merged = holesOfAll(told, within)
        for (const [i, { coverage, holes }] of holesOfAll(events, within).entries()) {
          expect(merged[i]?.coverage.stream).toEqual(coverage.stream)
          expect(difference(holes, merged[i]?.holes ?? [])).toEqual([])
        }
        const sum = (list: ReadonlyArray<ReceivingEvent>) =>
          list.reduce((count, event) => count + ("count" in event ? (event.count ?? 1) : 1), 0)
        expect(sum(told)).toBe(sum(events))
      }),
      { numRuns: 300 }
    )
  })

  it("are journalled individually at first, and then as one", () => {
    const events = Array.from({ length: 365 }, (_, i) =>
      gapAt(begin + i * 2000, begin + (i - 1) * 2000, begin + i * 2000, 2 * i)
    )
    const told = journalled(events, () => false)
    expect(told).toEqual([
      ...events.slice(0, 10),
      {
        ...events[364],
        count: 355,
        expected: 20,
        received: 729,
        size: 355,
        after: begin + 9 * 2000,
        before: begin + 364 * 2000
      }
    ])
  })

  it("have no range of numbers if these do not increase", () => {
    const numbers = [...Array.from({ length: 11 }, (_, i) => i), 50, 20, 60, 70]
    const told = journalled(
      numbers.map((number, i) => gapAt(begin + i, begin + i - 1, begin + i, number)),
      () => false
    )
    expect(told.at(-1)).toMatchObject({ count: 5, expected: 71, received: 71, size: 5 })
  })

  it("are over after 10 s without another one", () => {
    const events = Array.from({ length: 30 }, (_, i) => gapAt(begin + i * 11 * second, null, null))
    expect(journalled(events, () => false)).toEqual(events)
  })
})
