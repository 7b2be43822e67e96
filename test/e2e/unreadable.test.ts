import { gunzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { archiveNow, environment, program, startReceiving, workspace } from "../support/collector.ts"
import { eventually, freePort, runNode } from "../support/process.ts"
import { archivedRows, databaseRows } from "../support/stored.ts"

const Days = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      dataType: Schema.String,
      verifiedPercent: Schema.Number,
      doubts: Schema.Array(Schema.Struct({ reason: Schema.String, from: Schema.String, to: Schema.String })),
      exclude: Schema.Array(
        Schema.Struct({ reasons: Schema.Array(Schema.String), from: Schema.String, to: Schema.String })
      )
    })
  )
)

const Health = Schema.parseJson(
  Schema.Struct({ status: Schema.String, reasons: Schema.Array(Schema.String) })
)

describe.concurrent("an exchange that changes its format", () => {
  it.scopedLive("keeps unreadable frames, reports them everywhere, and does not claim their time", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ exchange: "okx", symbols: ["BTC-USDT"], rate: 20 })
      const port = yield* freePort
      const variables = {
        MARKETS: "okx:BTC-USDT:orderbook+trade",
        OKX_WS_URL: simulator.url(),
        ARCHIVE_INTERVAL: "3600",
        HTTP_PORT: String(port)
      }
      const ask = (path: string) =>
        Effect.promise(() => fetch(`http://127.0.0.1:${port}${path}`).then((answer) => answer.text()))
      const health = Effect.map(ask("/health"), Schema.decodeSync(Health))
      const skipped = Effect.map(ask("/metrics"), (text) =>
        Array.from(text.matchAll(/^collector_frames_skipped_total\{(.*)\} (\d+)$/gm), ([, labels, n]) => ({
          labels,
          n: Number(n)
        }))
      )

      const collector = yield* startReceiving(where, variables)
      yield* collector.awaitLine(/the status page is at|http:\/\/127/)
      yield* eventually(
        collector.printed,
        Effect.map(health, ({ status }) => status === "healthy")
      )
      expect((yield* skipped).length).toBe(8)
      expect((yield* skipped).every(({ n }) => n === 0)).toBe(true)
      yield* Effect.sleep("1 second")

      yield* simulator.inject({ _tag: "mangle", kind: "gzip", stream: "trades:BTC-USDT" })
      yield* eventually(
        collector.printed,
        Effect.map(health, ({ reasons, status }) => {
          return (
            status === "degraded" && reasons.some((reason) => reason.includes("2 streams are unreadable"))
          )
        })
      )
      const seen = (yield* skipped).filter(({ n }) => n > 0)
      expect(seen).toMatchObject([{ labels: 'exchange="okx",reason="compressed"' }])
      yield* simulator.heal
      yield* eventually(
        collector.printed,
        Effect.map(health, ({ status }) => status === "healthy")
      )

      yield* simulator.inject({ _tag: "mangle", kind: "drop", stream: "trades:BTC-USDT" })
      yield* eventually(
        collector.printed,
        Effect.map(health, ({ reasons }) => {
          return reasons.some((reason) => reason.includes("okx:BTC-USDT:trade"))
        })
      )
      // What was told is journalled by then: a commit waits for it.
      const aside = Effect.map(databaseRows(where.database), (rows) =>
        rows.filter(({ dataType, symbol }) => dataType === "unreadable" && symbol === "BTC-USDT")
      )
      yield* eventually(
        collector.printed,
        Effect.map(aside, ({ length }) => length > 5)
      )
      yield* collector.signal("SIGKILL")
      yield* collector.ended

      yield* archiveNow(where, variables)
      const run = (...args: ReadonlyArray<string>) =>
        runNode([program, ...args], { cwd: where.folder, env: environment(where, variables) })
      const rows = (yield* archivedRows(where.archive)).filter(({ dataType }) => dataType === "unreadable")
      const zipped = rows.filter(({ symbol }) => symbol === "*")
      const named = rows.filter(({ symbol }) => symbol === "BTC-USDT")
      expect(zipped.length).toBeGreaterThan(0)
      for (const { data, id } of zipped) {
        expect(id).toMatch(/-base64$/)
        expect(JSON.parse(gunzipSync(Buffer.from(data, "base64")).toString())).toMatchObject({
          arg: { channel: "trades", instId: "BTC-USDT" }
        })
      }
      expect(named.length).toBeGreaterThan(5)
      for (const { data } of named) expect(data).not.toContain("tradeId")

      const covered = yield* run("coverage", "--json")
      expect(covered.stderr).toBe("")
      const days = Schema.decodeSync(Days)(covered.stdout)
      expect(new Set(days.map(({ dataType }) => dataType))).toEqual(new Set(["orderbook", "trade"]))
      for (const { symbol, timestamp } of rows) {
        const at = Math.floor(timestamp / 1000)
        for (const dataType of symbol === "*" ? ["orderbook", "trade"] : ["trade"]) {
          const windows = days.filter((day) => day.dataType === dataType).flatMap(({ exclude }) => exclude)
          const around = windows.find(({ from, to }) => Date.parse(from) <= at && at <= Date.parse(to))
          // The last ones may be later than all that is claimed.
          const end = Math.max(...windows.map(({ to }) => Date.parse(to)))
          if (at <= end) expect(around?.reasons ?? [], `${dataType} at ${at}`).toContain("unreadable")
          else expect(windows.at(-1)?.reasons).toContain("unreadable")
        }
      }
      expect(days.every(({ verifiedPercent }) => verifiedPercent > 0 && verifiedPercent < 100)).toBe(true)
      expect((yield* run("coverage")).stdout).toMatch(/\d times unreadable/)

      const verified = yield* run("verify", "--deep")
      expect(verified, verified.stdout).toMatchObject({ code: 0, stderr: "" })
      const merged = yield* run("merge", "--into", "merged")
      expect(merged, merged.stdout).toMatchObject({ code: 0, stderr: "" })
      const again = (yield* archivedRows(`${where.folder}/merged`)).filter(
        ({ dataType }) => dataType === "unreadable"
      )
      expect(new Set(again.map(({ id }) => id))).toEqual(new Set(rows.map(({ id }) => id)))

      const wanted = yield* runNode([program], {
        cwd: where.folder,
        env: environment(where, { ...variables, MARKETS: "okx:BTC-USDT:unreadable" })
      })
      expect(wanted.code).toBe(1)
      expect(wanted.stderr).toContain('okx has no type "unreadable"')
    })
  )
})
