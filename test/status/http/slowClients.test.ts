import { existsSync } from "node:fs"
import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Schedule, Schema } from "effect"
import * as Simulator from "../../../src/simulator/Simulator.ts"
import { StatusReply } from "../../../src/status/http/statusReply.ts"
import { program, startCollector, workspace } from "../../support/collector.ts"
import { pace } from "../../support/pace.ts"
import { eventually } from "../../support/process.ts"
import { get, healthOf, statusPageOf } from "../../support/statusPage.ts"

const messagesPerSecond = 10_000
const symbols = ["btcusdt", "ethusdt"]
const slowClients = 200

const decodeStatus = Schema.decodeUnknownSync(Schema.parseJson(StatusReply))

describe.skipIf(!existsSync(program))("slow clients (needs the built program)", () => {
  it.scopedLive(
    `${slowClients} of them cost no message while ${messagesPerSecond} a second are recorded`,
    () =>
      Effect.gen(function* () {
        const where = yield* workspace
        // A machine that is busy with other things sends fewer: none of those may be lost either.
        const simulator = yield* Simulator.make({ symbols, rate: messagesPerSecond / symbols.length / 2 })
        const collector = yield* startCollector(where, {
          MARKETS: symbols.map((symbol) => `binance:${symbol}`).join(),
          BINANCE_WS_URL: simulator.url(),
          BATCH_INTERVAL: "1",
          ARCHIVE_INTERVAL: "3600",
          QUEUE_CAPACITY: String(Math.ceil(messagesPerSecond * 10 * pace))
        })
        const page = yield* statusPageOf(collector)
        yield* eventually(
          "ready",
          Effect.map(get(`${page}/ready`), ({ status }) => status === 200)
        )
        const counts = Effect.map(get(`${page}/api/status`), ({ text }) => decodeStatus(text))
        const before = yield* counts
        yield* Effect.forEach(Array.from({ length: slowClients }), (_, i) => slowClient(page, i))
        let slowest = 0
        yield* Effect.repeat(
          Effect.map(Effect.timed(healthOf(page)), ([time]) => {
            slowest = Math.max(slowest, Duration.toMillis(time))
          }),
          Schedule.intersect(Schedule.spaced("500 millis"), Schedule.recurs(20))
        )
        const after = yield* counts
        const received = (after.queue?.received ?? 0) - (before.queue?.received ?? 0)
        yield* Effect.logInfo(`${received} messages in 10 s, slowest answer ${slowest.toFixed(0)} ms`)
        expect(received).toBeGreaterThan(messagesPerSecond)
        expect(after.queue?.dropped).toBe(0)
        expect(after.streams.map(({ gaps }) => gaps)).toEqual(after.streams.map(() => 0))
        expect(slowest).toBeLessThan(5000 * pace)
        expect(collector.stdout()).not.toContain("dropped oldest")
      })
  )
})

/** Sends a byte now and then, or asks for something large or endless and does not read it; for as long as it is let. */
const slowClient = (page: string, n: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { hostname, port } = new URL(page)
      const socket = connect({ host: hostname, port: Number(port) })
      socket.on("error", () => {})
      socket.pause()
      const path = ["/metrics", "/api/live", "/api/status"][n % 4]
      if (path !== undefined) socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`.repeat(20))
      else socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
      const timer = setInterval(() => {
        if (path === undefined && socket.writable) socket.write("x")
      }, 500)
      return { socket, timer }
    }),
    ({ socket, timer }) =>
      Effect.sync(() => {
        clearInterval(timer)
        socket.destroy()
      })
  )
