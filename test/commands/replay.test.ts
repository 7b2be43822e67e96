import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { GapDetected } from "../../src/domain/ExchangeEvent.ts"
import { isolated, program } from "../support/collector.ts"
import { makeFolder, runNode } from "../support/process.ts"
import { record, recordWith } from "../support/recorded.ts"
import { book, newYear, range, trade } from "../support/snapshots.ts"
import { archiveFiles } from "../support/stored.ts"

const Line = Schema.parseJson(
  Schema.Struct({
    exchange: Schema.Literal("binance"),
    symbol: Schema.Literal("btcusdt"),
    type: Schema.Literal("trade", "orderbook"),
    localTimestamp: Schema.String,
    message: Schema.optional(Schema.Struct({ n: Schema.Number, s: Schema.String })),
    hole: Schema.optional(
      Schema.Struct({ from: Schema.String, to: Schema.String, reasons: Schema.Array(Schema.String) })
    )
  })
)

/** Runs the built program on an archive and a database. */
const replay = (folder: string, ...args: ReadonlyArray<string>) =>
  Effect.map(
    runNode([program, "replay", ...args], {
      cwd: folder,
      env: {
        ...isolated(folder),
        ARCHIVE_STORE: "file",
        ARCHIVE_DIR: `${folder}/archive`,
        DATABASE_PATH: `${folder}/own.db`
      }
    }),
    (ended) => ({
      ...ended,
      lines: ended.stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => Schema.decodeSync(Line)(line))
    })
  )

/** The time of the n-th message. */
const at = (n: number) => new Date((newYear + n * 1000) / 1000).toISOString().replace("Z", "000Z")

describe.concurrent("replay", () => {
  it.scopedLive(
    "prints what servers archived and what is still in the database in one order, each message once",
    () =>
      Effect.gen(function* () {
        const folder = yield* makeFolder
        yield* record(folder, "alpha", range(1, 50))
        yield* record(folder, "beta", range(30, 80))
        yield* recordWith({ isArchived: false, streams: [trade, book] }, folder, "own", range(75, 100))
        const { code, lines, stderr } = yield* replay(folder)
        expect(stderr).toBe("")
        expect(code).toBe(0)
        const trades = lines.filter(({ message, type }) => type === "trade" && message !== undefined)
        expect(trades.map(({ message }) => message?.n)).toEqual(range(1, 100))
        expect(trades.map(({ localTimestamp }) => localTimestamp)).toEqual(range(1, 100).map(at))
        expect(
          lines.filter(({ message, type }) => type === "orderbook" && message !== undefined).length
        ).toBe(25)
        const times = lines.map(({ localTimestamp }) => localTimestamp)
        expect(times).toEqual(times.toSorted())
        const some = yield* replay(folder, "--type", "TRADE", "--from", at(40), "--to", at(90))
        expect(some.lines.flatMap(({ message }) => message?.n ?? [])).toEqual(range(40, 90))
        expect((yield* replay(folder, "--symbol", "ethusdt")).stdout).toBe("")
      })
  )

  it.scopedLive("says where no server has a message, and where an object cannot be read", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const missing = { after: newYear + 19_000, before: newYear + 30_000 }
      const gap = GapDetected.make({
        at: missing.before,
        stream: trade,
        rule: "counter",
        scope: "stream",
        expected: 20,
        received: 30,
        size: 10,
        ...missing
      })
      yield* recordWith(
        { events: [gap] },
        folder,
        "alpha",
        [...range(1, 20), ...range(30, 40)],
        range(50, 60)
      )
      const { code, lines } = yield* replay(folder)
      expect(code).toBe(0)
      const hole = lines.findIndex(({ hole }) => hole !== undefined)
      expect(lines[hole]).toMatchObject({
        localTimestamp: at(19),
        hole: { from: at(19), to: at(30), reasons: ["gap"] }
      })
      expect(lines.slice(0, hole).flatMap(({ message }) => message?.n ?? [])).toEqual(range(1, 20))

      const [first = ""] = archiveFiles(`${folder}/archive`).toSorted()
      NodeFs.truncateSync(`${folder}/archive/${first}`, 100)
      const damaged = yield* replay(folder)
      expect(damaged.code).toBe(1)
      expect(damaged.stderr).toContain(`objects could not be read, their messages are missing: ${first}`)
      expect(damaged.lines.flatMap(({ message }) => message?.n ?? [])).toEqual(range(50, 60))
    })
  )

  it.scopedLive("ends quietly when its reader has seen enough", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "alpha", range(1, 20_000))
      const { code, stderr, stdout } = yield* runNode(
        [
          "-e",
          "process.exitCode = require('child_process').spawnSync('sh', ['-c', process.argv[1]], { stdio: 'inherit' }).status",
          `"${process.execPath}" "${program}" replay | head -n 3`
        ],
        {
          cwd: folder,
          env: {
            ...isolated(folder),
            PATH: process.env.PATH ?? "",
            ARCHIVE_STORE: "file",
            ARCHIVE_DIR: `${folder}/archive`,
            DATABASE_PATH: `${folder}/own.db`
          }
        }
      )
      expect(stdout.trim().split("\n").length).toBe(3)
      expect(stderr).toBe("")
      expect(code).toBe(0)
    })
  )
})
