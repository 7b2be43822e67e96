import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Fault } from "../../src/simulator/Fault.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { startReceiving, type Variables, type Workspace, workspace } from "../support/collector.ts"
import { eventually } from "../support/process.ts"
import {
  archivedRows,
  countRows,
  databaseRows,
  faultless,
  faultsOf,
  type SentMessage,
  type StoredRow,
  sentMessages
} from "../support/stored.ts"

const symbols = ["btcusdt", "ethusdt"]

/** A collector on a simulated exchange, and everything that it stored at the end. */
const collecting = (variables: Variables, rate = 20) =>
  Effect.gen(function* () {
    const where = yield* workspace
    const simulator = yield* Simulator.make({ symbols, rate, record: where.record })
    const collector = yield* startReceiving(where, {
      MARKETS: symbols.map((symbol) => `binance:${symbol}`).join(),
      BINANCE_WS_URL: simulator.url(),
      LOG_LEVEL: "info,ingest=debug",
      ARCHIVE_INTERVAL: "3600",
      ...variables
    })
    const sentSoFar = Effect.zipRight(simulator.flush, sentMessages(where.record))
    /**
     * Misbehaves, and waits until the collector is connected again, the connection before has ended, and some messages have been
     * sent since.
     */
    const reconnectAfter = (fault: Fault) =>
      Effect.gen(function* () {
        const before = subscriptions(collector.stdout())
        const ended = collector.stdout().split("connection ended").length
        yield* simulator.inject(fault)
        yield* collector.awaitLine(/ connected /, before + 1)
        yield* collector.awaitLine(/connection ended/, ended)
        const { length } = yield* sentSoFar
        yield* Effect.sleep("1 second")
        yield* eventually(
          "messages on the new connection",
          Effect.map(sentSoFar, (sent) => sent.length >= length + 10)
        )
      })
    const finish = Effect.gen(function* () {
      yield* simulator.inject({ _tag: "silence" })
      yield* simulator.flush
      const sent = yield* sentMessages(where.record)
      yield* Effect.sleep("1500 millis")
      // while an archive is under way its rows are in both places
      if (variables.ARCHIVE_INTERVAL !== undefined) yield* allArchived(where)
      expect(yield* collector.stop()).toEqual({ code: 0, signal: null })
      expect(collector.stderr()).toBe("")
      const all = [...(yield* archivedRows(where.archive)), ...(yield* databaseRows(where.database))]
      const [rows, aside] = partition(all, ({ dataType }) => dataType !== "unreadable")
      expectOnlyWhatWasAsked(rows)
      return { sent, rows, aside, stdout: collector.stdout() }
    })
    return { where, simulator, collector, reconnectAfter, finish }
  })

