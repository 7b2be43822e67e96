import { existsSync, readdirSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Schema } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { program, startCollector, workspace } from "../support/collector.ts"
import { eventually, freePort } from "../support/process.ts"

describe.skipIf(!existsSync(program))("traces (needs the built program)", () => {
  it.scopedLive(
    "of archive cycles, commits and reconnects reach an OpenTelemetry collector, and log lines carry their spans",
    () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const receiver = yield* otlpReceiver
        const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
        yield* startCollector(where, {
          MARKETS: "binance:btcusdt",
          BINANCE_WS_URL: simulator.url(),
          OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url
        })
        const named = (name: string) => receiver.spans().filter((span) => span.name === name)
        yield* eventually(
          "a cycle with an archive",
          Effect.sync(() => {
            const [archive] = named("archive")
            return named("archive.cycle").some(({ spanId }) => spanId === archive?.parentSpanId)
          })
        )
        // an export that fails on a busy machine pauses the exporter for a minute, and its spans are lost
        yield* Effect.raceFirst(
          eventually(
            "a reconnect",
            Effect.sync(() => named("exchange.reconnect").length > 0)
          ),
          Effect.forever(Effect.zipRight(simulator.inject({ _tag: "terminate" }), Effect.sleep("8 seconds")))
        )

        const [archive] = named("archive")
        for (const step of ["archive.write", "archive.upload", "archive.verify", "archive.purge"]) {
          expect(named(step).map(({ parentSpanId }) => parentSpanId)).toContain(archive?.spanId)
        }
        yield* eventually(
          "a commit across the threads",
          Effect.sync(() => {
            const commits = new Set(named("batch.commit").map(({ spanId }) => spanId))
            return named("storage.append").some(({ parentSpanId }) => commits.has(parentSpanId ?? ""))
          })
        )
        const parents = named("exchange.connect").map(({ parentSpanId }) => parentSpanId)
        expect(named("exchange.reconnect").some(({ spanId }) => parents.includes(spanId))).toBe(true)
        expect(receiver.resources().join()).toContain("crypto-collector")

        yield* eventually(
          "a log line of the span",
          Effect.sync(() => {
            const [file = ""] = readdirSync(where.logs)
            const lines = readFileSync(`${where.logs}/${file}`, "utf8").split("\n")
            return named("archive").some(({ spanId, traceId }) =>
              lines.some(
                (line) =>
                  line.includes('"message":"archived"') &&
                  line.includes(`"trace_id":"${traceId}"`) &&
                  line.includes(`"span_id":"${spanId}"`)
              )
            )
          })
        )
      })
  )

  it.scopedLive("cost nothing if nobody accepts them", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
      const collector = yield* startCollector(where, {
        MARKETS: "binance:btcusdt",
        BINANCE_WS_URL: simulator.url(),
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${yield* freePort}`
      })
      yield* collector.awaitLine(/ archived /, 2)
      expect((yield* collector.stop()).code).toBe(0)
      expect(collector.stdout()).not.toMatch(/ (WARN|ERROR) /)
    })
  )
})

const Span = Schema.Struct({
  name: Schema.String,
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optional(Schema.String)
})

const Traces = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({
      resource: Schema.Unknown,
      scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) }))
    })
  )
})

const decodeTraces = Schema.decodeUnknownEither(Schema.parseJson(Traces))

/** Takes traces as an OpenTelemetry collector does, over OTLP/HTTP with JSON. */
const otlpReceiver = Effect.acquireRelease(
  Effect.async<{
    readonly url: string
    readonly spans: () => ReadonlyArray<typeof Span.Type>
    readonly resources: () => ReadonlyArray<string>
    readonly close: () => void
  }>((resume) => {
    const spans: Array<typeof Span.Type> = []
    const resources: Array<string> = []
    const server = createServer((request, response) => {
      let body = ""
      request.setEncoding("utf8").on("data", (text: string) => {
        body += text
      })
      request.on("end", () => {
        const traces = decodeTraces(body)
        const isTaken = request.url === "/v1/traces" && Either.isRight(traces)
        if (Either.isRight(traces)) {
          for (const { resource, scopeSpans } of traces.right.resourceSpans) {
            resources.push(JSON.stringify(resource))
            spans.push(...scopeSpans.flatMap((scope) => scope.spans))
          }
        }
        response.writeHead(isTaken ? 200 : 400, { "content-type": "application/json" }).end("{}")
      })
    })
    server.keepAliveTimeout = 60_000
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = address === null || typeof address === "string" ? 0 : address.port
      resume(
        Effect.succeed({
          url: `http://127.0.0.1:${port}`,
          spans: () => spans,
          resources: () => resources,
          close: () => {
            server.close()
            server.closeAllConnections()
          }
        })
      )
    })
  }),
  ({ close }) => Effect.sync(close)
)
