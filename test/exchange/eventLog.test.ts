import { describe, expect, it } from "@effect/vitest"
import { Effect, HashMap, Logger, TestClock } from "effect"
import type { ExchangeEvent } from "../../src/domain/ExchangeEvent.ts"
import { makeEventLog } from "../../src/exchange/eventLog.ts"
import { streamOf } from "./harness.ts"

const gap = (symbol: string, at: number): ExchangeEvent => ({
  _tag: "GapDetected",
  at: at * 1000,
  stream: streamOf("binance", symbol, "trade"),
  rule: "counter",
  scope: "stream",
  expected: 2 * at + 1,
  received: 2 * at + 2,
  size: 1,
  after: at * 1000 - 1,
  before: at * 1000
})

/** The lines that are written of so many gaps a second of each of these symbols. */
const linesOf = (symbols: ReadonlyArray<string>, perSecond: number, seconds: number) =>
  Effect.gen(function* () {
    const lines: Array<Record<string, unknown>> = []
    const logger = Logger.make(({ annotations, message }) => {
      lines.push({ message: String(message), ...Object.fromEntries(HashMap.toEntries(annotations)) })
    })
    const log = yield* makeEventLog
    yield* Effect.fork(log.run.pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger))))
    for (let second = 0; second < seconds; second++) {
      for (let i = 0; i < perSecond; i++)
        for (const symbol of symbols) log.offer(gap(symbol, second * 1000 + i))
      yield* TestClock.adjust("1 second")
    }
    return lines
  })

describe("the log of events", () => {
  it.effect("tells a run of gaps in a line every 10 s, with how many there were", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf(["btcusdt"], 1000, 60)
      expect(lines).toHaveLength(10 + 6)
      expect(lines.at(-1)).toMatchObject({
        message: "gap detected",
        stream: "binance:btcusdt:trade",
        count: 10_000,
        size: 10_000
      })
    })
  )

  it.effect("has a line a second at most of the runs of many streams", () =>
    Effect.gen(function* () {
      const symbols = Array.from({ length: 60 }, (_, i) => `s${i}usdt`)
      const lines = yield* linesOf(symbols, 5, 130)
      expect(lines).toHaveLength(60 * 10 + 60 * 3)
    })
  )
})
