import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { startCollector, workspace } from "../support/collector.ts"

/** Both URLs of a simulated exchange, as settings. */
const urlsOf = (simulator: Simulator.Simulator) => ({
  [`${simulator.exchange.toUpperCase()}_WS_URL`]: simulator.url(),
  [`${simulator.exchange.toUpperCase()}_REST_URL`]: simulator.httpUrl("/")
})

const warning = /WARN .*not in the exchange's list/

describe.concurrent("symbols that the exchange does not list", () => {
  it.scopedLive("are told once for each exchange, with those near them; the others are recorded", () =>
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
      const of = (exchange: string) => lines.find((line) => line.includes(`exchange=${exchange}`)) ?? ""
      expect(of("coinbase")).toContain("BTC-PERP-INTX (near it: BTC-USD); ETH-PERP-INTX (near it: ETH-USD)")
      expect(of("okx")).toMatch(/symbols="BTC-USD \(near it: BTC-USDT\)"/)
    })
  )

  it.scopedLive("are not looked up where an endpoint was named without its list", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const okx = yield* Simulator.make({ exchange: "okx" })
      const collector = yield* startCollector(where, {
        MARKETS: "okx:NEW-USDT,okx:BTC-USDT",
        OKX_WS_URL: okx.url(),
        LOG_LEVEL: "debug"
      })
      yield* collector.awaitLine(/refused a subscription/)
      yield* collector.awaitLine(/archived .*BTC-USDT/)
      expect((yield* collector.stop()).code).toBe(0)
      expect(collector.stdout()).not.toMatch(/list/)
    })
  )
})
