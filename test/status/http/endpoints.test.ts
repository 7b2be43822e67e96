import { existsSync } from "node:fs"
import { connect, createServer, type Server } from "node:net"
import { hostname } from "node:os"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Schedule, Schema } from "effect"
import parsePrometheus from "parse-prometheus-text-format"
import { EndKind } from "../../../src/domain/ExchangeEvent.ts"
import * as Simulator from "../../../src/simulator/Simulator.ts"
import { CoverageReply } from "../../../src/status/http/coverageReply.ts"
import { StatusReply } from "../../../src/status/http/statusReply.ts"
import { archiveNow, program, startCollector, type Variables, workspace } from "../../support/collector.ts"
import { patience } from "../../support/pace.ts"
import { eventually, freePort, runNode } from "../../support/process.ts"
import { get, hasProgram, healthOf, runProgram, statusPageOf } from "../../support/statusPage.ts"
import { openDatabase } from "../../support/stored.ts"

const secret = "Zs7SecretNobodyMaySee7sZ"

/** A collector of a simulated exchange, ready. */
const recording = (variables: Variables = {}) =>
  Effect.gen(function* () {
    const where = yield* workspace
    const simulator = yield* Simulator.make({ symbols: ["btcusdt", "ethusdt"], rate: 20 })
    const collector = yield* startCollector(where, {
      MARKETS: "binance:btcusdt,binance:ethusdt",
      BINANCE_WS_URL: simulator.url(),
      SILENCE_TIMEOUT: "5",
      ...variables
    })
    const page = yield* statusPageOf(collector)
    yield* eventually(
      "ready",
      Effect.map(get(`${page}/ready`), ({ status }) => status === 200)
    )
    return { where, simulator, collector, page }
  })

const decodeStatus = Schema.decodeUnknownSync(Schema.parseJson(StatusReply))
const decodeCoverage = Schema.decodeUnknownSync(Schema.parseJson(CoverageReply))

const streamCounters = ["received", "committed", "duplicate", "dropped", "rejected"].map(
  (what) => `collector_messages_${what}_total`
)

