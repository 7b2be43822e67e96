import { describe, expect, it } from "@effect/vitest"
import { Chunk, FastCheck, HashMap, Option } from "effect"
import type { ServerCoverage } from "../../src/commands/coverage/read.ts"
import { type Merged, unionHoles } from "../../src/commands/merge/unionHoles.ts"
import { endOfJournal } from "../../src/domain/Coverage/ending.ts"
import { noCoverage } from "../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../src/domain/Coverage.ts"
import { noStatuses } from "../../src/domain/ExchangeStatuses.ts"
import { distance, type Integer } from "../../src/domain/Integer.ts"
import type { JournalEvent } from "../../src/domain/JournalEvent.ts"
import type { StreamId } from "../../src/domain/StreamId.ts"
import { newYear, trade } from "../support/snapshots.ts"

const at = (millis: number) => newYear + millis * 1000
const everything = { from: 0, to: Number.MAX_SAFE_INTEGER }
/** Its numbers are those of a connection. */
const bybitBook: StreamId = { exchange: "bybit", symbol: "BTCUSDT", dataType: "orderbook_diff" }

const gap = (
  stream: StreamId,
  numbers: readonly [Integer, Integer],
  millis: readonly [number, number]
): JournalEvent => ({
  _tag: "GapDetected",
  at: at(millis[1]),
  stream,
  rule: "counter",
  scope: "stream",
  expected: numbers[0],
  received: numbers[1],
  size: distance(...numbers),
  after: at(millis[0]),
  before: at(millis[1])
})

/** A server that was connected to the stream from 0 to 60 s, but for the times when it was not. */
const server = (
  name: string,
  stream: StreamId,
  events: ReadonlyArray<JournalEvent>,
  down?: readonly [number, number]
): ServerCoverage => {
  const connected = (millis: number): JournalEvent => ({
    _tag: "StreamConnected",
    at: at(millis),
    stream,
    connection: "1"
  })
  const all: ReadonlyArray<JournalEvent> = [
    { _tag: "RecordingStarted", at: at(0), streams: [stream] },
    connected(0),
    ...(down === undefined
      ? []
      : [
          {
            _tag: "StreamDisconnected",
            at: at(down[0]),
            stream,
            connection: "1",
            kind: "closed",
            reason: "",
            code: null
          } as const,
          connected(down[1])
        ]),
    ...events,
    // On another day, so that it proves the time before, and is not asked for.
    {
      _tag: "MessagesCommitted",
      stream,
      hour: Math.floor(newYear / 3_600_000_000) + 24,
      messages: 1,
      first: at(0),
      last: at(86_400_000)
    },
    { _tag: "ProcessAlive", process: "p", lastSeen: at(60_000) }
  ]
  const state = all.reduce(
    (before, event, n) => applyToCoverage(before, { id: n + 1, at: "at" in event ? event.at : at(0), event }),
    noCoverage
  )
  return {
    server: name,
    clock: new Map(),
    statuses: noStatuses,
    names: new Set([name]),
    streams: Array.from(HashMap.values(endOfJournal(state).streams))
  }
}

const holes = (stream: StreamId, ...servers: ReadonlyArray<ServerCoverage>) =>
  holesWith(stream, new Map(), servers)

const holesWith = (
  stream: StreamId,
  merged: ReadonlyMap<string, Merged>,
  servers: ReadonlyArray<ServerCoverage>
) =>
  unionHoles(servers, { ...stream, date: "2026-01-01" }, everything, merged).windows.map(({ from, to }) => [
    (from - newYear) / 1000,
    (to - newYear) / 1000
  ])

