import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { isolated, program, startReceiving, workspace } from "../support/collector.ts"
import { eventually, runNode } from "../support/process.ts"
import { get, healthOf, statusPageOf } from "../support/statusPage.ts"
import { query } from "../support/stored.ts"

const Days = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      excludedPercent: Schema.Number,
      exchangeStatuses: Schema.Array(
        Schema.Struct({ from: Schema.String, to: Schema.NullOr(Schema.String), status: Schema.String })
      )
    })
  )
)

describe("an exchange in maintenance", () => {
  it.scopedLive("appears in the journal, the log, /health, the metrics and the coverage", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({
        exchange: "kraken",
        symbols: ["BTC/USD", "ETH/USD"],
        rate: 20
      })
      const collector = yield* startReceiving(where, {
        MARKETS: "kraken:BTC/USD,kraken:ETH/USD",
        KRAKEN_WS_URL: simulator.url(),
        ARCHIVE_INTERVAL: "3600"
      })
      const page = yield* statusPageOf(collector)
      const journalled = query<{ status: string }>(
        where.database,
        "SELECT payload ->> 'status' AS status FROM journal WHERE tag = 'ExchangeStatus' ORDER BY id"
      ).pipe(Effect.map((rows) => rows.map(({ status }) => status)))
      const awaitStatuses = (...statuses: ReadonlyArray<string>) =>
        eventually(
          () => `${statuses} in the journal\n${collector.printed()}`,
          Effect.map(journalled, (found) => found.join() === statuses.join())
        )
      const coverage = (...options: ReadonlyArray<string>) =>
        runNode([program, "coverage", ...options], {
          cwd: where.folder,
          env: {
            ...isolated(where.folder),
            DATABASE_PATH: where.database,
            ARCHIVE_STORE: "file",
            ARCHIVE_DIR: where.archive
          }
        }).pipe(Effect.map(({ stdout }) => stdout))

      yield* awaitStatuses("online")
      yield* simulator.inject({ _tag: "announce", status: "maintenance" })
      yield* awaitStatuses("online", "maintenance")
      yield* eventually(
        () => "the health",
        Effect.map(
          healthOf(page),
          ({ code, reasons }) =>
            code === 200 && reasons.some((reason) => reason.startsWith("kraken status: maintenance, since "))
        )
      )
      const metrics = (yield* get(`${page}/metrics`)).text
      expect(metrics).toContain('collector_exchange_impaired{exchange="kraken"} 1')
      expect(metrics).toContain('collector_exchange_status{exchange="kraken",status="maintenance"} 1')
      expect((yield* get(`${page}/api/status`)).text).toContain('"status":"maintenance"')
      expect(yield* coverage()).toMatch(/kraken said of itself maintenance: since \d{4}-/)

      yield* simulator.inject({ _tag: "terminate" })
      yield* collector.awaitLine(/connection ended/)
      yield* simulator.inject({ _tag: "announce", status: "online" })
      yield* awaitStatuses("online", "maintenance", "online")
      yield* collector.stop()
      expect(collector.printed().match(/exchange status changed/g)?.length).toBe(3)
      expect(collector.printed()).toMatch(/WARN +exchange +exchange status changed .*status=maintenance/)

      expect(yield* coverage()).toMatch(/kraken said of itself maintenance: \d{4}-\S+ to \d{4}-/)
      const days = yield* Schema.decodeUnknown(Days)(yield* coverage("--json"))
      expect(days.length).toBeGreaterThanOrEqual(4)
      for (const { exchangeStatuses } of days) {
        expect(exchangeStatuses.map(({ status }) => status)).toContain("maintenance")
        expect(exchangeStatuses.every(({ to }) => to !== null)).toBe(true)
      }
    })
  )
})
