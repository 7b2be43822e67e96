import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { startReceiving, workspace } from "../support/collector.ts"
import { eventually } from "../support/process.ts"
import {
  countRows,
  databaseRows,
  faultless,
  faultsOf,
  lockDatabase,
  sentMessages
} from "../support/stored.ts"

/** Receives while another program holds the write lock for 12 seconds, then lets the market end. */
const throughALock = (variables: Readonly<Record<string, string>>, rate: number) =>
  Effect.gen(function* () {
    const where = yield* workspace
    const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate, record: where.record })
    const collector = yield* startReceiving(where, {
      MARKETS: "binance:btcusdt",
      BINANCE_WS_URL: simulator.url(),
      ARCHIVE_INTERVAL: "3600",
      ...variables
    })
    yield* eventually(
      "the first commit",
      Effect.map(countRows(where.database), (rows) => rows > 0)
    )
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* lockDatabase(where.database)
        const before = yield* countRows(where.database)
        yield* Effect.sleep("12 seconds")
        expect(yield* countRows(where.database)).toBe(before)
      })
    )
    yield* simulator.inject({ _tag: "silence" })
    yield* simulator.flush
    // a commit, and a second for the last report of drops
    yield* Effect.sleep("5 seconds")
    expect(yield* collector.stop()).toEqual({ code: 0, signal: null })
    expect(collector.stdout()).toMatch(/WARN .*could not commit batch.*(locked|BUSY)/)
    return {
      sent: yield* sentMessages(where.record),
      rows: yield* databaseRows(where.database),
      stdout: collector.stdout()
    }
  })

describe.concurrent("a database that another program has locked", () => {
  it.scopedLive("keeps what it receives and commits it afterwards", () =>
    Effect.gen(function* () {
      const { rows, sent, stdout } = yield* throughALock({}, 30)
      expect(faultsOf(sent, rows)).toEqual(faultless)
      expect(stdout).not.toContain("dropped oldest")
    })
  )

  it.scopedLive("counts what does not fit into the queue meanwhile, and warns", () =>
    Effect.gen(function* () {
      const { rows, sent, stdout } = yield* throughALock({ QUEUE_CAPACITY: "100" }, 30)
      expect(faultsOf(sent, rows, { mayMiss: true })).toEqual(faultless)
      const dropped = Array.from(stdout.matchAll(/WARN .*dropped oldest messages.*\bdropped=(\d+)/g))
      const total = dropped.reduce((sum, [, count]) => sum + Number(count), 0)
      expect(total).toBeGreaterThan(100)
      expect(rows.length + total).toBe(sent.length)
      // the oldest give way: the newest of each stream are there
      expect(faultsOf(sent.slice(-50), rows).missing).toEqual([])
    })
  )
})
