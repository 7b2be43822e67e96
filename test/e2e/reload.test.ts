import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { environment, program, startCollector, workspace } from "../support/collector.ts"
import { type Child, eventually, runNode } from "../support/process.ts"
import { query } from "../support/stored.ts"

/** The settings file of a test. */
const fileWith = (markets: ReadonlyArray<string>, rest = "") =>
  `${rest}\n${markets
    .map((market) => {
      const [exchange, symbol] = market.split(":")
      return `[[markets]]\nexchange = "${exchange}"\nsymbol = "${symbol}"\ntypes = ["trade"]\n`
    })
    .join("\n")}`

const Status = Schema.parseJson(
  Schema.Struct({
    streams: Schema.Array(Schema.Struct({ symbol: Schema.String, state: Schema.String })),
    exchanges: Schema.Array(Schema.Struct({ exchange: Schema.String, connections: Schema.Number })),
    queue: Schema.NullOr(Schema.Struct({ capacity: Schema.Number })),
    status: Schema.String,
    reasons: Schema.Array(Schema.String)
  })
)

/** What is asked of a running collector. */
const pageOf = (collector: Child) =>
  Effect.map(collector.awaitLine(/ status page /), (line) => {
    const url = /url=(\S+)/.exec(line)?.[1] ?? ""
    const get = (path: string) =>
      Effect.promise(async () => {
        const response = await fetch(new URL(path, url))
        return { code: response.status, text: await response.text() }
      })
    return {
      get,
      status: Effect.flatMap(get("/api/status"), ({ text }) => Schema.decodeUnknown(Status)(text))
    }
  })

const connected = (database: string) =>
  query<{ symbol: string; connection: string }>(
    database,
    `SELECT payload ->> '$.stream.symbol' AS symbol, payload ->> 'connection' AS connection
     FROM journal WHERE tag = 'StreamConnected' ORDER BY id`
  )

const reloads = (database: string) =>
  query<{ payload: string }>(
    database,
    "SELECT payload FROM journal WHERE tag = 'SettingsReloaded' ORDER BY id"
  )

const Days = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      symbol: Schema.String,
      verifiedPercent: Schema.Number,
      excludedPercent: Schema.Number,
      wantedSeconds: Schema.Number,
      downSeconds: Schema.Number
    })
  )
)

