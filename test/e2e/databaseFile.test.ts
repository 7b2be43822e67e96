import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { startCollector, startReceiving, workspace } from "../support/collector.ts"
import { pace } from "../support/pace.ts"
import { eventually } from "../support/process.ts"
import { healthOf, statusPageOf } from "../support/statusPage.ts"
import {
  archivedRows,
  countRows,
  databaseRows,
  faultless,
  faultsOf,
  query,
  sentMessages
} from "../support/stored.ts"

/** Records, lets `harm` be done to the database's file, and looks for every message that was ever sent. */
const survives = (
  harm: (database: string) => void,
  reason: string,
  options: { readonly stopAtOnce?: boolean } = {}
) =>
  Effect.gen(function* () {
    const where = yield* workspace
    const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 50, record: where.record })
    const variables = {
      MARKETS: "binance:btcusdt",
      BINANCE_WS_URL: simulator.url(),
      ARCHIVE_INTERVAL: "3600",
      BATCH_INTERVAL: "1"
    }
    const collector = yield* startReceiving(where, variables)
    yield* eventually(
      "some commits",
      Effect.map(countRows(where.database), (rows) => rows > 100)
    )
    const health = healthOf(yield* statusPageOf(collector))
    const endMarket = Effect.gen(function* () {
      yield* simulator.inject({ _tag: "silence" })
      yield* simulator.flush
      // What was sent is received.
      yield* Effect.sleep(Duration.millis(1000 * pace))
    })
    if (options.stopAtOnce === true) yield* endMarket
    harm(where.database)
    if (options.stopAtOnce !== true) {
      yield* eventually(
        () => `it to be unhealthy\n${collector.printed()}`,
        Effect.map(
          health,
          ({ reasons, status }) => status === "unhealthy" && reasons.some((one) => one.includes(reason))
        )
      )
      const before = yield* eventuallyRows(where.database, 100)
      yield* eventually(
        () => `it to go on recording\n${collector.printed()}`,
        Effect.map(countRows(where.database), (rows) => rows > before + 100)
      )
    }
    if (options.stopAtOnce !== true) yield* endMarket
    expect((yield* collector.stop()).code).toBe(0)
    expect(collector.stdout()).toMatch(new RegExp(`ERROR .*${reason}.* restoring it`))
    const sent = yield* sentMessages(where.record)
    // storage that is started again begins with an archive cycle, and may have stopped before its last purge
    const rows = [...(yield* archivedRows(where.archive)), ...(yield* databaseRows(where.database))]
    expect(faultsOf(sent, rows)).toEqual({ ...faultless, twice: expect.any(Array) })

    // the next start archives it all, and knows of no hole
    yield* simulator.inject({ _tag: "refuse", for: 86_400_000 })
    const next = yield* startCollector(where, variables)
    yield* eventually(
      () => `all to be archived\n${next.printed()}`,
      Effect.map(countRows(where.database), (rows) => rows === 0)
    )
    expect((yield* next.stop()).code).toBe(0)
    expect(faultsOf(sent, yield* archivedRows(where.archive))).toEqual(faultless)
    return where
  })

/** Waits until the database is there again with so many rows, and counts them. */
const eventuallyRows = (database: string, least: number) =>
  Effect.as(
    eventually(
      "the database to be there again",
      Effect.sync(() => NodeFs.existsSync(database)).pipe(
        Effect.flatMap((there) =>
          there ? Effect.map(countRows(database), (rows) => rows >= least) : Effect.succeed(false)
        )
      )
    ),
    least
  ).pipe(Effect.zipRight(countRows(database)))

const files = ["", "-wal", "-shm"]

describe.concurrent("the database's file, while it is in use", () => {
  it.scopedLive("is put back when it is removed with everything that belongs to it", () =>
    survives((database) => {
      for (const suffix of files) NodeFs.rmSync(`${database}${suffix}`)
    }, "the database's file was removed")
  )

  it.scopedLive("is put back when only the file is moved away", () =>
    survives((database) => NodeFs.renameSync(database, `${database}.away`), "the database's file was removed")
  )

  it.scopedLive("is put back when its folder is removed", () =>
    survives(
      (database) => NodeFs.rmSync(database.replace(/\/[^/]*$/, ""), { recursive: true }),
      "the database's file was removed"
    )
  )

  it.scopedLive("is put back when its write-ahead log is removed", () =>
    survives((database) => NodeFs.rmSync(`${database}-wal`), "the database's write-ahead log was removed")
  )

  it.scopedLive("is put back when it is removed just before the end", () =>
    survives(
      (database) => {
        for (const suffix of files) NodeFs.rmSync(`${database}${suffix}`)
      },
      "the database's file was removed",
      { stopAtOnce: true }
    )
  )

  it.scopedLive("is put back when another one takes its place, which is moved aside unchanged", () =>
    Effect.gen(function* () {
      let copy = Buffer.alloc(0)
      const where = yield* survives((database) => {
        NodeFs.copyFileSync(database, `${database}.copy`)
        copy = NodeFs.readFileSync(`${database}.copy`)
        NodeFs.renameSync(`${database}.copy`, database)
      }, "the database's file was replaced by another one")
      const folder = where.database.replace(/\/[^/]*$/, "")
      const aside = NodeFs.readdirSync(folder).filter((name) => name.includes(".replaced-"))
      expect(aside).toHaveLength(1)
      expect(NodeFs.readFileSync(`${folder}/${aside[0]}`).equals(copy)).toBe(true)
      const events = yield* query<{ reason: string }>(
        where.database,
        "SELECT payload ->> 'reason' AS reason FROM journal WHERE tag = 'DatabaseRestored'"
      )
      expect(events).toEqual([{ reason: "replaced" }])
    })
  )
})
