import { HttpClient, type HttpClientResponse } from "@effect/platform"
import { Data, Duration, Effect, Layer, Option, type Scope, Stream } from "effect"
import "../../addressAttempts.ts"
import { monotonicMillis } from "../../monotonicMillis.ts"
import type { Quota } from "../Exchange.ts"
import { httpClient } from "../httpClient.ts"
import { httpReason } from "../httpReason.ts"
import { makePacer } from "../Pacer.ts"

/** Requests to the REST interface of an exchange, all of them together within its limits. */
export interface RestClient {
  /**
   * Waits until the weight is free, and gets the answer at a path: at most 4 MiB, within 30 s. While the exchange wants no
   * requests (status 429 or 418, for as long as its `Retry-After` says) it fails at once.
   */
  readonly get: (path: string, weight: number) => Effect.Effect<Buffer, RestFailed>
}

/** A request to a REST interface failed. `waitMillis`: how long the exchange wants no further ones. */
export class RestFailed extends Data.TaggedError("RestFailed")<{
  readonly reason: string
  readonly waitMillis: number
}> {
  override get message() {
    return this.reason
  }
}

/** Makes a client that uses half of each quota, because other programs can share the address. */
export const makeRestClient = (
  restUrl: string,
  weights: ReadonlyArray<Quota>
): Effect.Effect<RestClient, never, Scope.Scope> =>
  Effect.map(Layer.build(httpClient), (services) => {
    const atOnce = Effect.unsafeMakeSemaphore(maxAtOnce)
    const pacer = makePacer(weights.map(({ count, per }) => ({ count: Math.ceil(count / 2), per })))
    const base = restUrl.replace(/\/+$/, "")
    let blockedUntil = Number.NEGATIVE_INFINITY
    let blockedBy = ""

    const refuseWhileBlocked = Effect.flatMap(monotonicMillis, (now) =>
      now < blockedUntil
        ? new RestFailed({ reason: blockedBy, waitMillis: blockedUntil - now })
        : Effect.succeed(now)
    )

    const block = (response: HttpClientResponse.HttpClientResponse) =>
      Effect.flatMap(monotonicMillis, (now) => {
        const waitMillis = waitOf(response)
        blockedUntil = Math.max(blockedUntil, now + waitMillis)
        blockedBy = `HTTP status ${response.status}, no request for ${Math.ceil(waitMillis / 1000)} s`
        return new RestFailed({ reason: blockedBy, waitMillis })
      })

    const request = (path: string) =>
      Effect.gen(function* () {
        const client = yield* HttpClient.HttpClient
        const response = yield* client.get(base + path)
        if (response.status === 429 || response.status === 418) return yield* block(response)
        if (response.status !== 200) {
          return yield* new RestFailed({ reason: `HTTP status ${response.status}`, waitMillis: 0 })
        }
        const pieces: Array<Uint8Array> = []
        let bytes = 0
        yield* Stream.runForEach(response.stream, (piece) => {
          bytes += piece.length
          pieces.push(piece)
          return bytes > maxBytes
            ? new RestFailed({ reason: `the answer has more than ${maxBytes} bytes`, waitMillis: 0 })
            : Effect.void
        })
        return Buffer.concat(pieces, bytes)
      }).pipe(
        Effect.scoped,
        Effect.catchTags({
          RequestError: (error) => new RestFailed({ reason: httpReason(error), waitMillis: 0 }),
          ResponseError: (error) => new RestFailed({ reason: httpReason(error), waitMillis: 0 })
        }),
        Effect.timeoutFail({
          duration: "30 seconds",
          onTimeout: () => new RestFailed({ reason: "no answer within 30 s", waitMillis: 0 })
        }),
        Effect.provide(services)
      )

    return {
      get: (path, weight) =>
        Effect.gen(function* () {
          const now = yield* refuseWhileBlocked
          yield* Effect.sleep(pacer.reserve(now, weight))
          yield* refuseWhileBlocked
          return yield* request(path)
        }).pipe(atOnce.withPermits(1))
    }
  })

const maxAtOnce = 8

const maxBytes = 4 * 1_048_576

/** A ban (418) is longer than an exceeded limit (429), where the exchange does not say how long it lasts. */
const waitOf = ({ headers, status }: HttpClientResponse.HttpClientResponse): number => {
  const seconds = Option.fromNullable(headers["retry-after"]).pipe(
    Option.map(Number),
    Option.filter((value) => Number.isFinite(value) && value >= 0)
  )
  const fallback = Duration.toMillis(status === 418 ? "5 minutes" : "1 minute")
  return Option.match(seconds, {
    onNone: () => fallback,
    onSome: (value) => Math.min(value, maxWaitSeconds) * 1000 + leewayMillis
  })
}

/** The longest ban of an exchange: Binance's last three days. */
const maxWaitSeconds = 3 * 86_400

/** Its clock and ours do not tick together. */
const leewayMillis = 1_000
