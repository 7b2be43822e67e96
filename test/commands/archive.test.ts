import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { isoOf } from "../../src/commands/coverage/render.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import {
  isolated,
  program,
  serverName,
  startCollector,
  type Variables,
  type Workspace,
  workspace
} from "../support/collector.ts"
import { duckdb } from "../support/duckdb.ts"
import { eventually, runNode } from "../support/process.ts"
import { archivedRows, archiveFiles, countRows, filesBelow } from "../support/stored.ts"

const symbols = ["btcusdt", "ethusdt"]

describe.concurrent("the commands on the archive", () => {
  it.scopedLive(
    "archive, coverage and verify work beside a running collector, after it, and on the archive alone",
    () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const simulator = yield* Simulator.make({ symbols, rate: 40 })
        const variables = { ...marketsOn(simulator), ARCHIVE_INTERVAL: "3600" }
        const run = (...args: ReadonlyArray<string>) => command(where, variables, args)

        const killed = yield* startReceiving(where, variables)
        yield* eventually(
          "rows",
          Effect.map(countRows(where.database), (rows) => rows > 200)
        )
        yield* killed.stop("SIGKILL")
        yield* Effect.sleep("1 second")
        const collector = yield* startReceiving(where, variables)
        yield* eventually(
          "what the killed one left in the archive",
          Effect.sync(() => archiveFiles(where.archive).length >= 4)
        )
        yield* Effect.sleep("2 seconds")

        // a second collector is refused, the first one archives at once
        const second = yield* Effect.flatMap(startCollector(where, variables), (child) =>
          Effect.map(child.ended, ({ code }) => ({ code, stderr: child.stderr() }))
        )
        expect(second).toEqual({
          code: 1,
          stderr: `DATABASE_PATH=${where.database}: another collector is using this database\n`
        })
        const before = archiveFiles(where.archive).length
        const asked = yield* run("archive")
        expect(asked.stdout).toMatch(
          /^The collector is running, and is asked to archive now\.\n(archived exchange=.*\n){4}/
        )
        expect(asked.code).toBe(0)
        expect(archiveFiles(where.archive).length).toBe(before + 4)
        expect((yield* coverageOf(run)).map(({ messages }) => messages)).not.toContain(0)

        expect((yield* collector.stop()).code).toBe(0)
        expect((yield* run("archive")).code).toBe(0)
        expect((yield* run("archive")).stdout).toBe("There was nothing to archive.\n")
        expect(yield* countRows(where.database)).toBe(0)

        // what coverage counts is what the objects hold; the time between the last
        // message before the kill and the first one after the restart is to be left out
        const rows = yield* archivedRows(where.archive)
        const days = yield* coverageOf(run)
        expect(days.map(({ dataType, symbol }) => `${symbol} ${dataType}`)).toEqual([
          "btcusdt orderbook",
          "btcusdt trade",
          "ethusdt orderbook",
          "ethusdt trade"
        ])
        for (const day of days) {
          const ofStream = rows.filter(
            ({ dataType, symbol }) => dataType === day.dataType && symbol === day.symbol
          )
          expect(day.messages).toBe(ofStream.length)
          expect(day.exclude.length).toBeGreaterThanOrEqual(1)
          expect(day.downSeconds).toBeGreaterThan(1)
          expect(day.dataType === "trade" ? day.unverifiablePercent : day.verifiedPercent).toBe(0)
          expect(day.verifiedPercent + day.unverifiablePercent + day.excludedPercent).toBeCloseTo(100)
          for (const { timestamp } of ofStream) {
            const isExcluded = day.exclude.some(
              ({ from, to }) => timestamp > microsOfIso(from) && timestamp < microsOfIso(to)
            )
            expect(isExcluded).toBe(false)
          }
        }
        const text = (yield* run("coverage", "--type", "trade", "--symbol", "btcusdt")).stdout
        expect(text).toMatch(/^server e2e-server\n\nbinance:btcusdt:trade {2}\d{4}-\d{2}-\d{2}\n/)
        expect(text).toMatch(/ {2}exclude \S+ to \S+ \(.*\) {2}down\b/)
        const alone = { ...variables, DATABASE_PATH: `${where.folder}/none/collector.db` }
        const onArchive = yield* command(where, alone, ["coverage", "--json"])
        expect(yield* decodeDays(onArchive.stdout)).toEqual(days)
        // to the microsecond
        const holes = days[0]?.exclude ?? []
        const later = isoOf(microsOfIso(holes[0]?.from ?? "") + 1)
        const [clipped] = yield* coverageOf(run, "--from", later)
        expect(clipped?.exclude).toEqual([{ ...holes[0], from: later }, ...holes.slice(1)])
        for (const asked of ["coverage", "merge --into merged"]) {
          for (const option of ["--from", "--to"]) {
            expect(yield* run(...asked.split(" "), option, "2026-1-1")).toMatchObject({
              code: 1,
              stderr: expect.stringContaining(
                `${option} 2026-1-1: must be a UTC date, as 2026-01-31, or time`
              )
            })
          }
        }

        // verify finds what is damaged, missing and unknown
        expect(yield* run("verify", "--deep")).toMatchObject({
          code: 0,
          stdout: expect.stringMatching(/Nothing is off\.\n$/)
        })
        expect((yield* command(where, alone, ["verify", "--deep"])).code).toBe(0)
        const [damaged = "", missing = ""] = archiveFiles(where.archive)
        const content = NodeFs.readFileSync(`${where.archive}/${damaged}`)
        content.writeUInt8(content.readUInt8(500) ^ 1, 500)
        NodeFs.rmSync(`${where.archive}/${damaged}`)
        NodeFs.writeFileSync(`${where.archive}/${damaged}`, content)
        NodeFs.rmSync(`${where.archive}/${missing}`)
        NodeFs.writeFileSync(`${where.archive}/exchange=binance/notes.txt`, "")
        const { code, stderr, stdout } = yield* run("verify")
        expect(code).toBe(1)
        expect(stderr).toBe("the archive is not as the journal says: 3 objects are off\n")
        expect(stdout).toContain(`damaged  ${damaged}: its SHA-256 is `)
        expect(stdout).toContain(`missing  ${missing}\n`)
        expect(stdout).toContain("unknown  exchange=binance/notes.txt: no journal knows it\n")
      })
  )

  it.scopedLive("merge combines what two servers recorded with holes into a complete recording", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 40 })
      const environmentOf = (server: string): Variables => ({
        MARKETS: "binance:btcusdt:trade",
        BINANCE_WS_URL: simulator.url(),
        HOME_SERVER_NAME: server,
        DATABASE_PATH: `${where.folder}/${server}/collector.db`,
        LOG_DIR: `${where.folder}/${server}/logs`
      })
      const servers = ["tokyo", "oslo"]
      for (const [n, server] of servers.entries()) {
        const other = environmentOf(servers[1 - n] ?? "")
        const steady = yield* startReceiving(where, other)
        const falling = yield* startReceiving(where, environmentOf(server))
        yield* Effect.sleep("3 seconds")
        yield* falling.stop("SIGKILL")
        yield* Effect.sleep("1 second")
        const again = yield* startReceiving(where, environmentOf(server))
        yield* Effect.sleep("2 seconds")
        yield* again.stop()
        yield* steady.stop()
      }
      yield* Effect.forEach(servers, (server) => command(where, environmentOf(server), ["archive"]))
      for (const server of servers)
        expect((yield* command(where, environmentOf(server), ["verify"])).code).toBe(0)
      const into = `${where.folder}/merged`
      const merged = yield* command(where, environmentOf("tokyo"), ["merge", "--into", into])
      expect(merged.code).toBe(0)
      expect(merged.stdout).toMatch(/from (oslo,tokyo|tokyo,oslo)\n/)
      const days = filesBelow(into).length
      expect(filesBelow(into).every((file) => file.endsWith("/merged.parquet"))).toBe(true)
      // again: the same files, not others beside them
      yield* command(where, environmentOf("tokyo"), ["merge", "--into", into])
      expect(filesBelow(into)).toHaveLength(days)
      const ids = yield* duckdb(
        `SELECT exchange_sequence_id AS id FROM read_parquet('${into}/**/*.parquet', filename = true,
             file_row_number = true) ORDER BY filename, file_row_number`
      )
      const archived = yield* archivedRows(where.archive)
      const all = Array.from(new Set(archived.map(({ id }) => Number(id)))).sort((a, b) => a - b)
      expect(archived.length).toBeGreaterThan(all.length)
      expect(ids.map(({ id }) => Number(id))).toEqual(all)
    })
  )
})

