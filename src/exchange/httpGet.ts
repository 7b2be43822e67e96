import { HttpClient } from "@effect/platform"
import { Effect, Stream } from "effect"
import "../addressAttempts.ts"
import { httpClient } from "./httpClient.ts"
import { httpReason } from "./httpReason.ts"

/** Passes on the answer at a path of an exchange's REST interface, piece by piece: at most `maxBytes`. */
export const readAnswer = (
  restUrl: string,
  path: string,
  maxBytes: number,
  onPiece: (piece: Uint8Array) => Effect.Effect<unknown, string>
) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.get(`${restUrl.replace(/\/+$/, "")}${path}`)
    if (response.status !== 200) return yield* Effect.fail(`HTTP status ${response.status}`)
    let bytes = 0
    yield* Stream.runForEach(response.stream, (piece) => {
      bytes += piece.length
      return bytes > maxBytes ? Effect.fail(`it has more than ${maxBytes} bytes`) : onPiece(piece)
    })
  }).pipe(
    Effect.scoped,
    Effect.mapError((error) => (typeof error === "string" ? error : httpReason(error)))
  )

/** Provides a client to an effect that reads answers, and limits it to 30 s in total. */
export const within30Seconds = <A, R>(
  reading: Effect.Effect<A, string, R | HttpClient.HttpClient>
): Effect.Effect<A, string, Exclude<R, HttpClient.HttpClient>> =>
  reading.pipe(
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => "no answer within 30 s" }),
    Effect.provide(httpClient)
  )
