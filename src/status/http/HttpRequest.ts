import { Transferable } from "@effect/platform"
import { Schema } from "effect"
import { StartupError } from "../../domain/StartupError.ts"
import type { Report } from "../Report.ts"

/** Listens: the first request to a new thread, under the name that runners expect. */
export class Start extends Schema.TaggedRequest<Start>()("InitialMessage", {
  failure: StartupError,
  success: Schema.Void,
  payload: {}
}) {}

/** The address it listens on, such as `http://127.0.0.1:9090`. */
export class GetAddress extends Schema.TaggedRequest<GetAddress>()("GetAddress", {
  failure: Schema.Never,
  success: Schema.String,
  payload: {}
}) {}

const isReport = (value: unknown): value is Report =>
  typeof value === "object" && value !== null && "streams" in value && "queue" in value

/** Crosses unchanged; its columns are moved, not copied. */
const ReportFromSelf = Transferable.schema(Schema.declare(isReport), ({ streams }) =>
  streams.values.buffer instanceof ArrayBuffer ? [streams.values.buffer] : []
)

export class Publish extends Schema.TaggedRequest<Publish>()("Publish", {
  failure: Schema.Never,
  success: Schema.Void,
  payload: { report: ReportFromSelf }
}) {}

/** The requests to the thread of the status page. */
export const HttpRequest = Schema.Union(Start, GetAddress, Publish)
export type HttpRequest = typeof HttpRequest.Type