/** Starts a collector, and waits until it is connected. */
const startReceiving = (where: Workspace, variables: Variables) =>
  Effect.tap(startCollector(where, variables), (collector) => collector.awaitLine(/ connected /))

const marketsOn = (simulator: Simulator.Simulator): Variables => ({
  MARKETS: symbols.map((symbol) => `binance:${symbol}`).join(),
  BINANCE_WS_URL: simulator.url()
})

const command = (where: Workspace, variables: Variables, args: ReadonlyArray<string>) =>
  runNode([program, ...args], {
    cwd: where.folder,
    env: {
      ...isolated(where.folder),
      DATABASE_PATH: where.database,
      ARCHIVE_STORE: "file",
      ARCHIVE_DIR: where.archive,
      LOG_DIR: where.logs,
      HOME_SERVER_NAME: serverName,
      ...variables
    }
  })

const Days = Schema.Array(
  Schema.Struct({
    symbol: Schema.String,
    dataType: Schema.String,
    date: Schema.String,
    messages: Schema.Number,
    downSeconds: Schema.Number,
    verifiedPercent: Schema.Number,
    unverifiablePercent: Schema.Number,
    excludedPercent: Schema.Number,
    exclude: Schema.Array(Schema.Struct({ from: Schema.String, to: Schema.String }))
  })
)
const decodeDays = Schema.decodeUnknown(Schema.parseJson(Days))

const coverageOf = (
  run: (...args: ReadonlyArray<string>) => ReturnType<typeof command>,
  ...args: ReadonlyArray<string>
) => Effect.flatMap(run("coverage", "--json", ...args), ({ stdout }) => decodeDays(stdout))

/** Of a time with microseconds. */
const microsOfIso = (iso: string): number =>
  Date.parse(`${iso.slice(0, 23)}Z`) * 1000 + Number(iso.slice(23, 26))
