import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Clock, Effect, Stream } from "effect"
import { prometheusContentType } from "../../domain/MetricFamily.ts"
import { yieldToEventLoop } from "../../storage/eventLoop.ts"
import { makeAnswerCache } from "./AnswerCache.ts"
import { Api, Busy, NoSuchStream, NotReady, Unhealthy } from "./Api.ts"
import { type CoverageQuery, coverageReply, eventsReply, sizeOfReply } from "./coverageReply.ts"
import { type KnownHoles, RecentCoverage } from "./RecentCoverage.ts"
import { StatusBoard } from "./StatusBoard.ts"

/** Answers from the board: receiving is not queried. */
export const layer = HttpApiBuilder.group(Api, "operations", (handlers) =>
  Effect.gen(function* () {
    const board = yield* StatusBoard
    const holes = yield* RecentCoverage
    const answers = makeAnswerCache({ maxBytes: maxCoverageBytes, timeToLive: "10 seconds" })
    const coverage = (query: Omit<CoverageQuery, "now">) =>
      Effect.gen(function* () {
        const now = (yield* Clock.currentTimeMillis) * 1000
        const known = yield* holes.known
        const asked = { now, ...query }
        // A reply that may be large is made while it is sent, as fast as it is read.
        if (sizeOfReply(known, asked) > maxKeptBytes) {
          return HttpServerResponse.stream(pieces(known, asked), { contentType: "application/json" })
        }
        const body = yield* answers.get(
          JSON.stringify(query),
          Effect.map(Stream.runCollect(pieces(known, asked)), (chunks) => Buffer.concat(Array.from(chunks)))
        )
        return answer("application/json")(body)
      })
    return handlers
      .handle("health", () =>
        Effect.flatMap(board.health, ({ reasons, status }) =>
          status === "unhealthy" ? new Unhealthy({ status, reasons }) : Effect.succeed({ status, reasons })
        )
      )
      .handle("ready", () =>
        Effect.flatMap(board.isReady, (ready) =>
          ready ? Effect.succeed({ ready: true as const }) : new NotReady({ ready: false })
        )
      )
      .handleRaw("metrics", () =>
        board.metrics.pipe(
          Effect.flatten,
          Effect.mapBoth({
            onFailure: () => new NotReady({ ready: false }),
            onSuccess: answer(prometheusContentType)
          })
        )
      )
      .handleRaw("status", () => Effect.map(board.status, answer("application/json")))
      .handleRaw("coverage", ({ urlParams }) => coverage({ days: urlParams.days, keys: urlParams.stream }))
      .handle("events", ({ urlParams: { from, stream } }) =>
        Effect.flatMap(holes.known, ({ past }) =>
          Effect.mapError(eventsReply(past, stream, from), () => new NoSuchStream({ stream }))
        )
      )
      .handleRaw("live", () =>
        board.live.pipe(
          Effect.map((events) => HttpServerResponse.stream(events, { contentType: "text/event-stream" })),
          Effect.mapError(({ limit }) => new Busy({ reason: `${limit} status pages are open already` }))
        )
      )
  })
)

const answer = (contentType: string) => (body: Uint8Array) =>
  HttpServerResponse.uint8Array(body, { contentType })

/** Yields to other work after every piece. */
const pieces = (known: KnownHoles, query: CoverageQuery) =>
  Stream.fromIterable(coverageReply(known, query)).pipe(
    Stream.rechunk(1),
    Stream.tap(() => yieldToEventLoop),
    Stream.map((piece): Uint8Array => Buffer.from(piece))
  )

/** Limits on the total size of kept answers, and on one of them. A month of 2,000 streams takes some 20 MB. */
const maxCoverageBytes = 16 * 1024 * 1024
const maxKeptBytes = 2 * 1024 * 1024