describe.concurrent("an exchange that misbehaves", () => {
  it.scopedLive("sends garbage between the data: it is counted and kept, and no data are lost", () =>
    Effect.gen(function* () {
      const { collector, finish, simulator } = yield* collecting({})
      for (let i = 0; i < 4; i++) {
        yield* simulator.inject({ _tag: "garbage", count: 10 })
        yield* Effect.sleep("700 millis")
      }
      yield* Effect.sleep("1 second")
      const { aside, rows, sent, stdout } = yield* finish
      expect(faultsOf(sent, rows)).toEqual(faultless)
      expect(aside.length).toBe(40)
      const skipped = stdout.split("\n").filter((line) => line.includes("skipped frames"))
      const counts = skipped.flatMap((line) =>
        Array.from(line.matchAll(/=(\d+)(?= |$)/g), ([, n]) => Number(n))
      )
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(40)
      expect(subscriptions(collector.stdout())).toBe(1)
    })
  )

  it.scopedLive("sends mostly garbage: the collector reconnects", () =>
    Effect.gen(function* () {
      const { finish, reconnectAfter } = yield* collecting({}, 5)
      yield* reconnectAfter({ _tag: "garbage", count: 500 })
      const { rows, sent, stdout } = yield* finish
      expect(faultsOf(sent, rows, { mayMiss: true })).toEqual(faultless)
      expectRowsOfEveryConnection(sent, rows)
      expect(stdout).toMatch(/connection ended.*frames could not be read/)
    })
  )

  it.scopedLive(
    "closes, announces it, cuts connections, falls silent and refuses, and repeats itself after each",
    () =>
      Effect.gen(function* () {
        const { finish, reconnectAfter, simulator } = yield* collecting({
          SILENCE_TIMEOUT: "3"
        })
        const faults: ReadonlyArray<Fault> = [
          { _tag: "close", code: 1001 },
          { _tag: "shutdown" },
          { _tag: "terminate" },
          { _tag: "silence" }
        ]
        for (const fault of faults) {
          yield* Effect.sleep("1 second")
          yield* simulator.inject({ _tag: "duplicates", when: "reconnect", count: 20 })
          yield* reconnectAfter(fault)
        }
        yield* simulator.inject({ _tag: "refuse", for: 1500, status: 503 })
        yield* reconnectAfter({ _tag: "terminate" })
        const { rows, sent, stdout } = yield* finish
        expect(faultsOf(sent, rows, { mayMiss: true })).toEqual(faultless)
        expectRowsOfEveryConnection(sent, rows)
        // only what was on its way when a connection was cut may be missing
        expect(rows.length).toBeGreaterThan(sent.length * 0.9)
        expect(stdout).toMatch(/connection ended.*code 1001/)
        expect(stdout).toMatch(/connection ended.*shutdown/)
        expect(stdout).toMatch(/connection ended.*fell silent/)
        expect(stdout).toMatch(/connection ended.*503/)
        expect(duplicatesIn(stdout)).toBeGreaterThan(0)
      })
  )

  it.scopedLive("sends again what was already archived: it is still a duplicate", () =>
    Effect.gen(function* () {
      const { finish, simulator, reconnectAfter, where } = yield* collecting({ ARCHIVE_INTERVAL: "1" })
      yield* Effect.sleep("3 seconds")
      // to a moment when nothing waits: what is sent again then has left the database
      yield* simulator.inject({ _tag: "silence" })
      yield* allArchived(where)
      yield* simulator.inject({ _tag: "duplicates", when: "reconnect", count: 30 })
      yield* reconnectAfter({ _tag: "terminate" })
      const { rows, sent, stdout } = yield* finish
      expect(faultsOf(sent, rows, { mayMiss: true })).toEqual(faultless)
      expect(duplicatesIn(stdout)).toBeGreaterThan(0)
    })
  )
})

const allArchived = (where: Workspace) =>
  eventually(
    "an empty database",
    Effect.map(countRows(where.database), (rows) => rows === 0)
  )

const subscriptions = (stdout: string): number => stdout.match(/ connected /g)?.length ?? 0

/** Messages that were committed already, by the log. */
const duplicatesIn = (stdout: string): number =>
  Array.from(stdout.matchAll(/batch committed .*\bduplicates=(\d+)/g)).reduce(
    (sum, [, count]) => sum + Number(count),
    0
  )

const partition = <A>(all: ReadonlyArray<A>, isFirst: (a: A) => boolean) =>
  [all.filter(isFirst), all.filter((a) => !isFirst(a))] as const

const expectOnlyWhatWasAsked = (rows: ReadonlyArray<StoredRow>) =>
  expect(new Set(rows.map(({ dataType, exchange, symbol }) => `${exchange} ${symbol} ${dataType}`))).toEqual(
    new Set(symbols.flatMap((symbol) => ["orderbook", "trade"].map((type) => `binance ${symbol} ${type}`)))
  )

/** The first and the last messages sent are stored. */
const expectRowsOfEveryConnection = (sent: ReadonlyArray<SentMessage>, rows: ReadonlyArray<StoredRow>) => {
  expect(faultsOf(sent.slice(0, 10), rows).missing).toEqual([])
  expect(faultsOf(sent.slice(-10), rows).missing).toEqual([])
}
