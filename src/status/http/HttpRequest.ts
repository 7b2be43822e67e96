import { Transferable } from "@effect/platform"
import { Schema } from "effect"
import { StartupError } from "../../domain/StartupError.ts"
import type { Report } from "../Report.ts"

/** Listens: the first request to a new thread, under the name that runners know it by. */
export class Start extends Schema.TaggedRequest<Start>()("InitialMessage", {
  failure: StartupError,
  success: Schema.Void,
  payload: {}
}) {}

/** Where it listens, as `http://127.0.0.1:9090`. */
export class GetAddress extends Schema.TaggedRequest<GetAddress>()("GetAddress", {
  failure: Schema.Never,
  success: Schema.String,
  payload: {}
}) {}

const isReport = (value: unknown): value is Report =>
  typeof value === "object" && value !== null && "streams" in value && "queue" in value

/** Crosses as it is; its columns move, they are not copied. */
const ReportFromSelf = Transferable.schema(Schema.declare(isReport), ({ streams }) =>
  streams.values.buffer instanceof ArrayBuffer ? [streams.values.buffer] : []
)

export class Publish extends Schema.TaggedRequest<Publish>()("Publish", {
  failure: Schema.Never,
  success: Schema.Void,
  payload: { report: ReportFromSelf }
}) {}

/** What the thread of the status page is asked. */
export const HttpRequest = Schema.Union(Start, GetAddress, Publish)
export type HttpRequest = typeof HttpRequest.Type
