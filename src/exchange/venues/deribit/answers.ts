import { Schema } from "effect"
import { answerReader, heartbeat, RequestId, requestOf, unknownShape } from "../../decoding/frames.ts"
import type { Frame } from "../../Exchange.ts"

/** The id of requests whose answers say nothing about streams. */
export const untracked = "untracked"

/** A hundred channels of at most about 110 characters. */
const maxBytes = 20_000

const tooManyRequests = "10028"

/**
 * Answers of JSON-RPC, `{jsonrpc, id, result}` or `{jsonrpc, id, error: {code, message}}`. The result of a subscription lists the
 * accepted channels in any order, and leaves out the others without saying why.
 */
export const answer = answerReader(
  Schema.Struct({
    id: RequestId,
    result: Schema.optional(
      Schema.Union(
        Schema.Array(Schema.String),
        Schema.String,
        Schema.Struct({ version: Schema.Union(Schema.String, Schema.Number) })
      )
    ),
    error: Schema.optional(
      Schema.Struct({ code: Schema.Union(Schema.Number, Schema.String), message: Schema.String })
    )
  }),
  ({ error, id, result }, streams): Frame => {
    const request = requestOf(id)
    if (error !== undefined) {
      const reason = `${error.code} ${error.message}`
      // Out of credits: the exchange is about to close the connection.
      return request === null || String(error.code) === tooManyRequests
        ? { _tag: "Failed", reason }
        : { _tag: "Refused", request, streams: [], reason, others: "dropped" }
    }
    if (request === null || result === undefined) return unknownShape
    if (request === untracked) return heartbeat
    if (typeof result === "string" || "version" in result) return unknownShape
    const taken = result.flatMap((channel) => streams.get(channel) ?? [])
    return { _tag: "Acknowledged", request, streams: taken, others: "refused" }
  },
  maxBytes
)
