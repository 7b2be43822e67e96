import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { isolated, program, startReceiving, type Workspace, workspace } from "../support/collector.ts"
import { pace } from "../support/pace.ts"
import { runNode } from "../support/process.ts"
import { countRows, lockDatabase, query } from "../support/stored.ts"

const silentMillis = 4000

describe.concurrent("a feed that falls silent before the end of the process", () => {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    for (const next of [false, true]) {
      it.scopedLive(
        `is not covered from then on: ${signal}${next ? ", and the next process knows how much is missing" : ""}`,
        () =>
          Effect.gen(function* () {
            const where = yield* workspace
            const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
            const settings = {
              MARKETS: "binance:btcusdt:trade+orderbook",
              BINANCE_WS_URL: simulator.url(),
              ARCHIVE_INTERVAL: "3600"
            }
            const collector = yield* startReceiving(where, settings)
            yield* Effect.sleep("3 seconds")
            yield* simulator.inject({ _tag: "silence" })
            const silentAt = Date.now()
            yield* Effect.sleep(silentMillis)
            const endedAt = Date.now()
            yield* collector.stop(signal)
            if (next) {
              const again = yield* startReceiving(where, settings)
              yield* Effect.sleep("2 seconds")
              yield* again.stop()
            }
            const days = yield* coverageOf(where)
            expect(days.length).toBeGreaterThan(0)
            for (const { dataType, exclude, gaps, wantedUntil } of days) {
              // On a busy machine what was sent before may be received a moment later.
              const covered = Array.from({ length: silentMillis / 100 }, (_, n) => silentAt + n * 100).filter(
                (at) =>
                  at > silentAt + 1000 * pace &&
                  at < Math.min(endedAt, wantedUntil) &&
                  !exclude.some(({ from, to }) => Date.parse(from) <= at && at <= Date.parse(to))
              )
              expect(covered).toEqual([])
              expect(
                next ? wantedUntil > endedAt : wantedUntil <= silentAt + 1000 * pace || exclude.length > 0
              ).toBe(true)
              if (next && dataType === "trade")
                expect(gaps.map(({ size }) => size)).toEqual([expect.any(Number)])
            }
          })
      )
    }
  }
})

describe("the end of a process that waits for the database", () => {
  it.scopedLive("claims no time after it stopped receiving", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
      const collector = yield* startReceiving(where, {
        MARKETS: "binance:btcusdt",
        BINANCE_WS_URL: simulator.url(),
        BATCH_INTERVAL: "60",
        ARCHIVE_INTERVAL: "3600"
      })
      yield* Effect.sleep("2 seconds")
      const unlockedAt = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* lockDatabase(where.database)
          yield* collector.signal("SIGTERM")
          yield* Effect.sleep("3 seconds")
          return Date.now()
        })
      )
      expect(yield* collector.ended).toEqual({ code: 0, signal: null })
      expect(yield* countRows(where.database)).toBeGreaterThan(0)
      const [end] = yield* query<{ lastSeen: number }>(
        where.database,
        "SELECT payload ->> 'lastSeen' AS lastSeen FROM journal WHERE tag = 'ProcessStopped'"
      )
      expect(Number(end?.lastSeen) / 1000).toBeLessThan(unlockedAt - 1000)
    })
  )
})

const Days = Schema.Array(
  Schema.Struct({
    dataType: Schema.String,
    gaps: Schema.Array(Schema.Struct({ size: Schema.NullOr(Schema.Number) })),
    exclude: Schema.Array(Schema.Struct({ from: Schema.String, to: Schema.String })),
    wantedSeconds: Schema.Number
  })
)

/** What `coverage --json` says, and until when each stream was to be recorded by the journal. */
const coverageOf = ({ archive, database, folder }: Workspace) =>
  Effect.gen(function* () {
    const { stdout } = yield* runNode([program, "coverage", "--json"], {
      cwd: folder,
      env: { ...isolated(folder), DATABASE_PATH: database, ARCHIVE_STORE: "file", ARCHIVE_DIR: archive }
    })
    const [begin] = yield* query<{ at: number }>(
      database,
      "SELECT min(at) AS at FROM journal WHERE tag = 'RecordingStarted'"
    )
    const days = yield* Schema.decodeUnknown(Schema.parseJson(Days))(stdout)
    // A test may run over midnight.
    return days.map((day) => ({
      ...day,
      wantedUntil:
        Number(begin?.at) / 1000 +
        1000 *
          days
            .filter(({ dataType }) => dataType === day.dataType)
            .reduce((sum, { wantedSeconds }) => sum + wantedSeconds, 0)
    }))
  })
