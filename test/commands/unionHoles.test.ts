import { describe, expect, it } from "@effect/vitest"
import { HashMap } from "effect"
import type { ServerCoverage } from "../../src/commands/coverage/read.ts"
import { unionHoles } from "../../src/commands/merge/unionHoles.ts"
import { applyToCoverage, endOfJournal, noCoverage } from "../../src/domain/Coverage.ts"
import type { JournalEvent } from "../../src/domain/JournalEvent.ts"
import type { StreamId } from "../../src/domain/StreamId.ts"
import { newYear, trade } from "../support/snapshots.ts"

const at = (millis: number) => newYear + millis * 1000
const everything = { from: 0, to: Number.MAX_SAFE_INTEGER }
/** Its numbers are those of a connection. */
const bybitBook: StreamId = { exchange: "bybit", symbol: "BTCUSDT", dataType: "orderbook_diff" }

const gap = (
  stream: StreamId,
  numbers: readonly [number, number],
  millis: readonly [number, number]
): JournalEvent => ({
  _tag: "GapDetected",
  at: at(millis[1]),
  stream,
  rule: "counter",
  scope: "stream",
  expected: numbers[0],
  received: numbers[1],
  size: numbers[1] - numbers[0],
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
    { _tag: "ProcessAlive", process: "p", lastSeen: at(60_000) }
  ]
  const state = all.reduce(
    (before, event, n) => applyToCoverage(before, { id: n + 1, at: "at" in event ? event.at : at(0), event }),
    noCoverage
  )
  return { server: name, streams: Array.from(HashMap.values(endOfJournal(state).streams)) }
}

const holes = (stream: StreamId, ...servers: ReadonlyArray<ServerCoverage>) =>
  unionHoles(servers, { ...stream, date: "2026-01-01" }, everything).windows.map(({ from, to }) => [
    (from - newYear) / 1000,
    (to - newYear) / 1000
  ])

describe("the holes of a union", () => {
  it("has what both miss by number, whenever either noticed", () => {
    const a = server("a", trade, [gap(trade, [100, 105], [10_000, 10_050])])
    const b = server("b", trade, [gap(trade, [100, 105], [10_120, 10_170])])
    expect(holes(trade, a, b)).toEqual([[10_000, 10_170]])
    const c = server("c", trade, [gap(trade, [103, 110], [10_300, 10_400])])
    expect(holes(trade, a, b, c)).toEqual([[10_170, 10_300]])
  })

  it("has nothing that one of them received, though all miss something at the time", () => {
    const a = server("a", trade, [gap(trade, [100, 105], [10_000, 10_050])])
    const b = server("b", trade, [gap(trade, [105, 110], [10_000, 10_060])])
    expect(holes(trade, a, b)).toEqual([])
    expect(holes(trade, a, server("c", trade, []))).toEqual([])
  })

  it("has what one missed while the other was not connected, or soon before or after that", () => {
    const a = server("a", trade, [gap(trade, [100, 105], [10_000, 10_050])])
    expect(holes(trade, a, server("b", trade, [], [9000, 11_000]))).toEqual([[9500, 10_550]])
    expect(holes(trade, a, server("b", trade, [], [9000, 9900]))).toEqual([[9500, 9900]])
    expect(holes(trade, a, server("b", trade, [], [2000, 3000]))).toEqual([])
  })

  it("goes by time, with some slack, where the numbers are not the exchange's own", () => {
    const a = server("a", bybitBook, [gap(bybitBook, [5, 6], [10_000, 10_050])])
    const b = server("b", bybitBook, [gap(bybitBook, [905, 906], [10_120, 10_170])])
    expect(holes(bybitBook, a, b)).toEqual([[9620, 10_550]])
    expect(holes(bybitBook, a, server("c", bybitBook, [gap(bybitBook, [5, 6], [30_000, 30_050])]))).toEqual(
      []
    )
  })
})