describe.concurrent("a settings file that changes", () => {
  it.scopedLive("adds and ends streams and exchanges at SIGHUP, and what stays notices nothing", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const binance = yield* Simulator.make({ exchange: "binance", rate: 50 })
      const okx = yield* Simulator.make({ exchange: "okx", rate: 50 })
      const file = `${where.folder}/collector.toml`
      NodeFs.writeFileSync(file, fileWith(["binance:btcusdt", "binance:ethusdt"]))
      const variables = {
        CONFIG_PATH: file,
        BINANCE_WS_URL: binance.url(),
        OKX_WS_URL: okx.url(),
        ARCHIVE_INTERVAL: "600"
      }
      const collector = yield* startCollector(where, variables)
      const page = yield* pageOf(collector)
      const live = (symbols: ReadonlyArray<string>) =>
        eventually(
          () => `${symbols} to be live\n${collector.printed()}`,
          Effect.map(
            page.status,
            ({ streams }) =>
              streams.length > 0 &&
              streams.every(({ state }) => state === "live") &&
              streams
                .map(({ symbol }) => symbol)
                .toSorted()
                .join() === symbols.toSorted().join()
          )
        )
      const reload = (text: string, count: number) =>
        Effect.gen(function* () {
          NodeFs.writeFileSync(file, text)
          yield* collector.signal("SIGHUP")
          yield* collector.awaitLine(/ settings reloaded /, count)
        })
      yield* live(["btcusdt", "ethusdt"])
      expect((yield* page.status).queue?.capacity).toBe(2000)

      yield* reload(
        fileWith(["binance:btcusdt", "binance:solusdt", "okx:BTC-USDT"], 'log_level = "debug"'),
        1
      )
      yield* live(["btcusdt", "solusdt", "BTC-USDT"])
      expect((yield* page.status).queue?.capacity).toBe(3000)
      expect((yield* page.get("/metrics")).text).toContain('collector_connections{exchange="okx"} 1')
      yield* collector.awaitLine(/ DEBUG .* batch committed /)

      NodeFs.writeFileSync(file, fileWith(["binance:btcusdt:", "binanse:ethusdt"]))
      yield* collector.signal("SIGHUP")
      yield* collector.awaitLine(/ ERROR .*could not reload settings, keeping those in use .*binanse/)
      yield* eventually(
        "that health tells it",
        Effect.map(page.get("/health"), ({ code, text }) => code === 200 && text.includes("binanse"))
      )
      yield* live(["btcusdt", "solusdt", "BTC-USDT"])

      yield* reload(fileWith(["binance:btcusdt", "binance:solusdt"], "silence_timeout = 77"), 2)
      yield* collector.awaitLine(/ WARN .*changed settings take effect with the next start .*SILENCE_TIMEOUT/)
      yield* live(["btcusdt", "solusdt"])
      yield* eventually(
        () => `that the exchange is gone\n${collector.printed()}`,
        Effect.map(
          page.status,
          ({ exchanges, reasons }) =>
            exchanges.map(({ exchange }) => exchange).join() === "binance" && reasons.length === 0
        )
      )
      expect((yield* okx.status).connections).toEqual([])
      expect((yield* page.get("/metrics")).text).not.toContain("okx")
      expect((yield* binance.status).accepted).toBe(1)
      expect((yield* collector.stop()).code).toBe(0)

      const connections = yield* connected(where.database)
      expect(connections.filter(({ symbol }) => symbol === "btcusdt").length).toBe(1)
      expect(
        new Set(connections.filter(({ symbol }) => symbol !== "BTC-USDT").map((of) => of.connection)).size
      ).toBe(1)
      const [first, second, ...none] = (yield* reloads(where.database)).map(({ payload }) => payload)
      expect(none).toEqual([])
      expect(JSON.parse(first ?? "")).toMatchObject({
        named: [{ symbol: "solusdt" }, { symbol: "BTC-USDT" }],
        ended: [{ symbol: "ethusdt" }],
        logLevel: "debug"
      })
      expect(JSON.parse(second ?? "")).toMatchObject({
        named: [],
        ended: [{ symbol: "BTC-USDT" }],
        logLevel: "info"
      })
      const { stdout } = yield* runNode([program, "coverage", "--json"], {
        cwd: where.folder,
        env: environment(where, { ...variables })
      })
      const days = yield* Schema.decodeUnknown(Days)(stdout)
      const of = (symbol: string) => days.filter((day) => day.symbol === symbol)
      expect(of("btcusdt").length).toBeGreaterThan(0)
      for (const day of of("btcusdt")) expect(day).toMatchObject({ verifiedPercent: 100, excludedPercent: 0 })
      const seconds = (symbol: string) => of(symbol).reduce((sum, day) => sum + day.wantedSeconds, 0)
      // What was ended and what was added are wanted for a part of the time, and down for none of it.
      for (const symbol of ["ethusdt", "solusdt", "BTC-USDT"]) {
        expect(seconds(symbol)).toBeLessThan(seconds("btcusdt"))
        for (const day of of(symbol)) expect(day.downSeconds).toBe(0)
      }
    })
  )

  it.scopedLive("is read without a signal: when it is written, replaced, or a link to it is switched", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ exchange: "binance", rate: 20 })
      // As Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> ..1
      const folder = `${where.folder}/config`
      const file = `${folder}/collector.toml`
      for (const n of [1, 2]) NodeFs.mkdirSync(`${folder}/..${n}`, { recursive: true })
      NodeFs.writeFileSync(`${folder}/..1/collector.toml`, fileWith(["binance:btcusdt"]))
      NodeFs.writeFileSync(`${folder}/..2/collector.toml`, fileWith(["binance:btcusdt", "binance:ethusdt"]))
      NodeFs.symlinkSync("..1", `${folder}/..data`)
      NodeFs.symlinkSync("..data/collector.toml", file)
      const collector = yield* startCollector(
        where,
        {
          CONFIG_PATH: file,
          BINANCE_WS_URL: simulator.url(),
          ARCHIVE_INTERVAL: "600"
        },
        ["bash", "-c", 'nohup "$0" "$@"', process.execPath]
      )
      const page = yield* pageOf(collector)
      const recorded = (symbols: string) =>
        eventually(
          () => `${symbols} to be recorded\n${collector.printed()}`,
          Effect.map(
            simulator.status,
            ({ connections }) =>
              connections
                .flatMap(({ subscriptions }) => subscriptions)
                .toSorted()
                .join() === symbols
          )
        )
      yield* recorded("btcusdt@trade")
      NodeFs.symlinkSync("..2", `${folder}/..tmp`)
      NodeFs.renameSync(`${folder}/..tmp`, `${folder}/..data`)
      yield* recorded("btcusdt@trade,ethusdt@trade")

      // An editor: another file takes its name.
      NodeFs.writeFileSync(`${file}.new`, fileWith(["binance:btcusdt", "binance:solusdt"]))
      NodeFs.renameSync(`${file}.new`, file)
      yield* recorded("btcusdt@trade,solusdt@trade")

      // Written in place, emptied first, and broken.
      for (const text of ["", "markets = [\n"]) {
        NodeFs.writeFileSync(file, text)
        yield* collector.awaitLine(/ ERROR .*could not reload settings/, text === "" ? 1 : 2)
        yield* recorded("btcusdt@trade,solusdt@trade")
      }
      yield* eventually(
        "that health tells it",
        Effect.map(page.get("/health"), ({ code, text }) => code === 200 && text.includes("TOML"))
      )
      NodeFs.rmSync(file)
      yield* collector.awaitLine(/ ERROR .*could not reload settings.*no such file/)
      NodeFs.writeFileSync(file, fileWith(["binance:btcusdt"]))
      yield* recorded("btcusdt@trade")
      yield* eventually(
        () => `that it is mended\n${collector.printed()}`,
        Effect.map(page.get("/health"), ({ text }) => text.includes('"healthy"'))
      )
      expect((yield* simulator.status).accepted).toBe(1)
      const connections = yield* connected(where.database)
      expect(new Set(connections.map(({ connection }) => connection)).size).toBe(1)
      expect(connections.filter(({ symbol }) => symbol === "btcusdt").length).toBe(1)
    })
  )

  it.scopedLive("changes nothing that the environment sets, and that is told", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ exchange: "binance", rate: 20 })
      const file = `${where.folder}/collector.toml`
      NodeFs.writeFileSync(file, fileWith(["binance:ethusdt"]))
      const collector = yield* startCollector(where, {
        CONFIG_PATH: file,
        MARKETS: "binance:btcusdt:trade",
        BINANCE_WS_URL: simulator.url(),
        ARCHIVE_INTERVAL: "600"
      })
      yield* collector.awaitLine(/ connected /)
      yield* collector.awaitLine(/ status page /)
      NodeFs.writeFileSync(file, fileWith(["binance:solusdt"]))
      yield* collector.signal("SIGHUP")
      yield* collector.awaitLine(/ WARN .*settings in the environment take precedence.*MARKETS/)
      yield* collector.awaitLine(/ settings reloaded /)
      expect((yield* collector.stop()).code).toBe(0)
      expect((yield* connected(where.database)).map(({ symbol }) => symbol)).toEqual(["btcusdt"])
      expect(yield* reloads(where.database)).toEqual([])
    })
  )
})
