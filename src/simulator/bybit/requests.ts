import { Schema } from "effect"
import { requestOf } from "../market/requests.ts"

export const decode = requestOf(
  Schema.Struct({
    op: Schema.String,
    req_id: Schema.optional(Schema.String),
    args: Schema.optional(Schema.Array(Schema.String))
  })
)

export const answerOf =
  (connection: string) => (success: boolean, message: string, op: string, request: string | undefined) =>
    JSON.stringify({ success, ret_msg: message, conn_id: connection, req_id: request, op })