describe("the holes of a union", () => {
  it("include what both miss by number, whenever either noticed", () => {
    const a = server("a", trade, [gap(trade, [100, 105], [10_000, 10_050])])
    const b = server("b", trade, [gap(trade, [100, 105], [10_120, 10_170])])
    expect(holes(trade, a, b)).toEqual([[10_000, 10_170]])
    const c = server("c", trade, [gap(trade, [103, 110], [10_300, 10_400])])
    expect(holes(trade, a, b, c)).toEqual([[10_170, 10_300]])
  })

  it("compare numbers beyond 2^53 exactly", () => {
    const n = 2n ** 53n
    const a = server("a", trade, [gap(trade, [n, n + 1n], [10_000, 10_050])])
    expect(holes(trade, a, server("b", trade, [gap(trade, [n + 1n, n + 2n], [10_000, 10_050])]))).toEqual([])
    expect(
      holes(trade, a, server("c", trade, [gap(trade, [2 ** 53 - 1, n + 5n], [10_100, 10_200])]))
    ).toEqual([[10_000, 10_050]])
  })

  it("exclude what one of them received, even if all miss something at that time", () => {
    const a = server("a", trade, [gap(trade, [100, 105], [10_000, 10_050])])
    const b = server("b", trade, [gap(trade, [105, 110], [10_000, 10_060])])
    expect(holes(trade, a, b)).toEqual([])
    expect(holes(trade, a, server("c", trade, []))).toEqual([])
  })

  it("include what one missed while the other was not connected, or shortly before or after", () => {
    const a = server("a", trade, [gap(trade, [100, 105], [10_000, 10_050])])
    expect(holes(trade, a, server("b", trade, [], [9000, 11_000]))).toEqual([[9500, 10_550]])
    expect(holes(trade, a, server("b", trade, [], [9000, 9900]))).toEqual([[9500, 9900]])
    expect(holes(trade, a, server("b", trade, [], [2000, 3000]))).toEqual([])
  })

  it("are compared by time, with some tolerance, if the numbers are not the exchange's own", () => {
    const a = server("a", bybitBook, [gap(bybitBook, [5, 6], [10_000, 10_050])])
    const b = server("b", bybitBook, [gap(bybitBook, [905, 906], [10_120, 10_170])])
    expect(holes(bybitBook, a, b)).toEqual([[9620, 10_550]])
    expect(holes(bybitBook, a, server("c", bybitBook, [gap(bybitBook, [5, 6], [30_000, 30_050])]))).toEqual(
      []
    )
  })

  const hour = Math.floor(newYear / 3_600_000_000)
  const committed = (messages: number): JournalEvent => ({
    _tag: "MessagesCommitted",
    stream: trade,
    hour,
    messages,
    first: at(0),
    last: at(59_000)
  })
  const mergedOf = (messages: number, ...spans: ReadonlyArray<readonly [number, number]>): Merged => ({
    spans: spans.map(([from, to]) => ({ from: at(from), to: at(to) })),
    unread: [],
    hours: new Map([[hour, messages]])
  })

  it("include what was committed but not merged, outside the objects", () => {
    const a = server("a", trade, [committed(100)])
    expect(holesWith(trade, new Map([["a", mergedOf(100, [1000, 59_000])]]), [a])).toEqual([])
    expect(holesWith(trade, new Map([["a", mergedOf(60, [1000, 40_000])]]), [a])).toEqual([
      [0, 1000],
      [40_000, 60_000]
    ])
    expect(holesWith(trade, new Map(), [a])).toEqual([[0, 60_000]])
    // all that there is lies in one object, and is too little
    expect(holesWith(trade, new Map([["a", mergedOf(60, [-1000, 61_000])]]), [a])).toEqual([[0, 60_000]])
    const b = server("b", trade, [committed(100)])
    const both = new Map([
      ["a", mergedOf(60, [1000, 40_000])],
      ["b", mergedOf(50, [30_000, 59_000])]
    ])
    expect(holesWith(trade, both, [a, b])).toEqual([
      [0, 1000],
      [59_000, 60_000]
    ])
  })

  it("include the time between the end of one and the start of the other", () => {
    const shifted = (server: ServerCoverage, millis: number): ServerCoverage => ({
      ...server,
      streams: server.streams.map((stream) => ({
        ...stream,
        wanted: { from: stream.wanted.from + millis * 1000, to: stream.wanted.to + millis * 1000 },
        connected: Chunk.map(stream.connected, (window) => ({
          ...window,
          from: window.from + millis * 1000,
          to: window.to + millis * 1000
        }))
      }))
    })
    const a = server("a", trade, [])
    const b = shifted(server("b", trade, []), 90_000)
    expect(holes(trade, a, b)).toEqual([[60_000, 90_000]])
    // before its first message ever nothing is missing of the one, but of both
    const notBefore = (server: ServerCoverage, from: number, to: number): ServerCoverage => ({
      ...server,
      streams: server.streams.map((stream) => ({
        ...stream,
        wanted: { ...stream.wanted, from: at(from) },
        begunAt: Option.some(at(to))
      }))
    })
    const late = notBefore(b, 70_000, 90_000)
    expect(holes(trade, late)).toEqual([])
    expect(holes(trade, a, late)).toEqual([[60_000, 90_000]])
    expect(holes(trade, late, notBefore(a, -9000, 0))).toEqual([[60_000, 90_000]])
  })

  const Gaps = FastCheck.array(
    FastCheck.record({
      first: FastCheck.nat(200),
      length: FastCheck.integer({ min: 1, max: 9 }),
      late: FastCheck.nat(300)
    }),
    { maxLength: 12 }
  )

  it("are exactly the messages that none of them has, by number", () => {
    FastCheck.assert(
      FastCheck.property(Gaps, Gaps, Gaps, (...all) => {
        // the n-th message is sent at 100 n ms; gaps of one server do not overlap
        const told = all.map((gaps) => {
          let after = 0
          return gaps
            .toSorted((a, b) => a.first - b.first)
            .flatMap(({ first, late, length }) => {
              const begin = Math.max(first, after)
              after = begin + length + 1
              return [
                {
                  first: begin,
                  end: begin + length,
                  from: begin * 100 + late - 100,
                  to: (begin + length) * 100 + late
                }
              ]
            })
        })
        const missed = (n: number) =>
          told.every((gaps) => gaps.some(({ end, first }) => n >= first && n < end))
        const left = holes(
          trade,
          ...told.map((gaps, i) =>
            server(
              `${i}`,
              trade,
              gaps.map(({ end, first, from, to }) => gap(trade, [first, end], [from, to]))
            )
          )
        )
        const any = Array.from({ length: 400 }, (_, n) => n).some(missed)
        expect(left.length > 0).toBe(any)
      })
    )
  })

  it("are found in time that grows with the gaps, not with their square", () => {
    /** Of this process, so that others that are busy do not count. */
    const processorTime = (gaps: number) => {
      const many = (name: string) =>
        server(
          name,
          trade,
          Array.from({ length: gaps }, (_, n) => gap(trade, [3 * n, 3 * n + 1], [3 * n, 3 * n + 1]))
        )
      const servers = [many("a"), many("b")]
      const begin = process.cpuUsage()
      expect(holes(trade, ...servers).length).toBe(gaps)
      const { system, user } = process.cpuUsage(begin)
      return system + user
    }
    processorTime(2000)
    // eight times as many: 64 times as long if it were their square
    expect(processorTime(20_000) / processorTime(2500)).toBeLessThan(24)
  })
})
