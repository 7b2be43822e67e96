import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import type { LastMessage } from "../../src/domain/LastMessage.ts"
import { binance } from "../../src/exchange/binance.ts"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { kraken } from "../../src/exchange/kraken.ts"
import { okx } from "../../src/exchange/okx.ts"
import { numberOf } from "../../src/exchange/resumption.ts"
import { upbit } from "../../src/exchange/upbit.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, receive, streamOf } from "./harness.ts"

const cases = [
  [binance, streamOf("binance", "btcusdt", "trade")],
  [binance, streamOf("binance", "btcusdt", "orderbook_diff")],
  [okx, streamOf("okx", "BTC-USDT", "trade")],
  [kraken, streamOf("kraken", "BTC/USD", "trade")]
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
    const missing = firstNumberOf(first?.exchangeSequenceId ?? "") - numberOf(before.exchangeSequenceId) - 1
    return { again, before, first, missing }
  })

const firstNumberOf = (id: string): number => Number(id.split("-")[0])

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

  it.scopedLive("says nothing where numbers prove nothing", () =>
    Effect.gen(function* () {
      const id = streamOf("upbit", "KRW-BTC", "trade")
      const { again } = yield* receiveTwice(upbit, id, { pause: 300, idle: "advance" })
      expect(again.eventsOf("GapDetected")).toEqual([])
    })
  )
})

describe("the number up to which a message goes", () => {
  it("is in its sequence id", () => {
    const ids = ["7", "3-7", "3-7-5", "7~0f3a", "snapshot-k3-7", "", "a1b2", "3-7-5-9", "0x7"]
    expect(ids.map(numberOf)).toEqual([7, 7, 7, 7, NaN, NaN, NaN, NaN, NaN])
  })
})
