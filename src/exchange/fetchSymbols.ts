import { HttpClient } from "@effect/platform"
import { Effect } from "effect"
import "../addressAttempts.ts"
import type { Exchange } from "./Exchange.ts"
import { httpClient } from "./httpClient.ts"

/** What the exchange lists now, each symbol once. An empty list counts as a failure: it would end everything. */
export const fetchSymbols = (
  { instruments }: Exchange,
  restUrl: string
): Effect.Effect<ReadonlyArray<string>, string> =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.get(`${restUrl.replace(/\/+$/, "")}${instruments.path}`)
    const text = yield* response.text
    if (response.status !== 200) return yield* Effect.fail(`HTTP status ${response.status}`)
    const symbols = yield* instruments.parse(text)
    return symbols.length === 0 ? yield* Effect.fail("the list is empty") : [...new Set(symbols)]
  }).pipe(
    Effect.mapError((error) => (typeof error === "string" ? error : error.message)),
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => "no answer within 30 s" }),
    Effect.provide(httpClient)
  )
