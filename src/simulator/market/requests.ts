import { type Either, Schema } from "effect"

/** Decodes a client's message. Left if it is not JSON of this shape. */
export const requestOf = <A, I>(schema: Schema.Schema<A, I>): ((text: string) => Either.Either<A, unknown>) =>
  Schema.decodeUnknownEither(Schema.parseJson(schema))

/** Frames that no exchange sends, for the kinds of garbage that are the same everywhere. */
export const garbageText = "<html><body>502 Bad Gateway</body></html>"
export const garbageBytes = Uint8Array.of(0, 255, 1, 254, 2, 253)
export const garbageShape = '{"kind":"unheard of","values":[1,2,3]}'
