import * as NodeFs from "node:fs"
import { availableParallelism } from "node:os"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { startCollector, startReceiving, type Variables, workspace } from "../support/collector.ts"
import { pace } from "../support/pace.ts"
import { eventually, startNode } from "../support/process.ts"
import { makeBucket, s3Server } from "../support/s3Bucket.ts"
import { makeS3Proxy } from "../support/s3Proxy.ts"
import {
  archivedRows,
  archiveFiles,
  countEvents,
  countRows,
  databaseRows,
  faultless,
  faultsOf,
  filesBelow,
  lockDatabase,
  query,
  sentMessages
} from "../support/stored.ts"

/** A collector that has received some hundred messages and, unless told otherwise, committed none. The market has ended. */
const withAFullQueue = (variables: Variables = {}) =>
  Effect.gen(function* () {
    const where = yield* workspace
    const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 50, record: where.record })
    const settings = {
      MARKETS: "binance:btcusdt",
      BINANCE_WS_URL: simulator.url(),
      BATCH_INTERVAL: "60",
      ARCHIVE_INTERVAL: "3600",
      ...variables
    }
    const collector = yield* startReceiving(where, settings)
    yield* Effect.sleep("3 seconds")
    yield* simulator.inject({ _tag: "silence" })
    yield* simulator.flush
    yield* Effect.sleep("1 second")
    return { where, simulator, settings, collector, sent: yield* sentMessages(where.record) }
  })

/** What is promised, on a busy machine too. */
const limit = Duration.seconds(10)

