import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Clock, Effect, Schema } from "effect"
import { contentType } from "../Family.ts"
import { makeAnswerCache } from "./AnswerCache.ts"
import { Api, Busy, NoSuchStream, NotReady, Unhealthy } from "./Api.ts"
import { Board } from "./Board.ts"
import { CoverageReply, coverageReply, eventsReply } from "./coverageReply.ts"
import { Holes } from "./Holes.ts"

/** Answers from the board: nothing is asked of receiving. */
export const layer = HttpApiBuilder.group(Api, "operations", (handlers) =>
  Effect.gen(function* () {
    const board = yield* Board
    const holes = yield* Holes
    const answers = makeAnswerCache({ maxBytes: maxCoverageBytes, timeToLive: "10 seconds" })
    const coverage = (query: { readonly days: number; readonly keys: ReadonlyArray<string> }) =>
      answers.get(
        JSON.stringify(query),
        Effect.gen(function* () {
          const now = (yield* Clock.currentTimeMillis) * 1000
          return Buffer.from(encodeCoverage(coverageReply(yield* holes.coverage, { now, ...query })))
        })
      )
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
          Effect.mapBoth({ onFailure: () => new NotReady({ ready: false }), onSuccess: answer(contentType) })
        )
      )
      .handleRaw("status", () => Effect.map(board.status, answer("application/json")))
      .handleRaw("coverage", ({ urlParams }) =>
        Effect.map(coverage({ days: urlParams.days, keys: urlParams.stream }), answer("application/json"))
      )
      .handle("events", ({ urlParams: { from, stream } }) =>
        Effect.flatMap(holes.coverage, (coverage) =>
          Effect.mapError(eventsReply(coverage, stream, from), () => new NoSuchStream({ stream }))
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

/** A month of 2,000 streams has some 20 MB. */
const maxCoverageBytes = 64 * 1024 * 1024

const encodeCoverage = Schema.encodeSync(Schema.parseJson(CoverageReply))
