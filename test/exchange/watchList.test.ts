import { createServer } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Mailbox, TestClock, TestServices } from "effect"
import type { MarketPattern } from "../../src/domain/MarketPattern.ts"
import type { Instrument } from "../../src/exchange/Exchange.ts"
import { okx } from "../../src/exchange/venues/okx.ts"
import { watchList } from "../../src/exchange/watchList.ts"
import { patience } from "../support/pace.ts"

const all: ReadonlyArray<MarketPattern> = [{ exchange: "okx", pattern: "*", dataTypes: ["trade"] }]
const toUsdt: ReadonlyArray<MarketPattern> = [{ exchange: "okx", pattern: "*-USDT", dataTypes: ["trade"] }]

describe("the list of instruments", () => {
  it.scoped("is looked up at the start and every hour", () =>
    Effect.gen(function* () {
      const server = yield* listServer
      const lists: Array<ReadonlyArray<string>> = []
      yield* Effect.forkScoped(
        watchList(
          {
            exchange: okx,
            restUrl: () => server.url,
            patterns: () => all,
            takeNamed: () => new Set(),
            changed: Effect.unsafeMakeLatch(false),
            announced: yield* Mailbox.make<ReadonlyArray<Instrument>>(),
            refreshEvery: Duration.hours(1)
          },
          (streams) => lists.push(streams.map(({ symbol }) => symbol))
        )
      )
      /** Real time passes until so many lists were handed over, and then some more. */
      const handedOver = (count: number) =>
        Effect.sleep("20 millis").pipe(
          Effect.repeat({ until: () => lists.length >= count }),
          Effect.zipRight(Effect.sleep("100 millis")),
          Effect.timeout(patience),
          TestServices.provideLive
        )
      yield* handedOver(1)
      server.symbols = ["A-USDT", "B-USDT"]
      yield* TestClock.adjust("59 minutes")
      yield* handedOver(1)
      expect(server.requests).toBe(1)
      yield* TestClock.adjust("1 minutes")
      yield* handedOver(2)
      server.symbols = ["B-USDT"]
      for (const count of [3, 4]) {
        yield* TestClock.adjust("1 hours")
        yield* handedOver(count)
      }
      expect(server.requests).toBe(4)
      expect(lists).toEqual([["A-USDT"], ["A-USDT", "B-USDT"], ["A-USDT", "B-USDT"], ["B-USDT"]])
    })
  )

  it.scopedLive(
    "is followed at once where the exchange announces a change, and outlives a list that lags",
    () =>
      Effect.gen(function* () {
        const server = yield* listServer
        server.symbols = ["A-USDT", "A-EUR", "B-EUR", "C-EUR", "D-EUR"]
        const announced = yield* Mailbox.make<ReadonlyArray<Instrument>>()
        const lists: Array<ReadonlyArray<string>> = []
        const until = (count: number) =>
          Effect.sleep("5 millis").pipe(
            Effect.repeat({ until: () => lists.length >= count }),
            Effect.timeout(patience)
          )
        yield* Effect.forkScoped(
          watchList(
            {
              exchange: okx,
              restUrl: () => server.url,
              patterns: () => toUsdt,
              takeNamed: () => new Set(),
              changed: Effect.unsafeMakeLatch(false),
              announced,
              refreshEvery: Duration.seconds(1)
            },
            (streams) => lists.push(streams.map(({ symbol }) => symbol))
          )
        )
        yield* until(1)
        announced.unsafeOffer([
          { symbol: "NEW-USDT", state: "traded" },
          { symbol: "SOON-USDT", state: "resting" },
          { symbol: "NEW-EUR", state: "traded" }
        ])
        yield* until(2)
        expect(lists[1]).toEqual(["A-USDT", "NEW-USDT"])
        yield* until(3)
        expect(lists[2]).toEqual(["A-USDT", "NEW-USDT"])
        announced.unsafeOffer([{ symbol: "A-USDT", state: "ended" }])
        yield* Effect.sleep("5 millis").pipe(
          Effect.repeat({ until: () => lists.some((list) => !list.includes("A-USDT")) }),
          Effect.timeout(patience)
        )
      })
  )

  it.scoped("is looked up once where only names are given", () =>
    Effect.gen(function* () {
      const server = yield* listServer
      const changed = yield* Effect.makeLatch(false)
      const named = ["A-USDT"]
      yield* watchList(
        {
          exchange: okx,
          restUrl: () => server.url,
          patterns: () => [],
          takeNamed: () => new Set(named.splice(0)),
          changed,
          announced: yield* Mailbox.make<ReadonlyArray<Instrument>>(),
          refreshEvery: Duration.hours(1)
        },
        () => expect.fail("there is no pattern")
      ).pipe(Effect.forkScoped)
      const requests = (count: number) =>
        Effect.sleep("20 millis").pipe(
          Effect.repeat({ until: () => server.requests >= count }),
          Effect.zipRight(Effect.sleep("100 millis")),
          Effect.timeout(patience),
          TestServices.provideLive
        )
      yield* requests(1)
      yield* TestClock.adjust("2 hours")
      yield* requests(1)
      expect(server.requests).toBe(1)
      named.push("C-USDT")
      yield* changed.open
      yield* requests(2)
      expect(server.requests).toBe(2)
    })
  )

  it.scoped("is looked up at once for other patterns, and what it listed before is not forgotten", () =>
    Effect.gen(function* () {
      const server = yield* listServer
      const lists: Array<readonly [ReadonlyArray<string>, boolean]> = []
      const changed = yield* Effect.makeLatch(false)
      let patterns = all
      server.symbols = ["A-USDT", "B-USDT", "C-USDT", "D-USDT", "E-USDT"]
      yield* Effect.forkScoped(
        watchList(
          {
            exchange: okx,
            restUrl: () => server.url,
            patterns: () => patterns,
            takeNamed: () => new Set(),
            changed,
            announced: yield* Mailbox.make<ReadonlyArray<Instrument>>(),
            refreshEvery: Duration.hours(1)
          },
          (streams, isFirst) => lists.push([streams.map(({ symbol }) => symbol), isFirst])
        )
      )
      const until = (holds: () => boolean) =>
        Effect.sleep("20 millis").pipe(
          Effect.repeat({ until: holds }),
          Effect.zipRight(Effect.sleep("100 millis")),
          Effect.timeout(patience),
          TestServices.provideLive
        )
      yield* until(() => lists.length === 1)
      // Less than half of it, which is not believed yet.
      server.symbols = ["A-USDT"]
      patterns = [{ exchange: "okx", pattern: "B*", dataTypes: ["trade"] }]
      yield* changed.open
      yield* until(() => server.requests === 2)
      server.symbols = ["A-USDT", "B-USDT", "C-USDT", "D-USDT", "BB-USDT"]
      yield* TestClock.adjust("1 hours")
      yield* until(() => lists.length === 2)
      expect(lists[1]).toEqual([["B-USDT", "BB-USDT"], true])
    })
  )
})

/** OKX's list, of whatever symbols. */
const listServer = Effect.acquireRelease(
  Effect.async<{ url: string; symbols: ReadonlyArray<string>; requests: number; close: () => void }>(
    (resume) => {
      const server = createServer((_, response) => {
        state.requests++
        const data = state.symbols.map((instId) => ({ instId, state: "live" }))
        response.end(JSON.stringify({ code: "0", data }))
      })
      const state = { url: "", symbols: ["A-USDT"], requests: 0, close: () => void server.close() }
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        state.url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
        resume(Effect.succeed(state))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)
