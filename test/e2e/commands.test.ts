import { readFileSync } from "node:fs"
import { stripVTControlCharacters } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { isolated, program } from "../support/collector.ts"
import { pace } from "../support/pace.ts"
import { eventually, makeFolder, runNode, startNode } from "../support/process.ts"
import {
  archivedRows,
  countRows,
  databaseRows,
  faultless,
  faultsOf,
  filesBelow,
  sentMessages
} from "../support/stored.ts"

const packageVersion: unknown = JSON.parse(readFileSync("package.json", "utf8")).version

describe("the demo", () => {
  it.scopedLive("demo records a simulated exchange and shows exactly what it archived", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const child = yield* startNode([program, "demo"], {
        cwd: folder,
        env: { ...isolated(folder), TMPDIR: folder, NODE_DISABLE_COMPILE_CACHE: "1" }
      })
      yield* child.awaitLine(/listens on/)
      const [time, { code }] = yield* Effect.timed(child.ended)
      expect(code, child.printed()).toBe(0)
      expect(child.stderr()).toBe("")
      expect(Duration.toSeconds(time)).toBeLessThan(40 * pace)
      const stdout = child.stdout()
      const numbers = (pattern: RegExp) => Array.from(stdout.matchAll(pattern), ([, n]) => Number(n))
      const sum = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0)
      const [total] = numbers(/^(\d+) messages in all\.$/gm)
      expect(total).toBeGreaterThan(500)
      expect(sum(numbers(/^ +(\d+) messages, ids \d+ to \d+, \d+ bytes$/gm))).toBe(total)
      expect(sum(numbers(/ archived .*\brows=(\d+)/g))).toBe(total)
      expect(total).toBeGreaterThanOrEqual(numbers(/ committed (\d+)/g).at(-1) ?? 0)
      expect(new Set(numbers(/ dropped (\d+)/g))).toEqual(new Set([0]))
      const [files] = numbers(/The archive holds (\d+) Parquet files/g)
      expect(numbers(/^ +(\d+) messages, ids/gm).length).toBe(files)
      // it cleans up
      expect(filesBelow(folder)).toEqual([])
    })
  )
})

describe.concurrent("the commands", () => {
  it.scopedLive("--help lists the commands, and an unknown command is refused", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const options = { cwd: folder, env: isolated(folder) }
      const help = yield* runNode([program, "--help"], options)
      expect(help.code).toBe(0)
      expect(help.stdout).toMatch(/^ +- simulate .*\n/m)
      expect(help.stdout).toMatch(/^ +- demo .*\n/m)
      const version = yield* runNode([program, "--version"], options)
      expect(version).toMatchObject({ code: 0, stdout: `${packageVersion}\n`, stderr: "" })
      expect(stripVTControlCharacters(help.stdout + version.stdout)).toBe(help.stdout + version.stdout)
      expect((yield* runNode([program, "simulate", "--help"], options)).stdout).toContain("--record")
      const unknown = yield* runNode([program, "simulat"], options)
      expect(unknown.code).toBe(1)
      expect(unknown.stdout + unknown.stderr).toMatch(/simulat/)
      expect(filesBelow(folder)).toEqual([])
    })
  )

  it.scopedLive("simulate names a port that is taken in one line", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const { port } = yield* Simulator.make()
      const { code, stderr, stdout } = yield* runNode([program, "simulate", "--port", String(port)], {
        cwd: folder,
        env: isolated(folder)
      })
      expect(code).toBe(1)
      expect(stdout).toBe("")
      expect(stderr).toMatch(new RegExp(`^[^\\n]*127\\.0\\.0\\.1:${port}[^\\n]*\\n$`))
    })
  )

  it.scopedLive("keeps everything below the current folder if only the exchange's URL is set", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const record = `${folder}/sent.jsonl`
      const simulator = yield* Simulator.make({ rate: 10, record })
      const start = startNode([program], {
        cwd: folder,
        env: { ...isolated(folder), BINANCE_WS_URL: simulator.url() }
      })
      const first = yield* start
      yield* first.awaitLine(/ connected /)
      const streams = Effect.map(simulator.status, (status) => Object.keys(status.streams).sort())
      yield* eventually(
        "its subscriptions",
        Effect.map(streams, ({ length }) => length >= 2)
      )
      expect(yield* streams).toEqual(["btcusdt@depth20@100ms", "btcusdt@trade"])
      yield* eventually(
        () => `the first commit\n${first.printed()}`,
        Effect.map(countRows(`${folder}/data/collector.db`), (rows) => rows > 0)
      )
      yield* simulator.inject({ _tag: "silence" })
      yield* simulator.flush
      yield* Effect.sleep("1 second")
      expect(yield* first.stop()).toEqual({ code: 0, signal: null })
      const sent = yield* sentMessages(record)
      expect(faultsOf(sent, yield* databaseRows(`${folder}/data/collector.db`))).toEqual(faultless)

      // rows that wait are archived at the next start
      yield* simulator.inject({ _tag: "refuse", for: 86_400_000 })
      const second = yield* start
      yield* eventually(
        () => `an archive\n${second.printed()}`,
        Effect.map(countRows(`${folder}/data/collector.db`), (rows) => rows === 0)
      )
      expect(yield* second.stop()).toEqual({ code: 0, signal: null })
      // what was under way then goes on, the journal's part too
      const rest = yield* runNode([program, "archive"], { cwd: folder, env: isolated(folder) })
      expect(rest.code, rest.stdout + rest.stderr).toBe(0)
      expect(faultsOf(sent, yield* archivedRows(`${folder}/data/archive`))).toEqual(faultless)
      expect(
        filesBelow(folder).filter((file) => !/^data\/(archive\/|collector.db-history$)/.test(file))
      ).toEqual([
        "data/collector.db",
        "data/collector.db.lock",
        expect.stringMatching(/^logs\/collector\.log\.\d{4}-\d{2}-\d{2}$/),
        "sent.jsonl"
      ])
    })
  )
})
