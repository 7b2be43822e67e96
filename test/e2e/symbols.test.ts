import * as NodePath from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { protocols } from "../../src/simulator/protocols.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { environment, program, startCollector, workspace } from "../support/collector.ts"
import { eventually, startNode } from "../support/process.ts"
import { query } from "../support/stored.ts"

const shortHours = NodePath.resolve(import.meta.dirname, "../support/shortHours.mjs")

/** Both URLs of a simulated exchange, as settings. */
const urlsOf = (simulator: Simulator.Simulator) => ({
  [`${simulator.exchange.toUpperCase()}_WS_URL`]: simulator.url(),
  [`${simulator.exchange.toUpperCase()}_REST_URL`]: simulator.httpUrl("/")
})

const warning = /WARN .*not listed by the exchange/

describe.concurrent("symbols that the exchange does not list", () => {
  it.scopedLive("are logged once per exchange, with similar ones; the others are recorded", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const coinbase = yield* Simulator.make({ exchange: "coinbase" })
      const okx = yield* Simulator.make({ exchange: "okx" })
      const bybit = yield* Simulator.make({ exchange: "bybit" })
      const collector = yield* startCollector(where, {
        MARKETS:
          "coinbase:BTC-PERP-INTX,coinbase:ETH-PERP-INTX,coinbase:BTC-USD,okx:BTC-USD,okx:ETH-USDT,okx:BTC-USDT-SWAP,bybit:BTCUSDT",
        ...urlsOf(coinbase),
        ...urlsOf(okx),
        ...urlsOf(bybit)
      })
      yield* collector.awaitLine(warning, 2)
      yield* collector.awaitLine(/ connected /, 3)
      yield* collector.awaitLine(/archived .*symbol(=|%3D)BTC-USD/)
      expect((yield* collector.stop()).code).toBe(0)
      const lines = collector
        .stdout()
        .split("\n")
        .filter((line) => warning.test(line))
      expect(lines.length).toBe(2)
      const nameOf = (exchange: string) => lines.find((line) => line.includes(`exchange=${exchange}`)) ?? ""
      expect(nameOf("coinbase")).toContain(
        "BTC-PERP-INTX (near it: BTC-USD); ETH-PERP-INTX (near it: ETH-USD)"
      )
      expect(nameOf("okx")).toMatch(/symbols="BTC-USD \(near it: BTC-USDT\)"/)
    })
  )

  it.scopedLive("are not looked up if an endpoint was configured without its list", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const okx = yield* Simulator.make({ exchange: "okx" })
      const collector = yield* startCollector(where, {
        MARKETS: "okx:NEW-USDT,okx:BTC-USDT",
        OKX_WS_URL: okx.url(),
        LOG_LEVEL: "debug"
      })
      yield* collector.awaitLine(/subscription refused/)
      yield* collector.awaitLine(/archived .*BTC-USDT/)
      expect((yield* collector.stop()).code).toBe(0)
      expect(collector.stdout()).not.toMatch(/list/)
    })
  )
})

