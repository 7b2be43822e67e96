import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { startCollector, type Workspace, workspace } from "../support/collector.ts"
import { eventually } from "../support/process.ts"
import { countEvents, countRows, filesBelow } from "../support/stored.ts"

const dayMillis = 86_400_000

describe.concurrent("log files", () => {
  it.scopedLive("are JSON lines, a file a day; old ones are deleted at the start and foreign ones stay", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const now = Date.now()
      const old = { "collector.log.2020-01-01": 10, "collector.log.2020-01-02": 3 }
      const kept = {
        "collector.log.2020-01-03": 0.5,
        "collector.log.2020-01-04.gz": 10,
        "collector.log.2020-13-01": 10,
        "collector.log": 10,
        "notes.txt": 10,
        "older/collector.log.2020-01-01": 10
      }
      for (const [name, days] of Object.entries({ ...old, ...kept })) {
        const path = `${where.logs}/${name}`
        NodeFs.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true })
        NodeFs.writeFileSync(path, "of old\n")
        NodeFs.utimesSync(path, new Date(), new Date(now - days * dayMillis))
      }

      const { entries, files, stdout } = yield* logged(where, "info,ingest=debug", {
        LOG_RETENTION_DAYS: "2"
      })
      expect(filesBelow(where.logs)).toEqual([...Object.keys(kept), ...files].sort())
      const deleted = entries.filter(({ message }) => message === "deleted log file")
      expect(deleted.map(({ fields }) => fields?.file)).toEqual(Object.keys(old))
      expect(stdout).toMatch(/deleted log file .*file=collector\.log\.2020-01-01/)

      for (const { file, timestamp } of entries) {
        expect(file).toBe(`collector.log.${timestamp.slice(0, 10)}`)
        expect(Date.parse(timestamp)).toBeGreaterThanOrEqual(now - 1000)
        expect(Date.parse(timestamp)).toBeLessThanOrEqual(Date.now() + 1000)
      }
      expect(new Set(entries.map(({ module }) => module))).toEqual(
        new Set(["operations", "exchange", "ingest", "archive"])
      )
      // stdout tells the same
      expect(stdout.replace(/\n$/, "").split("\n").length).toBe(entries.length)
    })
  )

  it.scopedLive("follow LOG_LEVEL, except modules with a level of their own", () =>
    Effect.gen(function* () {
      const { entries } = yield* logged(yield* workspace, "warn,archive=info")
      expect(new Set(entries.map(({ level, module }) => `${module} ${level}`))).toEqual(
        new Set(["archive INFO"])
      )
      expect(entries.map(({ message }) => message)).toContain("archived")
    })
  )

  it.scopedLive("are silenced by LOG_LEVEL=none", () =>
    Effect.gen(function* () {
      const { entries, stdout } = yield* logged(yield* workspace, "none")
      expect(entries).toEqual([])
      expect(stdout).toBe("")
    })
  )
})

/** Records until something was archived, and stops; then the entries of the log files. */
const logged = (where: Workspace, level: string, variables: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
    const before = new Set(filesBelow(where.logs))
    const collector = yield* startCollector(where, {
      MARKETS: "binance:btcusdt",
      BINANCE_WS_URL: simulator.url(),
      LOG_LEVEL: level,
      ...variables
    })
    yield* eventually(
      () => `rows\n${collector.printed()}`,
      Effect.map(countRows(where.database), (rows) => rows > 0)
    )
    yield* eventually(
      () => `an archive\n${collector.printed()}`,
      Effect.map(countEvents(where.database, "ArchivePurged"), (archives) => archives > 0)
    )
    yield* Effect.sleep("300 millis")
    expect((yield* collector.stop()).code).toBe(0)
    expect(collector.stderr()).toBe("")
    const files = filesBelow(where.logs).filter((file) => !before.has(file))
    const lines = files.flatMap((file) =>
      NodeFs.readFileSync(`${where.logs}/${file}`, "utf8")
        .split(/(?<=\n)/)
        .filter((line) => line !== "")
        .map((line) => ({ file, line }))
    )
    const entries = yield* Effect.forEach(lines, ({ file, line }) =>
      Effect.map(decodeLine(line), (entry) => ({ ...entry, file }))
    )
    return { entries, files, stdout: collector.stdout() }
  })

const decodeLine = Schema.decodeUnknown(
  Schema.parseJson(
    Schema.Struct({
      timestamp: Schema.String.pipe(Schema.pattern(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)),
      level: Schema.Literal("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"),
      module: Schema.String,
      message: Schema.String,
      fields: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
    })
  )
)
