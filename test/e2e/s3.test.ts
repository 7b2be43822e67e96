import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { archiveNow, startReceiving, workspace } from "../support/collector.ts"
import { type Child, eventually } from "../support/process.ts"
import { makeBucket, s3Server, s3ServerName } from "../support/s3Bucket.ts"
import { makeS3Proxy } from "../support/s3Proxy.ts"
import {
  archivedRows,
  archiveFiles,
  countEvents,
  countRows,
  faultless,
  faultsOf,
  filesBelow,
  sentMessages
} from "../support/stored.ts"

/** A collector that archives to a bucket through a proxy that can misbehave. */
const collecting = Effect.gen(function* () {
  const where = yield* workspace
  const server = yield* s3Server
  const bucket = yield* makeBucket(server)
  const proxy = yield* makeS3Proxy(server.endpoint)
  const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 30, record: where.record })
  const variables = {
    MARKETS: "binance:btcusdt",
    BINANCE_WS_URL: simulator.url(),
    LOG_LEVEL: "trace",
    ...bucket.variables(proxy.endpoint)
  }
  const start = startReceiving(where, variables)

  /** Lets the market end, waits until everything of it is archived, and stops. */
  const finish = (collector: Child) =>
    Effect.gen(function* () {
      yield* simulator.inject({ _tag: "silence" })
      yield* simulator.flush
      const sent = yield* sentMessages(where.record)
      yield* Effect.sleep("1 second")
      yield* eventually(
        () => `an empty database\n${collector.printed()}`,
        Effect.map(countRows(where.database), (rows) => rows === 0)
      )
      expect((yield* collector.stop()).code).toBe(0)
      yield* archiveNow(where, variables)
      yield* bucket.download(where.archive)
      expect(faultsOf(sent, yield* archivedRows(where.archive))).toEqual(faultless)
      expect(filesBelow(where.outbox)).toEqual([])
      expect(yield* countEvents(where.database, "ArchivePurged")).toBe(archiveFiles(where.archive).length)
    })
  return { where, server, bucket, proxy, start, finish }
})

describe.concurrent(`an object store that fails (${s3ServerName})`, () => {
  it.scopedLive(
    "answers 503 twice: the upload is retried, and rows are deleted only once it is verified",
    () =>
      Effect.gen(function* () {
        const { bucket, finish, proxy, server, start, where } = yield* collecting
        yield* proxy.inject("PUT", { _tag: "Status", status: 503 }, 2)
        const collector = yield* start
        const puts = () => proxy.requests().filter(({ method }) => method === "PUT")
        yield* eventually(
          () => `two refused uploads\n${collector.printed()}`,
          Effect.sync(() => puts().length === 2)
        )
        expect(yield* countRows(where.database)).toBeGreaterThan(0)
        expect(yield* countEvents(where.database, "ArchivePurged", "ArchiveVerified")).toBe(0)
        expect((yield* bucket.keys).filter((key) => key.startsWith("exchange="))).toEqual([])

        yield* finish(collector)
        const [first, second, third] = puts()
        expect([first?.status, second?.status, third?.status]).toEqual([503, 503, 200])
        expect(new Set([first?.key, second?.key, third?.key]).size).toBe(1)
        expect(collector.stdout()).toMatch(/WARN .*upload failed .*503/)
        expect(collector.stderr()).toBe("")
        expect(collector.stdout()).not.toContain(server.secret)
      })
  )

  it.scopedLive("accepts an object and then does not have it: rows and file stay until it has", () =>
    Effect.gen(function* () {
      const { finish, proxy, start, where } = yield* collecting
      yield* proxy.inject("HEAD", { _tag: "Status", status: 404 }, 1_000_000)
      const collector = yield* start
      // both streams; what follows is another attempt
      yield* collector.awaitLine(/ERROR .*archive failed.*stage=verify/, 2)
      yield* Effect.sleep("4 seconds")
      expect(yield* countEvents(where.database, "ArchiveUploaded")).toBeGreaterThan(0)
      expect(yield* countEvents(where.database, "ArchiveVerified", "ArchiveRowsPurged")).toBe(0)
      expect(filesBelow(where.outbox).length).toBeGreaterThan(0)
      const waiting = yield* countRows(where.database)
      expect(waiting).toBeGreaterThan(0)
      // it goes on receiving meanwhile
      yield* eventually(
        "more rows",
        Effect.map(countRows(where.database), (rows) => rows > waiting)
      )
      yield* proxy.heal
      yield* finish(collector)
    })
  )

  it.scopedLive("resets connections, loses an answer and refuses for a while: everything arrives once", () =>
    Effect.gen(function* () {
      const { finish, proxy, start } = yield* collecting
      yield* proxy.inject("PUT", { _tag: "ResetRequest" })
      yield* proxy.inject("PUT", { _tag: "LoseAnswer" })
      yield* proxy.inject("PUT", { _tag: "ResetRequest" })
      yield* proxy.inject("PUT", { _tag: "Status", status: 500 })
      const collector = yield* start
      yield* eventually(
        () => `the faults\n${collector.printed()}`,
        Effect.sync(() => proxy.requests().filter(({ method }) => method === "PUT").length > 4)
      )
      yield* finish(collector)
    })
  )

  it.scopedLive("receives other bytes than were sent, of the same length: no row is deleted", () =>
    Effect.gen(function* () {
      const { bucket, finish, proxy, start, where } = yield* collecting
      yield* proxy.inject("PUT", { _tag: "FlipBit" }, 1_000_000)
      const collector = yield* start
      yield* collector.awaitLine(/WARN .*upload failed.*(changed on the way|not what was sent)/, 2)
      yield* Effect.sleep("4 seconds")
      expect(yield* countEvents(where.database, "ArchiveUploaded", "ArchiveRowsPurged")).toBe(0)
      expect(yield* countRows(where.database)).toBeGreaterThan(0)
      yield* proxy.heal
      yield* finish(collector)
      expect((yield* bucket.keys).filter((key) => key.endsWith("probe"))).toEqual([])
    })
  )

  it.scopedLive("answers 500 to two objects forever: everything else is archived, in every later cycle", () =>
    Effect.gen(function* () {
      const { bucket, finish, proxy, start, where } = yield* collecting
      const refused = yield* proxy.refuseFirst(2)
      const collector = yield* start
      const archives = Effect.map(bucket.keys, (keys) => keys.filter((key) => key.startsWith("exchange=")))
      for (const least of [2, 4, 6]) {
        yield* eventually(
          () => `${least} archives\n${collector.printed()}`,
          Effect.map(archives, (keys) => keys.length >= least)
        )
      }
      const keys = Array.from(refused, decodeURIComponent)
      expect((yield* bucket.keys).filter((key) => keys.includes(key))).toEqual([])
      expect(yield* countRows(where.database)).toBeGreaterThan(0)
      expect(collector.stdout()).not.toContain("archive store is down")
      yield* proxy.heal
      yield* finish(collector)
      // a part of the journal is given up for another one, an archive of rows never
      expect(yield* bucket.keys).toEqual(
        expect.arrayContaining(keys.filter((key) => key.startsWith("exchange=")))
      )
    })
  )
})
