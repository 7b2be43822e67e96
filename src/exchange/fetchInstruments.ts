import { HttpClient } from "@effect/platform"
import { Effect, Stream } from "effect"
import "../addressAttempts.ts"
import type { Exchange, Instrument } from "./Exchange.ts"
import { httpClient } from "./httpClient.ts"
import { makeJsonItems } from "./jsonItems.ts"

/**
 * What the exchange lists now, each symbol once. The answer, which may have megabytes, is read as it comes: receiving waits for
 * no more than a piece of it. A list without any instrument that goes on counts as a failure: it would end everything.
 */
export const fetchInstruments = (
  { instruments }: Exchange,
  restUrl: string
): Effect.Effect<ReadonlyArray<Instrument>, string> =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.get(`${restUrl.replace(/\/+$/, "")}${instruments.path}`)
    if (response.status !== 200) return yield* Effect.fail(`HTTP status ${response.status}`)
    const items = makeJsonItems(instruments.depth)
    const listed = new Map<string, Instrument>()
    let bytes = 0
    let begin = ""
    yield* Stream.runForEach(response.stream, (piece) =>
      Effect.gen(function* () {
        bytes += piece.length
        if (bytes > maxBytes) return yield* Effect.fail(`it has more than ${maxBytes} bytes`)
        if (begin.length < quoted) begin += Buffer.from(piece.subarray(0, quoted)).toString()
        for (const item of items.take(piece)) {
          const instrument = yield* instruments.read(item)
          if (instrument === undefined) continue
          const { symbol } = instrument
          if (liveliest.indexOf(instrument.state) < liveliest.indexOf(listed.get(symbol)?.state ?? "none")) {
            listed.set(symbol, instrument)
          }
        }
      })
    )
    if (!items.isWhole() && listed.size > 0) return yield* Effect.fail("the list is cut off")
    const all = [...listed.values()]
    return all.some(({ state }) => state !== "ended")
      ? all
      : yield* Effect.fail(`there is nothing in the list: ${begin.slice(0, quoted)}`)
  }).pipe(
    Effect.scoped,
    Effect.mapError((error) => (typeof error === "string" ? error : error.message)),
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => "no answer within 30 s" }),
    Effect.provide(httpClient)
  )

/** The longest list, Binance's, has about 6 MB. */
const maxBytes = 64 * 1024 * 1024

/** Characters of an answer that is no list, to say what it is instead. */
const quoted = 200

/** A symbol that is listed twice is what is best said of it. */
const liveliest: ReadonlyArray<Instrument["state"] | "none"> = ["traded", "resting", "ended", "none"]
