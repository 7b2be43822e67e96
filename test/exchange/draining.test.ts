import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { binance } from "../../src/exchange/venues/binance.ts"
import { okx } from "../../src/exchange/venues/okx.ts"
import { protocols } from "../../src/simulator/protocols.ts"
import { eventually, simulate, streamOf } from "./harness.ts"

describe.concurrent("a server that announces the end of every new connection", () => {
  it.scopedLive.each([["binance", binance] as const, ["okx", okx] as const])(
    "%s: has them replaced once, and then they are kept until they end",
    ([name, exchange]) =>
      Effect.gen(function* () {
        const id = streamOf(name, protocols.get(name)?.symbols[0] ?? "", "trade")
        const { eventsOf, of, simulator, stream } = yield* simulate(exchange, [id], { rate: 50 })
        yield* eventually("messages", () => of(id).length > 20)
        yield* simulator.inject({ _tag: "shutdown", for: 600_000 })
        yield* eventually("the handover", () => eventsOf("ConnectionEnded").length > 0)
        yield* Effect.sleep("6 seconds")
        // The one at the start, the one that took over from it, and the one after, of a connection that was new.
        expect((yield* simulator.status).accepted).toBeLessThanOrEqual(3)
        expect((yield* simulator.status).connections.length).toBe(1)
        expect((yield* stream.status)[0]?.state).toBe("live")
        expect(eventsOf("GapDetected")).toEqual([])

        yield* simulator.inject({ _tag: "terminate" })
        const before = of(id).length
        yield* eventually("messages again", () => of(id).length > before + 20, 10)
        const { violations } = yield* simulator.status
        expect(violations).toEqual({})
      })
  )
})
