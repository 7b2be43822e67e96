import * as NodeFs from "node:fs"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { journalColumns, journalPage } from "../../../src/archive/columns.ts"
import * as HyparquetWriter from "../../../src/archive/HyparquetWriter.ts"
import { ParquetWriter } from "../../../src/archive/ParquetWriter.ts"
import { dateOf, segmentKey } from "../../../src/domain/Archive.ts"
import { type JournalEvent, streamKeyOf } from "../../../src/domain/JournalEvent.ts"
import { microsPerDay, microsPerHour } from "../../../src/domain/micros.ts"
import type { StreamId } from "../../../src/domain/StreamId.ts"
import * as Simulator from "../../../src/simulator/Simulator.ts"
import { CoverageReply } from "../../../src/status/http/coverageReply.ts"
import { pastFile } from "../../../src/status/http/pastFile.ts"
import { program, serverName, startCollector, type Workspace, workspace } from "../../support/collector.ts"
import { pace } from "../../support/pace.ts"
import { type Child, eventually } from "../../support/process.ts"
import { get as getOnce, statusPageOf } from "../../support/statusPage.ts"

const streams = Array.from(
  { length: 2000 },
  (_, n): StreamId => ({
    exchange: "binance",
    symbol: `s${n >> 1}usdt`,
    dataType: n % 2 === 0 ? "trade" : "orderbook"
  })
)
const days = 30
const countsPerDay = 2

/** The archived journal of a server that recorded so many streams for a month: connected once a day, counted some times. */
const archiveMonth = ({ archive }: Workspace) =>
  Effect.gen(function* () {
    const writer = yield* ParquetWriter
    const begin = Math.floor((Date.now() * 1000) / microsPerDay) * microsPerDay - days * microsPerDay
    let id = 0
    for (let day = 0; day < days; day++) {
      const from = begin + day * microsPerDay
      const events: Array<readonly [at: number, event: JournalEvent]> = [
        [
          from,
          { _tag: "ProcessStarted", at: from, process: "p", server: serverName, version: "1", previous: null }
        ],
        [from, { _tag: "RecordingStarted", at: from, streams }],
        ...streams.map((stream): [number, JournalEvent] => [
          from,
          { _tag: "StreamConnected", at: from, stream, connection: "c" }
        ])
      ]
      for (let n = 0; n < countsPerDay; n++) {
        const first = from + (n * 24 * microsPerHour) / countsPerDay
        const last = first + microsPerHour - 1
        for (const stream of streams) {
          const hour = Math.floor(first / microsPerHour)
          events.push([last, { _tag: "MessagesCommitted", stream, hour, messages: 3, first, last }])
        }
        events.push([last, { _tag: "ProcessAlive", process: "p", lastSeen: last }])
      }
      const end = from + microsPerDay - 1
      events.push([end, { _tag: "ProcessStopped", process: "p", lastSeen: end }])
      const firstId = id + 1
      const rows = events.map(([at, event]) => ({
        id: ++id,
        at,
        tag: event._tag,
        stream: streamKeyOf(event),
        payload: JSON.stringify(event)
      }))
      const journal = "0123456789abcdef"
      const archiveId = Math.floor(end / 1000)
        .toString(16)
        .padStart(12, "0")
        .padEnd(24, "0")
      yield* writer.write({
        path: `${archive}/${segmentKey({ date: dateOf(from), serverName, journal, archiveId })}`,
        columns: journalColumns,
        pages: Stream.fromIterable(
          Array.from({ length: Math.ceil(rows.length / 1000) }, (_, n) =>
            journalPage(rows.slice(n * 1000, n * 1000 + 1000))
          )
        ),
        metadata: {
          server: serverName,
          archive_id: archiveId,
          journal,
          first_id: String(firstId),
          last_id: String(id)
        }
      })
    }
  }).pipe(Effect.provide(Layer.provideMerge(HyparquetWriter.layer(), NodeContext.layer)))

/** A connection that was kept may end just when it is used again: that is no answer, and none is missing. */
const get = (url: string) => Effect.retry(Effect.sandbox(getOnce(url)), { times: 3 }).pipe(Effect.orDie)

const decode = Schema.decodeUnknownSync(Schema.parseJson(CoverageReply))

/** Megabytes, the most that a process ever had. */
const peakMemory = ({ pid }: Child) =>
  Number(/VmHWM:\s+(\d+) kB/.exec(NodeFs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024

const messagesIn = ({ streams }: CoverageReply) =>
  streams.reduce((sum, { messages }) => sum + messages.reduce((all, n) => all + n, 0), 0)

describe.skipIf(!NodeFs.existsSync(program) || process.platform !== "linux")(
  "the status page with 2,000 streams and a month (needs the built program)",
  () => {
    it.scopedLive("answers at once while it reads the journal, in bounded memory, and reads it once", () =>
      Effect.gen(function* () {
        const where = yield* workspace
        yield* archiveMonth(where)
        const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
        const variables = { MARKETS: "binance:btcusdt", BINANCE_WS_URL: simulator.url() }
        const collector = yield* startCollector(where, variables)
        const page = yield* statusPageOf(collector)
        // On a busy machine an answer may take longer than it is given.
        const coverage = (address: string) =>
          Effect.retry(
            Effect.sandbox(Effect.map(get(`${address}/api/coverage?days=31`), ({ text }) => decode(text))),
            { times: Math.ceil(3 * pace) }
          ).pipe(Effect.orDie)

        let answered = 0
        let whileReading = 0
        yield* eventually(
          () => `the whole month\n${collector.printed()}`,
          Effect.gen(function* () {
            yield* Effect.sleep("200 millis")
            expect((yield* get(`${page}/metrics`)).status).toBe(200)
            expect((yield* get(`${page}/health`)).text).not.toContain("not reported")
            answered++
            const { reading } = decode((yield* get(`${page}/api/coverage?days=1&stream=x`)).text)
            if (reading?.what === "archive") {
              expect(reading.done).toBeLessThanOrEqual(1)
              whileReading++
            }
            return reading === null
          })
        )
        expect(answered).toBeGreaterThan(0)
        expect(whileReading).toBeGreaterThan(0)

        const replies = yield* Effect.all([coverage(page), coverage(page), coverage(page)], {
          concurrency: "unbounded"
        })
        const all = streams.length * days * countsPerDay * 3
        for (const reply of replies) {
          expect(reply.streams.length).toBe(streams.length + 2)
          expect(messagesIn(reply)).toBeGreaterThan(all)
          const [old] = reply.streams.filter(({ symbol }) => symbol === "s0usdt")
          expect(old?.wanted.filter((seconds) => seconds === 3600).length).toBeGreaterThanOrEqual(
            days * 24 - 1
          )
        }
        expect((yield* get(`${page}/health`)).status).toBe(200)
        expect(collector.printed()).not.toContain("status page died")
        expect(peakMemory(collector)).toBeLessThan(500)

        // Is there after kill -9, without the archive.
        yield* eventually(
          "what is known to be kept",
          Effect.sync(() => NodeFs.existsSync(pastFile(where.database)))
        )
        yield* collector.stop("SIGKILL")
        NodeFs.rmSync(`${where.archive}/_journal`, { recursive: true })
        const next = yield* startCollector(where, variables)
        const again = yield* statusPageOf(next)
        yield* eventually(
          () => `the month again\n${next.printed()}`,
          Effect.map(coverage(again), (reply) => reply.reading === null && messagesIn(reply) > all)
        )
      })
    )
  }
)
