import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { version } from "../../version.ts"
import { CoverageReply, HoleEvents } from "./coverageReply.ts"
import { maxDays } from "./Past.ts"
import { HealthStatus, StatusReply } from "./statusReply.ts"

const health = { status: HealthStatus, reasons: Schema.Array(Schema.String) }

/** How the collector is doing, and why it is not doing better. */
const Healthy = Schema.Struct(health).annotations({ identifier: "Health" })

/** The same, if nothing is received or storage has failed. */
export class Unhealthy extends Schema.TaggedError<Unhealthy>()(
  "Unhealthy",
  health,
  HttpApiSchema.annotations({ status: 503 })
) {}

/** The collector has not started recording yet. */
export class NotReady extends Schema.TaggedError<NotReady>()(
  "NotReady",
  { ready: Schema.Literal(false) },
  HttpApiSchema.annotations({ status: 503 })
) {}

/** The limit on open status pages is reached. */
export class Busy extends Schema.TaggedError<Busy>()(
  "Busy",
  { reason: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {}

/** The journal does not know this stream. */
export class NoSuchStream extends Schema.TaggedError<NoSuchStream>()(
  "NoSuchStream",
  { stream: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {}

const days = Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, maxDays))

const hourBegin = Schema.NumberFromString.pipe(
  Schema.int(),
  Schema.between(0, Number.MAX_SAFE_INTEGER),
  Schema.multipleOf(3_600_000_000)
).annotations({ description: "Start of the hour, microseconds since the epoch." })

const describe = (description: string) => OpenApi.annotations({ description })

/** Everything a collector can be queried for. The API is read-only. */
export const Api = HttpApi.make("crypto-collector")
  .add(
    HttpApiGroup.make("operations", { topLevel: true })
      .add(
        HttpApiEndpoint.get("health", "/health")
          .addSuccess(Healthy)
          .addError(Unhealthy)
          .annotateContext(
            describe(
              "200 while it records, degraded or not; 503 when nothing is received or storage has failed."
            )
          )
      )
      .add(
        HttpApiEndpoint.get("ready", "/ready")
          .addSuccess(Schema.Struct({ ready: Schema.Literal(true) }))
          .addError(NotReady)
          .annotateContext(describe("200 once storage is open and a stream is subscribed, 503 before."))
      )
      .add(
        HttpApiEndpoint.get("metrics", "/metrics")
          .addSuccess(HttpApiSchema.Text({ contentType: "text/plain" }))
          .addError(NotReady)
          .annotateContext(
            describe(
              "Metrics in the text format of Prometheus, with every combination of labels from the first answer on."
            )
          )
      )
      .add(
        HttpApiEndpoint.get("status", "/api/status")
          .addSuccess(StatusReply)
          .annotateContext(describe("Streams, queue, commits, archives and disk, as of the last second."))
      )
      .add(
        HttpApiEndpoint.get("coverage", "/api/coverage")
          .setUrlParams(
            Schema.Struct({
              days: Schema.optionalWith(days, { default: () => 3 }).annotations({
                description: "Number of days, up to the current hour."
              }),
              stream: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }).annotations({
                description: "exchange:symbol:data_type, repeatable; all streams by default."
              })
            })
          )
          .addSuccess(CoverageReply)
          .annotateContext(describe("What was recorded in each hour of the last days, and the holes."))
      )
      .add(
        HttpApiEndpoint.get("events", "/api/coverage/events")
          .setUrlParams(
            Schema.Struct({
              stream: Schema.String.annotations({ description: "exchange:symbol:data_type" }),
              from: hourBegin
            })
          )
          .addSuccess(HoleEvents)
          .addError(NoSuchStream)
          .annotateContext(describe("The holes of a stream in an hour."))
      )
      .add(
        HttpApiEndpoint.get("live", "/api/live")
          .addSuccess(HttpApiSchema.Text({ contentType: "text/event-stream" }))
          .addError(Busy)
          .annotateContext(
            describe("Server-sent events for the status page: hello once, then a tick every second.")
          )
      )
  )
  .annotateContext(
    OpenApi.annotations({
      title: "crypto-collector",
      version,
      description: "State and health of the collector. Read-only."
    })
  )