describe.skipIf(!existsSync(program))(
  "the endpoints of a running collector (needs the built program)",
  { concurrent: true },
  () => {
    it.scopedLive("describe what it does, with every label combination in the metrics from the start", () =>
      Effect.gen(function* () {
        const { page } = yield* recording({ BATCH_INTERVAL: "0.5", ARCHIVE_INTERVAL: "2" })
        const early = parsePrometheus((yield* get(`${page}/metrics`)).text)
        const labelsOf = (name: string) =>
          early.find((family) => family.name === name)?.metrics.map(({ labels }) => labels) ?? []
        const streams = ["btcusdt", "ethusdt"].flatMap((symbol) =>
          ["orderbook", "trade"].map((data_type) => ({ exchange: "binance", symbol, data_type }))
        )
        for (const name of [
          ...streamCounters,
          "collector_stream_gaps_total",
          "collector_stream_unverifiable_total",
          "collector_stream_unverifiable",
          "collector_stream_silence_seconds",
          "collector_stream_state"
        ]) {
          expect(labelsOf(name), name).toEqual(streams)
        }
        expect(labelsOf("collector_reconnects_total")).toEqual(
          EndKind.literals.map((reason) => ({ exchange: "binance", reason }))
        )

        let status = decodeStatus((yield* get(`${page}/api/status`)).text)
        yield* eventually(
          "archives, and messages in the last seconds",
          Effect.map(get(`${page}/api/status`), ({ text }) => {
            status = decodeStatus(text)
            const isBusy = status.streams.every(({ messagesPerSecond }) => messagesPerSecond > 5)
            return isBusy && (status.archives?.done ?? 0) >= 4
          })
        )
        expect(status).toMatchObject({ status: "healthy", reasons: [], server: "e2e-server" })
        expect(status.streams).toHaveLength(4)
        for (const stream of status.streams) {
          expect(stream).toMatchObject({ exchange: "binance", state: "live", dropped: 0, rejected: 0 })
          expect(stream.committed).toBeGreaterThan(0)
          expect(stream.received).toBeGreaterThanOrEqual(stream.committed)
        }
        expect(status.archives?.recent).toContainEqual(
          expect.objectContaining({
            step: "purged",
            bytes: expect.any(Number),
            seconds: expect.any(Number)
          })
        )
        expect(status.exchanges).toMatchObject([{ exchange: "binance", connections: 1 }])

        const { headers, text } = yield* get(`${page}/metrics`)
        expect(headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/)
        const families = new Map(parsePrometheus(text).map((family) => [family.name, family]))
        const value = (name: string) => Number(families.get(name)?.metrics[0]?.value)
        for (const name of ["collector_messages_received_total", "collector_messages_committed_total"]) {
          expect(value(name), name).toBeGreaterThan(0)
        }
        for (const name of [
          "collector_commit_duration_seconds",
          "collector_commit_latency_seconds",
          "collector_exchange_latency_seconds",
          "collector_parquet_duration_seconds",
          "collector_upload_duration_seconds"
        ]) {
          expect(families.get(name)?.type, name).toBe("HISTOGRAM")
          expect(Number(families.get(name)?.metrics[0]?.buckets?.["+Inf"]), name).toBeGreaterThan(0)
        }
        for (const name of [
          "collector_archived_rows_total",
          "collector_archived_bytes_total",
          "collector_database_bytes",
          "collector_disk_free_bytes",
          "collector_connection_up",
          "process_resident_memory_bytes",
          "process_cpu_seconds_total"
        ]) {
          expect(value(name), name).toBeGreaterThan(0)
        }
        if (hasProgram("promtool")) {
          expect(runProgram("promtool", ["check", "metrics"], text)).toEqual({ code: 0, output: "" })
        }

        const askCoverage = Effect.map(get(`${page}/api/coverage?days=1`), ({ text }) => decodeCoverage(text))
        yield* eventually(
          "messages of all streams",
          Effect.map(
            askCoverage,
            ({ streams }) =>
              streams.length === 4 && streams.every(({ messages }) => (messages.at(-1) ?? 0) > 0)
          )
        )
        const coverage = yield* askCoverage
        expect(coverage.hours).toBe(24)
        expect(coverage.streams.map(({ symbol }) => symbol)).toEqual([
          "btcusdt",
          "btcusdt",
          "ethusdt",
          "ethusdt"
        ])
        for (const { wanted } of coverage.streams) {
          expect(wanted.at(-1)).toBeGreaterThan(0)
        }
        const one = yield* get(`${page}/api/coverage?stream=binance:btcusdt:trade`)
        expect(decodeCoverage(one.text).streams).toHaveLength(1)

        const api: unknown = JSON.parse((yield* get(`${page}/api/openapi.json`)).text)
        expect(api).toMatchObject({
          openapi: expect.stringMatching(/^3\./),
          paths: {
            "/health": {},
            "/ready": {},
            "/metrics": {},
            "/api/status": {},
            "/api/coverage": {},
            "/api/live": {}
          }
        })
      })
    )

    it.scopedLive("have every label combination in the first metrics, before any exchange has answered", () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const port = yield* freePort
        yield* startCollector(where, {
          HTTP_PORT: String(port),
          MARKETS: "binance:btcusdt,bybit:*USDT:trade",
          BINANCE_WS_URL: "ws://127.0.0.1:9/",
          BYBIT_WS_URL: "ws://127.0.0.1:9/",
          BYBIT_REST_URL: "http://127.0.0.1:9/"
        })
        const url = `http://127.0.0.1:${port}/metrics`
        const first = yield* get(url).pipe(
          Effect.sandbox,
          Effect.retry(Schedule.spaced("20 millis")),
          Effect.timeout(patience)
        )
        expect(first.status).toBe(200)
        const families = new Map(parsePrometheus(first.text).map((family) => [family.name, family.metrics]))
        const labelsOf = (name: string) => (families.get(name) ?? []).map(({ labels }) => labels)
        for (const name of [...streamCounters, "collector_stream_unverifiable_total"]) {
          expect(labelsOf(name), name).toEqual(
            ["orderbook", "trade"].map((data_type) => ({
              exchange: "binance",
              symbol: "btcusdt",
              data_type
            }))
          )
        }
        expect(labelsOf("collector_reconnects_total")).toEqual(
          ["binance", "bybit"].flatMap((exchange) => EndKind.literals.map((reason) => ({ exchange, reason })))
        )
        expect(families.has("collector_parquet_duration_seconds")).toBe(true)
        if (hasProgram("promtool")) {
          expect(runProgram("promtool", ["check", "metrics"], first.text)).toEqual({ code: 0, output: "" })
        }
      })
    )

    it.scopedLive("count what left a stream in doubt, not whether its gaps can be proven", () =>
      Effect.gen(function* () {
        const { page, simulator } = yield* recording()
        const doubts = Effect.map(get(`${page}/metrics`), ({ text }) => {
          const metrics = parsePrometheus(text).find(
            ({ name }) => name === "collector_stream_unverifiable_total"
          )?.metrics
          return metrics?.find(({ labels }) => labels?.data_type === "orderbook")?.value
        })
        expect(yield* doubts).toBe("0")
        yield* simulator.inject({ _tag: "terminate" })
        yield* eventually(
          "a reconnect in doubt",
          Effect.map(doubts, (count) => count === "1")
        )
      })
    )

    it.scopedLive("know after a restart what the archived journal says and the database no longer has", () =>
      Effect.gen(function* () {
        const { collector, simulator, where } = yield* recording({ BATCH_INTERVAL: "0.5" })
        yield* collector.awaitLine(/ archived /, 4)
        yield* simulator.inject({ _tag: "refuse", for: 600_000 })
        yield* collector.stop()
        const variables = { MARKETS: "binance:btcusdt,binance:ethusdt", BINANCE_WS_URL: simulator.url() }
        yield* archiveNow(where, variables)
        yield* Effect.scoped(
          Effect.flatMap(openDatabase(where.database, "write"), (sql) =>
            Effect.orDie(
              sql.unsafe("DELETE FROM journal WHERE tag IN ('MessagesCommitted', 'StreamConnected')")
            )
          )
        )
        const next = yield* startCollector(where, variables)
        const page = yield* statusPageOf(next)
        yield* eventually(
          () => `messages of the run before\n${next.printed()}`,
          Effect.map(get(`${page}/api/coverage?days=1`), ({ text }) => {
            const { streams } = decodeCoverage(text)
            return (
              streams.length === 4 &&
              streams.every(({ messages }) => messages.reduce((sum, n) => sum + n, 0) > 0)
            )
          })
        )
      })
    )

    it.scopedLive("turn unhealthy with reasons while the exchange is gone, and back", () =>
      Effect.gen(function* () {
        const { page, simulator } = yield* recording()
        yield* eventually(
          "healthy",
          Effect.map(healthOf(page), ({ status }) => status === "healthy")
        )
        yield* simulator.inject({ _tag: "refuse", for: 600_000 })
        yield* simulator.inject({ _tag: "terminate" })
        yield* eventually(
          "degraded",
          Effect.map(healthOf(page), ({ code, status }) => status === "degraded" && code === 200)
        )
        expect((yield* healthOf(page)).reasons.join()).toContain("4 streams are not connected")
        yield* eventually(
          "unhealthy",
          Effect.map(
            healthOf(page),
            ({ code, reasons, status }) =>
              code === 503 && status === "unhealthy" && /nothing received for \d+ s/.test(reasons.join())
          )
        )
        yield* simulator.heal
        yield* eventually(
          "healthy again",
          Effect.map(healthOf(page), ({ code, status }) => status === "healthy" && code === 200)
        )
        const families = parsePrometheus((yield* get(`${page}/metrics`)).text)
        const ends = families.find(({ name }) => name === "collector_reconnects_total")?.metrics ?? []
        const total = ends.reduce((sum, metric) => sum + Number(metric.value), 0)
        expect(total).toBeGreaterThanOrEqual(2)
        const coverage = decodeCoverage((yield* get(`${page}/api/coverage?days=1`)).text)
        const from = coverage.from + (coverage.hours - 1) * 3_600_000_000
        const holes = yield* get(`${page}/api/coverage/events?stream=binance:btcusdt:trade&from=${from}`)
        expect(holes.status).toBe(200)
        expect(holes.text).toContain('"kind":"down"')
      })
    )

    it.scopedLive("accept only small read requests, and show no secrets", () =>
      Effect.gen(function* () {
        const { page, where } = yield* recording({
          // Not used by the folder store, and still to be kept quiet about.
          AWS_ACCESS_KEY: "AKIASECRET",
          AWS_SECRET_KEY: secret,
          ARCHIVE_STORE: "file"
        })
        const paths = [
          "/",
          "/health",
          "/ready",
          "/metrics",
          "/api/status",
          "/api/coverage",
          "/api/openapi.json"
        ]
        for (const path of paths) {
          const { headers, status, text } = yield* get(page + path)
          expect(status, path).toBe(200)
          expect(headers.get("content-security-policy"), path).toContain("default-src 'none'")
          expect(headers.get("x-content-type-options"), path).toBe("nosniff")
          expect(headers.get("x-frame-options"), path).toBe("DENY")
          expect(text, path).not.toContain(secret)
          expect(text, path).not.toContain("AKIASECRET")
          expect(text, path).not.toContain(where.folder)
          for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
            expect((yield* get(page + path, { method })).status, `${method} ${path}`).toBe(405)
          }
          expect((yield* get(page + path, { method: "HEAD" })).status, path).toBe(200)
        }
        expect((yield* get(`${page}/nowhere`)).status).toBe(404)
        expect((yield* get(`${page}/api/coverage?days=0`)).status).toBe(400)
        expect((yield* get(`${page}/api/coverage/events?stream=x&from=7`)).status).toBe(400)
        expect((yield* get(`${page}/api/coverage/events?stream=x&from=0`)).status).toBe(404)
        expect((yield* get(`${page}/${"x".repeat(3000)}`)).status).toBe(400)
        expect((yield* get(`${page}/health`, { headers: { "x-large": "x".repeat(20_000) } })).status).toBe(
          431
        )
        expect((yield* raw(page, "GET /health HTTP/1.1\r\nhost: evil.example\r\n\r\n")).slice(0, 12)).toBe(
          "HTTP/1.1 421"
        )
        for (const host of ["127.0.0.1", "[::1]:9090", "LOCALHOST", hostname()]) {
          expect((yield* raw(page, `GET /health HTTP/1.1\r\nhost: ${host}\r\n\r\n`)).slice(0, 12)).toBe(
            "HTTP/1.1 200"
          )
        }
        expect(
          (yield* raw(
            page,
            "GET /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello"
          )).slice(0, 12)
        ).toBe("HTTP/1.1 413")
        expect((yield* healthOf(page)).code).toBe(200)
      })
    )

    it.scopedLive("answer or refuse whatever is sent", () =>
      Effect.gen(function* () {
        const { page } = yield* recording()
        const requests = FastCheck.sample(hostileRequest, 300)
        yield* Effect.forEach(requests, (request) => raw(page, request), { concurrency: 20 })
        expect((yield* healthOf(page)).code).toBe(200)
        expect((yield* get(`${page}/metrics`)).status).toBe(200)
      })
    )

    it.scopedLive("fail the start with one line if the port is taken", () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const port = yield* freePort
        yield* occupy(port)
        const { code, stderr } = yield* runNode([program], {
          cwd: where.folder,
          env: {
            HOME: where.folder,
            NO_COLOR: "1",
            HTTP_PORT: String(port),
            BINANCE_WS_URL: "ws://127.0.0.1:9/"
          }
        })
        expect(code).toBe(1)
        expect(stderr).toMatch(new RegExp(`^HTTP_PORT=${port}: is taken on HTTP_HOST=127\\.0\\.0\\.1.*\\n$`))
      })
    )
  }
)

