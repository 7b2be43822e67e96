import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { difference, union } from "../../src/domain/Window.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { environment, program, workspace } from "../support/collector.ts"
import { eventually, runNode, startNode } from "../support/process.ts"
import { countRows, query } from "../support/stored.ts"

const setClock = NodePath.resolve(import.meta.dirname, "../support/setClock.mjs")

describe.concurrent("a wall clock that is set while the collector runs", () => {
  for (const [direction, hours] of [
    ["back", -1],
    ["forward", 1]
  ] as const) {
    it.scopedLive(`${direction}: stamps follow it, and the time in between is in doubt`, () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
        const file = NodePath.join(where.folder, "offset")
        NodeFs.writeFileSync(file, "0")
        const env = environment(where, {
          MARKETS: "binance:btcusdt",
          BINANCE_WS_URL: simulator.url(),
          ARCHIVE_INTERVAL: "3600",
          CLOCK_OFFSET: file
        })
        const collector = yield* startNode(["--import", setClock, program], { cwd: where.folder, env })
        yield* collector.awaitLine(/ connected /)
        yield* eventually(
          "rows",
          Effect.map(countRows(where.database), (rows) => rows > 50)
        )
        NodeFs.writeFileSync(file, String(hours * 3_600_000))
        yield* eventually(
          "the step in the journal",
          Effect.map(
            query(where.database, "SELECT 1 FROM journal WHERE tag = 'ClockStepped'"),
            (steps) => steps.length > 0
          )
        )
        const [step] = yield* query<{ from: number; to: number }>(
          where.database,
          "SELECT payload ->> 'from' AS \"from\", payload ->> 'to' AS \"to\" FROM journal WHERE tag = 'ClockStepped'"
        )
        const [from, to] = [Number(step?.from), Number(step?.to)]
        expect(Math.abs(to - from - hours * 3_600_000_000)).toBeLessThan(1_000_000)
        const stamps = Effect.map(
          query<{ after: number; distinct: number }>(
            where.database,
            `SELECT count(*) AS after, count(DISTINCT timestamp) AS "distinct" FROM snapshots
             WHERE timestamp ${hours < 0 ? "<" : ">="} ${hours < 0 ? from - 1_800_000_000 : to}`
          ),
          ([row]) => row ?? { after: 0, distinct: 0 }
        )
        yield* eventually(
          "more rows",
          Effect.map(stamps, ({ after }) => after > 90)
        )
        expect((yield* collector.stop()).code).toBe(0)
        expect(collector.stdout()).toMatch(/system clock was changed.* seconds=-?3[56]\d\d\.\d/)

        const { after, distinct } = yield* stamps
        expect(distinct).toBeGreaterThan(after / 2 - 1)

        const run = (...args: ReadonlyArray<string>) =>
          runNode([program, ...args], { cwd: where.folder, env })
        const days = yield* Schema.decodeUnknown(Schema.parseJson(Days))(
          (yield* run("coverage", "--json")).stdout
        )
        const excluded = days
          .flatMap(({ exclude }) => exclude)
          .filter(({ reasons }) => reasons.includes("clock"))
          .reduce((sum, window) => sum + Date.parse(window.to) - Date.parse(window.from), 0)
        expect(excluded).toBeGreaterThanOrEqual(2 * 3_600_000 - 2000)
        expect((yield* run("archive")).code).toBe(0)
        expect(yield* countRows(where.database)).toBe(0)
        const verified = yield* run("verify", "--deep")
        expect(verified.stderr).toBe("")
        expect(verified.code).toBe(0)
      })
    )
  }
})

describe.concurrent("a collector that is stopped for longer than its connections live", () => {
  it.scopedLive("claims none of that time, in which messages were lost", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
      const env = environment(where, {
        MARKETS: "binance:btcusdt:trade",
        BINANCE_WS_URL: simulator.url(),
        ARCHIVE_INTERVAL: "3600"
      })
      const collector = yield* startNode([program], { cwd: where.folder, env })
      yield* collector.awaitLine(/ connected /)
      const moreRows = (rows: number) =>
        eventually(
          "rows",
          Effect.map(countRows(where.database), (count) => count > rows)
        )
      yield* moreRows(50)
      yield* collector.signal("SIGSTOP")
      const stopped = Date.now()
      // What came until then is read when it goes on.
      yield* Effect.sleep("3 seconds")
      yield* simulator.inject({ _tag: "close" })
      yield* Effect.sleep("12 seconds")
      const continued = Date.now()
      yield* collector.signal("SIGCONT")
      yield* moreRows((yield* countRows(where.database)) + 50)
      expect((yield* collector.stop()).code).toBe(0)
      expect(collector.stdout()).toMatch(/process was not running for a while/)
      const days = yield* Schema.decodeUnknown(Schema.parseJson(Days))(
        (yield* runNode([program, "coverage", "--json"], { cwd: where.folder, env })).stdout
      )
      const excluded = days
        .flatMap(({ exclude }) => exclude)
        .map((window) => ({ from: Date.parse(window.from), to: Date.parse(window.to) }))
      expect(difference([{ from: stopped, to: continued }], union(excluded))).toEqual([])
    })
  )
})

const Days = Schema.Array(
  Schema.Struct({
    exclude: Schema.Array(
      Schema.Struct({ from: Schema.String, to: Schema.String, reasons: Schema.Array(Schema.String) })
    )
  })
)
