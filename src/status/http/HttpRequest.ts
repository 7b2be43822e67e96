import { Transferable } from "@effect/platform"
import { Schema } from "effect"
import { Start } from "../../thread/Start.ts"
import type { Report } from "../Report.ts"

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