describe.concurrent("a signal to stop", () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    it.scopedLive(`${signal} commits what is queued and exits with 0 within 10 s`, () =>
      Effect.gen(function* () {
        const { collector, sent, where } = yield* withAFullQueue()
        expect(sent.length).toBeGreaterThan(200)
        expect(yield* countRows(where.database)).toBe(0)
        const [time, ended] = yield* Effect.timed(collector.stop(signal))
        expect(ended).toEqual({ code: 0, signal: null })
        expect(Duration.toMillis(time)).toBeLessThan(Duration.toMillis(limit))
        // a clean end leaves no write-ahead log behind
        expect(filesBelow(`${where.folder}/data`).filter((file) => file !== "collector.db-history")).toEqual([
          "collector.db",
          "collector.db.lock"
        ])
        expect(faultsOf(sent, yield* databaseRows(where.database))).toEqual(faultless)
        expect(collector.stderr()).toBe("")
      })
    )
  }

  it.scopedLive("SIGHUP twice, as a shell and its terminal send it, does not end it sooner", () =>
    Effect.gen(function* () {
      const { collector, sent, where } = yield* withAFullQueue()
      yield* collector.signal("SIGHUP")
      yield* collector.signal("SIGHUP")
      expect(yield* collector.ended).toEqual({ code: 0, signal: null })
      expect(faultsOf(sent, yield* databaseRows(where.database))).toEqual(faultless)
    })
  )

  for (const [how, shell, script] of [
    ["nohup", "bash", 'nohup "$0" "$@"'],
    ["trap '' HUP", "sh", `trap '' HUP; "$0" "$@"; exit $?`]
  ] as const) {
    it.scopedLive(`SIGHUP is nothing to one that was started with ${how}`, () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 50, record: where.record })
        const collector = yield* startReceiving(
          where,
          { MARKETS: "binance:btcusdt", BINANCE_WS_URL: simulator.url(), ARCHIVE_INTERVAL: "3600" },
          [shell, "-c", script, process.execPath]
        )
        const children = NodeFs.readFileSync(`/proc/${collector.pid}/task/${collector.pid}/children`, "utf8")
        const pid = Number(children.trim().split(" ")[0] || collector.pid)
        process.kill(pid, "SIGHUP")
        const before = yield* countRows(where.database)
        yield* eventually(
          () => `it to go on\n${collector.printed()}`,
          Effect.map(countRows(where.database), (rows) => rows > before + 100)
        )
        process.kill(pid, "SIGTERM")
        expect(yield* collector.ended).toEqual({ code: 0, signal: null })
      })
    )
  }

  it.scopedLive("commits in time if the database is locked for a moment", () =>
    Effect.gen(function* () {
      const { collector, sent, where } = yield* withAFullQueue()
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* lockDatabase(where.database)
          yield* collector.signal("SIGTERM")
          yield* Effect.sleep("3500 millis")
          expect(collector.isRunning()).toBe(true)
        })
      )
      const [time, ended] = yield* Effect.timed(collector.ended)
      expect(ended).toEqual({ code: 0, signal: null })
      expect(Duration.toMillis(time)).toBeLessThan(Duration.toMillis(limit) - 3500)
      expect(faultsOf(sent, yield* databaseRows(where.database))).toEqual(faultless)
    })
  )

  it.scopedLive(
    "ends in time if the database stays locked, and claims nothing that it could not commit",
    () =>
      Effect.gen(function* () {
        const { collector, where } = yield* withAFullQueue()
        const [time, ended] = yield* Effect.scoped(
          Effect.zipRight(lockDatabase(where.database), Effect.timed(collector.stop()))
        )
        expect(ended).toEqual({ code: 0, signal: null })
        expect(Duration.toMillis(time)).toBeLessThan(Duration.toMillis(limit))
        expect(collector.stdout()).toMatch(/could not commit all messages before shutdown/)
        expect(yield* countRows(where.database)).toBe(0)
        const ends = yield* query<{ n: number }>(
          where.database,
          "SELECT count(*) AS n FROM journal WHERE tag = 'ProcessStopped'"
        )
        expect(ends).toEqual([{ n: 0 }])
      })
  )

  it.scopedLive("ends in time while storage waits at its start for a store that does not answer", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 50 })
      const silent = yield* makeS3Proxy("http://127.0.0.1:9")
      yield* silent.inject("HEAD", { _tag: "Hang" }, 1000)
      const collector = yield* startReceiving(where, {
        MARKETS: "binance:btcusdt",
        BINANCE_WS_URL: simulator.url(),
        ARCHIVE_STORE: "s3",
        BUCKET_NAME: "bucket",
        S3_ENDPOINT: silent.endpoint,
        AWS_ACCESS_KEY: "key",
        AWS_SECRET_KEY: "secret"
      })
      const [time, ended] = yield* Effect.timed(collector.stop())
      expect(ended).toEqual({ code: 0, signal: null })
      expect(Duration.toMillis(time)).toBeLessThan(Duration.toMillis(limit))
    })
  )

  it.scopedLive("ends in time while an upload hangs, and the next start resumes the upload", () =>
    Effect.gen(function* () {
      const server = yield* s3Server
      const bucket = yield* makeBucket(server)
      const proxy = yield* makeS3Proxy(server.endpoint)
      yield* proxy.inject("PUT", { _tag: "Hang" }, 1000)
      const { collector, sent, settings, simulator, where } = yield* withAFullQueue({
        BATCH_INTERVAL: "1",
        ARCHIVE_INTERVAL: "1",
        ...bucket.variables(proxy.endpoint)
      })
      yield* eventually(
        () => `an upload\n${collector.printed()}`,
        Effect.sync(() => proxy.requests().some(({ method }) => method === "PUT"))
      )
      const [time, ended] = yield* Effect.timed(collector.stop())
      expect(ended).toEqual({ code: 0, signal: null })
      expect(Duration.toMillis(time)).toBeLessThan(Duration.toMillis(limit))
      expect(faultsOf(sent, yield* databaseRows(where.database))).toEqual(faultless)
      expect(filesBelow(where.outbox).length).toBe(1)

      yield* proxy.heal
      yield* simulator.inject({ _tag: "refuse", for: 86_400_000 })
      const next = yield* startCollector(where, settings)
      yield* eventually(
        () => `an empty database\n${next.printed()}`,
        Effect.map(countRows(where.database), (rows) => rows === 0)
      )
      expect((yield* next.stop()).code).toBe(0)
      yield* bucket.download(where.archive)
      expect(faultsOf(sent, yield* archivedRows(where.archive))).toEqual(faultless)
      expect(yield* countEvents(where.database, "ArchivePurged")).toBe(archiveFiles(where.archive).length)
    })
  )

  it.scopedLive("does not wait for the low-priority status page while all processors are busy", () =>
    Effect.gen(function* () {
      const { collector, sent, where } = yield* withAFullQueue()
      yield* collector.awaitLine(/ status page url=/)
      const busy = startNode(["--eval", "for (;;);"], { cwd: where.folder, env: {} })
      yield* Effect.replicateEffect(busy, availableParallelism())
      const [time, ended] = yield* Effect.timed(collector.stop())
      expect(ended).toEqual({ code: 0, signal: null })
      // what storage may take; the status page alone took 5 s
      expect(Duration.toMillis(time)).toBeLessThan(4000 * pace)
      expect(faultsOf(sent, yield* databaseRows(where.database))).toEqual(faultless)
    })
  )

  it.scopedLive("ends at once on a second signal", () =>
    Effect.gen(function* () {
      const { collector, where } = yield* withAFullQueue()
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* lockDatabase(where.database)
          yield* collector.signal("SIGTERM")
          yield* Effect.sleep("2500 millis")
          expect(collector.isRunning()).toBe(true)
          const [time] = yield* Effect.timed(collector.stop("SIGINT"))
          expect(Duration.toMillis(time)).toBeLessThan(2000 * pace)
        })
      )
      // what was not committed is lost, but nothing is damaged
      expect(yield* countRows(where.database)).toBe(0)
    })
  )
})
