import { HttpClient } from "@effect/platform"
import { Effect, Stream } from "effect"
import "../addressAttempts.ts"
import { httpClient } from "./httpClient.ts"
import { httpReason } from "./httpReason.ts"

/** What an exchange answers over REST: at most 1 MiB, within 30 s. Fails with the reason. */
export const fetchBytes = (restUrl: string, path: string): Effect.Effect<Buffer, string> =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.get(`${restUrl.replace(/\/+$/, "")}${path}`)
    if (response.status !== 200) return yield* Effect.fail(`HTTP status ${response.status}`)
    const pieces: Array<Uint8Array> = []
    let bytes = 0
    yield* Stream.runForEach(response.stream, (piece) => {
      bytes += piece.length
      pieces.push(piece)
      return bytes > maxBytes ? Effect.fail(`it has more than ${maxBytes} bytes`) : Effect.void
    })
    return Buffer.concat(pieces)
  }).pipe(
    Effect.scoped,
    Effect.mapError((error) => (typeof error === "string" ? error : httpReason(error))),
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => "no answer within 30 s" }),
    Effect.provide(httpClient)
  )

const maxBytes = 1_048_576
