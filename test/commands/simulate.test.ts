import { Command } from "@effect/cli"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Console, Effect, Fiber } from "effect"
import { simulate } from "../../src/commands/simulate.ts"
import { connect, until } from "../simulator/client.ts"

const run = (...args: ReadonlyArray<string>) =>
  Command.run(simulate, { name: "simulate", version: "0" })(["node", "simulate", ...args]).pipe(
    Effect.provide(NodeContext.layer)
  )

describe("simulate", () => {
  it.scopedLive("prints where it listens and serves until its duration ends", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const fiber = yield* run(
        ...["--port", "0", "--rate", "100", "--symbols", "btcusdt, abcusdt", "--duration", "3"],
        ...["--fault", "close?code=4100", "--fault-every", "1"]
      ).pipe(printingInto(lines), Effect.forkScoped)
      yield* until("a line", () => lines.length > 0)
      const url = /ws:\/\/127\.0\.0\.1:[1-9]\d*\/stream/.exec(lines[0] ?? "")?.[0] ?? ""
      const client = yield* connect(`${url}?streams=abcusdt@trade/btcusdt@depth5`)
      yield* client.receive(4)
      expect((yield* client.awaitClose).code).toBe(4100)
      yield* Fiber.join(fiber)
      expect(lines.length).toBe(1)
    })
  )

  it.live("refuses senseless options", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      for (const args of [
        ["--rate", "fast"],
        ["--fault", "explode"],
        ["--duration", "0"]
      ]) {
        const error = yield* Effect.flip(run(...args)).pipe(printingInto(lines))
        expect(error._tag).toBe("InvalidValue")
      }
    })
  )
})

/** Runs it with a console that keeps lines instead of printing them. */
const printingInto =
  (lines: Array<string>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Console.consoleWith((console) => {
      const keep = (...args: ReadonlyArray<unknown>) => Effect.sync(() => void lines.push(args.join(" ")))
      return Effect.withConsole(effect, { ...console, log: keep, error: keep })
    })
