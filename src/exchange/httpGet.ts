import { HttpClient, HttpClientRequest } from "@effect/platform"
import { Effect, Stream } from "effect"
import "../addressAttempts.ts"
import { httpClient } from "./httpClient.ts"
import { httpReason } from "./httpReason.ts"
import type { ListRequest } from "./ListRequest.ts"

/** Passes on the answer to a request to an exchange's REST interface, piece by piece: at most `maxBytes`. */
export const readAnswer = (
  restUrl: string,
  request: ListRequest,
  maxBytes: number,
  onPiece: (piece: Uint8Array) => Effect.Effect<unknown, string>
) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.execute(requestTo(restUrl, request))
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

const requestTo = (restUrl: string, request: ListRequest): HttpClientRequest.HttpClientRequest => {
  const base = restUrl.replace(/\/+$/, "")
  return typeof request === "string"
    ? HttpClientRequest.get(`${base}${request}`)
    : HttpClientRequest.bodyText(
        HttpClientRequest.post(`${base}${request.path}`),
        request.body,
        "application/json"
      )
}

/** Provides a client to an effect that reads answers, and limits it to 30 s in total. */
export const within30Seconds = <A, R>(
  reading: Effect.Effect<A, string, R | HttpClient.HttpClient>
): Effect.Effect<A, string, Exclude<R, HttpClient.HttpClient>> =>
  reading.pipe(
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => "no answer within 30 s" }),
    Effect.provide(httpClient)
  )