describe.concurrent("symbols of a pattern", () => {
  it.scopedLive.each([
    ["binance", "*", ["CANCEL_ONLY", "HALT", "BREAK"], undefined],
    ["coinbase", "*-USD", ["post_only", "trading_disabled", "offline"], "delisted"],
    ["bybit", "*USDT", ["PreLaunch", "Suspended"], "Closed"],
    ["okx", "*-USDT", ["suspend", "rebase", "post_only"], "expired"],
    ["upbit", "KRW-*", [], undefined],
    ["kraken", "*/USD", ["limit_only", "cancel_only", "maintenance"], "delisted"]
  ] as const)(
    "%s:%s are recorded while they are only suspended, and as long as a list cannot be believed",
    ([exchange, pattern, suspensions, end]) =>
      Effect.gen(function* () {
        const where = yield* workspace
        const simulator = yield* Simulator.make({ exchange, rate: 5 })
        const collector = yield* startNode(["--import", shortHours, program], {
          cwd: where.folder,
          env: environment(where, {
            MARKETS: `${exchange}:${pattern}:trade`,
            ...urlsOf(simulator),
            ARCHIVE_INTERVAL: "600",
            SHORT_HOUR: "700"
          })
        })
        const events = (tag: string) =>
          Effect.map(
            query<{ symbol: string }>(
              where.database,
              `SELECT payload ->> 'symbol' AS symbol FROM journal WHERE tag = '${tag}' ORDER BY id`
            ),
            (rows) => rows.map(({ symbol }) => symbol)
          )
        const subscribed = Effect.map(
          simulator.status,
          ({ connections }) => new Set(connections.flatMap(({ subscriptions }) => subscriptions)).size
        )
        const read = / instrument list read /
        const readings = () =>
          collector
            .stdout()
            .split("\n")
            .filter((line) => read.test(line)).length
        const nextLists = (count: number) => collector.awaitLine(read, readings() + count)
        const symbols = protocols.get(exchange)?.symbols ?? []
        yield* collector.awaitLine(read)
        yield* eventually(
          "all of them",
          Effect.map(subscribed, (count) => count === symbols.length)
        )
        const [first = "", second = "", third = ""] = symbols

        for (const status of suspensions) {
          yield* simulator.inject({ _tag: "status", symbol: first, status })
          yield* nextLists(3)
        }
        yield* simulator.inject({ _tag: "unlist", symbol: second, count: 1 })
        yield* nextLists(3)
        yield* simulator.inject({ _tag: "unlist", keep: 1, count: 2 })
        yield* collector.awaitLine(/WARN .*instrument list shrank by more than half/, 2)
        yield* nextLists(2)
        expect(yield* events("SymbolDelisted")).toEqual([])
        expect(yield* subscribed).toBe(symbols.length)

        if (end !== undefined) {
          yield* simulator.inject({ _tag: "status", symbol: first, status: end })
          yield* collector.awaitLine(/ symbol delisted /)
        }
        yield* simulator.inject({ _tag: "unlist", symbol: third })
        yield* collector.awaitLine(/ symbol delisted /, end === undefined ? 1 : 2)
        yield* eventually(
          "that they were let go",
          Effect.map(subscribed, (count) => count === symbols.length - (end === undefined ? 1 : 2))
        )
        yield* simulator.heal
        yield* collector.awaitLine(/ symbol listed /, end === undefined ? 1 : 2)
        yield* eventually(
          "all of them again",
          Effect.map(subscribed, (count) => count === symbols.length)
        )
        expect((yield* collector.stop()).code).toBe(0)
        const gone = end === undefined ? [third] : [first, third]
        expect(yield* events("SymbolDelisted")).toEqual(gone)
        expect((yield* events("SymbolListed")).toSorted()).toEqual(gone.toSorted())
      })
  )
})

describe("kraken's other instruments", () => {
  it.scopedLive("include tokenised stocks in patterns, and exclude what trades on another exchange", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({
        exchange: "kraken",
        symbols: ["BTC/USD", "TSLAx/USD", "AAPLx/EUR", "ETH/USD:BTNL"],
        rate: 5
      })
      const collector = yield* startNode(["--import", shortHours, program], {
        cwd: where.folder,
        env: environment(where, {
          MARKETS: "kraken:*USD*:trade,kraken:AAPLx/EUR:trade",
          ...urlsOf(simulator),
          SHORT_HOUR: "700"
        })
      })
      yield* collector.awaitLine(/archived .*TSLAx/)
      yield* collector.awaitLine(/archived .*AAPLx/)
      const subscriptions = Effect.map(simulator.status, ({ connections }) =>
        connections.flatMap(({ subscriptions }) => subscriptions).toSorted()
      )
      expect(yield* subscriptions).toEqual(["trade:AAPLx/EUR", "trade:BTC/USD", "trade:TSLAx/USD"])
      yield* simulator.inject({ _tag: "unlist", symbol: "TSLAx/USD" })
      yield* collector.awaitLine(/ symbol delisted .*TSLAx/)
      expect((yield* collector.stop()).code).toBe(0)
      expect(collector.stdout()).not.toMatch(/not listed by the exchange|could not fetch/)
    })
  )
})
