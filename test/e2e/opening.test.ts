import { createServer, type ServerResponse } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { startCollector, type Workspace, workspace } from "../support/collector.ts"
import { eventually } from "../support/process.ts"
import { countRows, databaseRows, faultless, faultsOf, sentMessages } from "../support/stored.ts"

/** An S3 server that gives no answer until it is told which one; storage is not open before. */
const silentStore: Effect.Effect<
  { readonly endpoint: string; readonly answer: (status: number) => Effect.Effect<void> },
  never,
  Scope.Scope
> = Effect.gen(function* () {
  const waiting: Array<ServerResponse> = []
  let status: number | undefined
  const server = createServer((request, response) => {
    request.resume()
    if (status === undefined) waiting.push(response)
    else response.writeHead(status).end()
  })
  const port = yield* Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(address === null || typeof address === "string" ? 0 : address.port))
      })
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  return {
    endpoint: `http://127.0.0.1:${port}`,
    answer: (given) =>
      Effect.sync(() => {
        status = given
        for (const response of waiting) response.writeHead(given).end()
      })
  }
})

const starting = (where: Workspace) =>
  Effect.gen(function* () {
    const store = yield* silentStore
    const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20, record: where.record })
    const collector = yield* startCollector(where, {
      MARKETS: "binance:btcusdt",
      BINANCE_WS_URL: simulator.url(),
      ARCHIVE_INTERVAL: "3600",
      BUCKET_NAME: "silent",
      S3_ENDPOINT: store.endpoint,
      AWS_ACCESS_KEY: "key",
      AWS_SECRET_KEY: "secret"
    })
    yield* eventually(
      () => `messages of a subscription\n${collector.printed()}`,
      Effect.map(simulator.flush, () => true).pipe(
        Effect.zipRight(sentMessages(where.record)),
        Effect.map((sent) => sent.length > 10),
        Effect.orElseSucceed(() => false)
      )
    )
    return { ...store, simulator, collector }
  })

describe.concurrent("while storage is being opened", () => {
  it.scopedLive("receives, logs nothing yet, and commits everything once it is open", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const { answer, collector, simulator } = yield* starting(where)
      expect(collector.stdout()).toBe("")
      expect(yield* countRows(where.database)).toBe(0)
      yield* answer(503)
      yield* collector.awaitLine(/ connected /)
      yield* simulator.inject({ _tag: "silence" })
      yield* simulator.flush
      const sent = yield* sentMessages(where.record)
      yield* eventually(
        () => `all that was sent is committed\n${collector.printed()}`,
        Effect.map(countRows(where.database), (rows) => rows >= sent.length)
      )
      expect(yield* collector.stop()).toEqual({ code: 0, signal: null })
      expect(faultsOf(sent, yield* databaseRows(where.database))).toEqual(faultless)
    })
  )

  it.scopedLive("ends with a single line if it cannot be opened", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const { answer, collector } = yield* starting(where)
      yield* answer(403)
      expect(yield* collector.ended).toEqual({ code: 1, signal: null })
      expect(collector.stderr()).toMatch(/^S3_ENDPOINT=.* refused access to BUCKET_NAME=silent: .*\n$/)
      expect(collector.stdout()).toBe("")
    })
  )
})
