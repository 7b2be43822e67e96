import { existsSync, readFileSync } from "node:fs"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Schema } from "effect"
import { loadSettings } from "../../src/Config.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import { hasProgram, runProgram } from "../support/statusPage.ts"

const deploy = new URL("../../deploy/", import.meta.url).pathname
const read = (file: string) => readFileSync(`${deploy}${file}`, "utf8")
const example = read("collector.example.toml")

/** Settings that the example names in other words: variables of AWS itself, the short forms of markets, a secret. */
const notInTheFile = [
  "CONFIG_PATH",
  "MARKET_SYMBOL",
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_DEFAULT_REGION",
  "COINBASE_API_SECRET"
]

/** The settings that a file holds, and the names of all that there are. */
const load = (toml: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = `${yield* fs.makeTempDirectoryScoped()}/collector.toml`
    yield* fs.writeFileString(path, toml)
    const asked = new Set<string>()
    const provider = ConfigProvider.fromMap(new Map([["CONFIG_PATH", path]])).pipe(
      ConfigProvider.mapInputPath((name) => {
        asked.add(name)
        return name
      })
    )
    return { settings: yield* Effect.withConfigProvider(loadSettings(exchanges), provider), asked }
  }).pipe(Effect.provide(NodeContext.layer))

describe("the example settings file", () => {
  it.scopedLive("loads, and states the defaults", () =>
    Effect.gen(function* () {
      const { settings } = yield* load(example)
      const { settings: defaults } = yield* load("")
      expect({ ...settings, serverName: "" }).toEqual({ ...defaults, serverName: "" })
    })
  )

  it.scopedLive("explains every setting", () =>
    Effect.gen(function* () {
      const { asked } = yield* load(example)
      const explained = new Set(
        Array.from(example.matchAll(/^(?:# )?([a-z][a-z0-9_]*) = /gm), ([, name = ""]) => name.toUpperCase())
      )
      if (example.includes("[[markets]]")) explained.add("MARKETS")
      const missing = Array.from(asked).filter((name) => !explained.has(name) && !notInTheFile.includes(name))
      expect(missing).toEqual([])
    })
  )

  it.scopedLive("loads with all commented settings enabled", () =>
    Effect.gen(function* () {
      const all = example
        .replace(/^# ([a-z][a-z0-9_]* = )/gm, "$1")
        .replace('archive_store = "file"', 'archive_store = "s3"')
        .replace(/^(aws_secret_key|aws_access_key|coinbase_api_\w+) = .*$/gm, (line) =>
          line.startsWith("aws_") ? line.replace("…", "x") : ""
        )
      const { settings } = yield* load(all)
      expect(settings.archiveStore).toMatchObject({ _tag: "S3", bucket: "my-market-data" })
      expect(settings.serverName).toBe("tokyo-1")
      expect(settings.otlpEndpoint?.href).toBe("http://127.0.0.1:4318/")
      for (const [name, { instruments, url }] of exchanges) {
        expect(settings.endpoints.get(name)?.href, name).toBe(new URL(url).href)
        expect(settings.restEndpoints.get(name)?.href, name).toBe(new URL(instruments.url).href)
      }
      expect(Duration.toSeconds(settings.archiveInterval)).toBe(3600)
    })
  )
})

const Dashboard = Schema.parseJson(
  Schema.Struct({
    panels: Schema.Array(
      Schema.Struct({ title: Schema.String, targets: Schema.Array(Schema.Struct({ expr: Schema.String })) })
    )
  })
)

describe("the deployment files", () => {
  it("query only existing metrics in the dashboard and the alerts", () => {
    const panels = Schema.decodeUnknownSync(Dashboard)(read("grafana/dashboards/collector.json")).panels
    const sources = [
      "ingest/metrics.ts",
      "archive/metrics.ts",
      "status/Reporter.ts",
      "status/streamCounters.ts",
      "status/http/families.ts",
      "status/http/processFamilies.ts"
    ].map((file) => readFileSync(new URL(`../../src/${file}`, import.meta.url), "utf8"))
    const known = [...sources, "collector_exchange_latency_seconds"].join()
    const expressions = [
      ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
      read("prometheus/alerts.yml")
    ]
    const names = new Set(
      expressions.flatMap((expr) =>
        Array.from(expr.matchAll(/\b(?:collector|process)_[a-z_]+[a-z]\b/g), ([name]) =>
          name.replace(/_(bucket|sum|count)$/, "")
        )
      )
    )
    expect(names.size).toBeGreaterThan(20)
    expect(Array.from(names).filter((name) => !known.includes(`"${name}"`) && !known.endsWith(name))).toEqual(
      []
    )
  })

  it.skipIf(!hasProgram("promtool"))("are accepted by promtool, if it is installed", () => {
    expect(runProgram("promtool", ["check", "config", `${deploy}prometheus/prometheus.yml`])).toMatchObject({
      code: 0
    })
  })

  it.skipIf(!hasProgram("systemd-analyze") || !existsSync("/usr/bin/node"))(
    "are accepted by systemd, if it and Node are installed",
    () => {
      const { code, output } = runProgram("systemd-analyze", ["verify", `${deploy}crypto-collector.service`])
      expect({ code, output }).toEqual({ code: 0, output: "" })
    }
  )
})
