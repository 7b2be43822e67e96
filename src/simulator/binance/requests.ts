import { Either, Schema } from "effect"

/** A client's request, or the answer that refuses it. */
export type Parsed = Either.Either<Request, string>

/** The id of a request as it appears in the answer, as JSON text. */
type RequestId = string

export type Request =
  | {
      readonly method: "SUBSCRIBE" | "UNSUBSCRIBE"
      readonly id: RequestId
      readonly streams: ReadonlyArray<string>
    }
  | { readonly method: "LIST_SUBSCRIPTIONS"; readonly id: RequestId }
  | { readonly method: "SET_PROPERTY"; readonly id: RequestId; readonly combined: boolean }
  | { readonly method: "GET_PROPERTY"; readonly id: RequestId }

/**
 * Where an error's code and text are in its frame: `flat` is `{"code":2,"msg":"..","id":1}`, as documented; `nested` is
 * `{"error":{"code":2,"msg":".."},"id":1}`, as recorded from the exchange in September 2026.
 */
export type ErrorShape = "flat" | "nested"

export const result = (id: RequestId, value: unknown): string =>
  `{"result":${JSON.stringify(value)},"id":${id}}`

export const error = (shape: ErrorShape, code: number, msg: string, id?: RequestId | undefined): string => {
  const body = `"code":${code},"msg":${JSON.stringify(msg)}`
  const tail = id === undefined ? "" : `,"id":${id}`
  return shape === "flat" ? `{${body}${tail}}` : `{"error":{${body}}${tail}}`
}

/** Parses a request; a refusal is worded as in the exchange's documentation. */
export const parse = (text: string, shape: ErrorShape): Parsed =>
  Either.gen(function* () {
    const json = yield* Either.mapLeft(decodeJson(text), () =>
      error(shape, 3, "Invalid JSON: expected value at line 1 column 1")
    )
    const { id: rawId } = yield* Either.mapLeft(decodeWithId(json), () =>
      error(
        shape,
        2,
        "Invalid request: request ID must be an integer, a string of up to 36 characters or null"
      )
    )
    const id = JSON.stringify(rawId ?? null)
    const refuse = (code: number, msg: string) => () => error(shape, code, msg, id)
    const { method } = yield* Either.mapLeft(
      decodeWithMethod(json),
      refuse(2, "Invalid request: missing field `method`")
    )
    switch (method) {
      case "SUBSCRIBE":
      case "UNSUBSCRIBE": {
        const { params } = yield* Either.mapLeft(
          decodeWithStreams(json),
          refuse(2, "Invalid request: params must be a list of stream names")
        )
        return { method, id, streams: params }
      }
      case "LIST_SUBSCRIPTIONS":
        return { method, id }
      case "SET_PROPERTY": {
        const { params } = yield* Either.mapLeft(
          decodeWithProperty(json),
          refuse(2, "Invalid request: property name must be a string")
        )
        const [name, value] = params
        if (name !== "combined") return yield* Either.left(refuse(0, "Unknown property")())
        if (typeof value !== "boolean") {
          return yield* Either.left(refuse(1, "Invalid value type: expected Boolean")())
        }
        return { method, id, combined: value }
      }
      case "GET_PROPERTY": {
        const { params } = yield* Either.mapLeft(
          decodeWithProperty(json),
          refuse(2, "Invalid request: property name must be a string")
        )
        if (params[0] !== "combined") return yield* Either.left(refuse(0, "Unknown property")())
        return { method, id }
      }
      default:
        return yield* Either.left(refuse(2, unknownMethod(method))())
    }
  })

const methods = ["SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY"]

const unknownMethod = (method: string): string =>
  `Invalid request: unknown variant \`${method}\`, expected one of ${methods.map((name) => `\`${name}\``).join(", ")}`

const decodeJson = Schema.decodeUnknownEither(Schema.parseJson())
const decodeWithId = Schema.decodeUnknownEither(
  Schema.Struct({
    id: Schema.optional(
      Schema.NullOr(Schema.Union(Schema.Int, Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9_-]{0,36}$/))))
    )
  })
)
const decodeWithMethod = Schema.decodeUnknownEither(Schema.Struct({ method: Schema.String }))
const decodeWithStreams = Schema.decodeUnknownEither(
  Schema.Struct({ params: Schema.NonEmptyArray(Schema.String) })
)
const decodeWithProperty = Schema.decodeUnknownEither(
  Schema.Struct({ params: Schema.Tuple([Schema.String], Schema.Unknown) })
)