const occupy = (port: number) =>
  Effect.acquireRelease(
    Effect.async<Server>((resume) => {
      const server = createServer().listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

/** Sends bytes as they are, and returns what comes back within a second or up to the end. */
const raw = (page: string, request: string | Uint8Array): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const { hostname, port } = new URL(page)
    let received = ""
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(request))
    const timer = setTimeout(() => socket.destroy(), 1000)
    socket.setEncoding("latin1").on("data", (text: string) => {
      received += text
    })
    socket.on("error", () => {})
    socket.on("close", () => {
      clearTimeout(timer)
      resume(Effect.succeed(received))
    })
  })

const token = FastCheck.oneof(
  FastCheck.string({ maxLength: 200 }),
  FastCheck.constantFrom(
    "GET",
    "POST",
    "CONNECT",
    "/",
    "/health",
    "/api/coverage?days=%",
    "/api/coverage?stream=%ff%00",
    "*"
  )
)

const hostileRequest: FastCheck.Arbitrary<string | Uint8Array> = FastCheck.oneof(
  FastCheck.uint8Array({ maxLength: 2000 }),
  FastCheck.tuple(token, token, token, token).map(
    ([method, path, name, value]) =>
      `${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${name}: ${value}\r\n\r\n`
  ),
  FastCheck.tuple(FastCheck.webPath(), FastCheck.webQueryParameters()).map(
    ([path, query]) => `GET ${path}?${query} HTTP/1.1\r\nhost: localhost\r\n\r\n`
  ),
  FastCheck.constantFrom(
    "GET /health HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "GET /health HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\nx",
    "GET /health HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 999999999\r\n\r\n",
    "GET /health HTTP/1.1\r\n\r\n",
    "GET http://evil.example/health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET /assets/../../../../etc/passwd HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    `GET /${"a/".repeat(500)} HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    "GET /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"
  )
)
