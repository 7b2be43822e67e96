import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { distance } from "../../src/domain/Integer.ts"
import type { LastMessage } from "../../src/domain/LastMessage.ts"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { doubtOverRestart, numberOf } from "../../src/exchange/resumption.ts"
import { trackStream } from "../../src/exchange/TrackedStream.ts"
import { binance } from "../../src/exchange/venues/binance.ts"
import { bybit } from "../../src/exchange/venues/bybit.ts"
import { coinbase } from "../../src/exchange/venues/coinbase.ts"
import { kraken } from "../../src/exchange/venues/kraken.ts"
import { okx } from "../../src/exchange/venues/okx.ts"
import { upbit } from "../../src/exchange/venues/upbit.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, receive, streamOf } from "./harness.ts"

const cases = [
  [binance, streamOf("binance", "btcusdt", "trade")],
  [binance, streamOf("binance", "btcusdt", "orderbook_diff")],
  [okx, streamOf("okx", "BTC-USDT", "trade")],
  [kraken, streamOf("kraken", "BTC/USD", "trade")]
] as const

const unproven = [
  [binance, streamOf("binance", "btcusdt", "orderbook")],
  [bybit, streamOf("bybit", "BTCUSDT", "orderbook")],
  [coinbase, streamOf("coinbase", "BTC-USD", "trade")],
  [kraken, streamOf("kraken", "BTC/USD", "orderbook")],
  [okx, streamOf("okx", "BTC-USDT", "orderbook")],
  [upbit, streamOf("upbit", "KRW-BTC", "trade")]
] as const

/** Receives a stream, and after `pause` milliseconds once more, knowing what came last the first time. */
const receiveTwice = (
  exchange: Exchange,
  id: ReturnType<typeof streamOf>,
  options: { readonly pause: number; readonly idle: "advance" | "wait"; readonly isToldLate?: boolean }
) =>
  Effect.gen(function* () {
    const simulator = yield* Simulator.make({
      exchange: exchange.name,
      symbols: [id.symbol],
      rate: 20,
      idle: options.idle
    })
    const received = (before?: Effect.Effect<ReadonlyArray<LastMessage>>) =>
      receive(
        {
          exchanges: new Map([[exchange.name, exchange]]),
          streams: [id],
          endpoints: new Map([[exchange.name, new URL(simulator.url())]])
        },
        undefined,
        before
      )
    const last = yield* Effect.scoped(
      Effect.gen(function* () {
        const { of } = yield* received()
        yield* eventually("messages", () => of(id).length > 5)
        return of(id).at(-1)
      })
    )
    yield* Effect.sleep(options.pause)
    const told = yield* Deferred.make<void>()
    const before = {
      stream: id,
      exchangeSequenceId: last?.exchangeSequenceId ?? "",
      at: last?.timestamp ?? 0
    }
    const again = yield* received(Effect.as(Deferred.await(told), [before]))
    if (options.isToldLate !== true) yield* Deferred.succeed(told, undefined)
    yield* eventually("messages again", () => again.of(id).length > 5)
    yield* Deferred.succeed(told, undefined)
    const first = again.of(id)[0]
    const decode = exchange.makeDecoder(new Map([[exchange.channelOf(id), id]]), "c1")
    const frame = decode(Buffer.from(first?.data ?? ""))
    // Several trades may be one message, under the number of the last of them.
    const previous = frame._tag === "Data" ? frame.previous : Number.NaN
    const missing = distance(numberOf(before.exchangeSequenceId), previous)
    return { again, before, first, missing }
  })

describe.concurrent("the first message of a process", () => {
  for (const [exchange, id] of cases) {
    for (const isToldLate of [false, true]) {
      it.scopedLive(
        `${exchange.name} ${id.dataType}: tells what is missing since the last one of the process before${isToldLate ? ", also if that is told later" : ""}`,
        () =>
          Effect.gen(function* () {
            const { again, before, first, missing } = yield* receiveTwice(exchange, id, {
              pause: 700,
              idle: "advance",
              isToldLate
            })
            expect(missing).toBeGreaterThan(3)
            yield* eventually("a gap", () => again.eventsOf("GapDetected").length > 0)
            expect(again.eventsOf("GapDetected")).toMatchObject([
              { stream: id, size: missing, after: before.at, before: first?.timestamp }
            ])
            expect((yield* again.stream.status).map(({ gaps }) => gaps)).toEqual([1])
          })
      )
    }

    it.scopedLive(`${exchange.name} ${id.dataType}: tells of no gap where nothing is missing`, () =>
      Effect.gen(function* () {
        const { again, missing } = yield* receiveTwice(exchange, id, { pause: 300, idle: "wait" })
        expect(again.eventsOf("GapDetected").map(({ size }) => size)).toEqual(missing === 0 ? [] : [missing])
      })
    )
  }

  for (const [exchange, id] of unproven) {
    it.scopedLive(
      `${exchange.name} ${id.dataType}: is in doubt from the last one on, as numbers prove nothing`,
      () =>
        Effect.gen(function* () {
          const { again, before, first } = yield* receiveTwice(exchange, id, { pause: 300, idle: "advance" })
          expect(again.eventsOf("GapDetected")).toEqual([])
          const doubt = again.eventsOf("Discontinuity").find(({ at }) => at === first?.timestamp)
          expect(doubt).toMatchObject({ stream: id, reason: "reconnect", after: before.at })
          expect(doubt?.before).toBeLessThanOrEqual(first?.timestamp ?? 0)
          expect(doubt?.before).toBeGreaterThan(before.at)
        })
    )
  }

  const before = { stream: cases[0][1], exchangeSequenceId: "1000", at: 5 }
  const trade = (last: number) => ({ at: 9, since: 8, previous: last - 1, last, snapshot: false })
  const tracked = trackStream(binance, cases[0][1])

  it("is in doubt from the last one on where numbers went back meanwhile", () => {
    expect(doubtOverRestart(tracked, before, trade(7))).toMatchObject({
      ...{ _tag: "Discontinuity", reason: "set back", after: 5, before: 9 }
    })
  })

  it("tells of nothing where it is the next one, or the same", () => {
    expect([1000, 1001].map((last) => doubtOverRestart(tracked, before, trade(last)))).toEqual([
      undefined,
      undefined
    ])
  })

  it("is in doubt where the last id has no number that is known", () => {
    const other = { ...before, exchangeSequenceId: "snapshot-c1-7" }
    expect(doubtOverRestart(tracked, other, trade(1001))?._tag).toBe("Discontinuity")
  })
})

describe("the number up to which a message goes", () => {
  it("is in its sequence id", () => {
    const ids = ["7", "3-7", "3-7-5", "7~0f3a", "snapshot-k3-7", "", "a1b2", "3-7-5-9", "0x7"]
    expect(ids.map(numberOf)).toEqual([7, 7, 7, 7, NaN, NaN, NaN, NaN, NaN])
  })
})
