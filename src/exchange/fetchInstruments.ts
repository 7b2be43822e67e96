import { HttpClient } from "@effect/platform"
import { Effect, Stream } from "effect"
import "../addressAttempts.ts"
import { makeJsonItems } from "./decoding/jsonItems.ts"
import type { Exchange, Instrument, Instruments } from "./Exchange.ts"
import { httpClient } from "./httpClient.ts"
import { httpReason } from "./httpReason.ts"

/**
 * What the exchange lists now, each symbol once. The answer, which may have megabytes, is read as it comes: receiving waits for
 * no more than a piece of it. A list without any instrument that goes on counts as a failure: it would end everything.
 */
export const fetchInstruments = (
  { instruments }: Exchange,
  restUrl: string
): Effect.Effect<ReadonlyArray<Instrument>, string> =>
  Effect.gen(function* () {
    const listed = new Map<string, Instrument>()
    for (const path of instruments.paths) {
      const begin = yield* readPart(instruments, `${restUrl.replace(/\/+$/, "")}${path}`, listed)
      if (Array.from(listed.values()).every(({ state }) => state === "ended")) {
        return yield* Effect.fail(`there is nothing in the list: ${begin}`)
      }
    }
    return [...listed.values()]
  }).pipe(
    Effect.mapError((error) => (typeof error === "string" ? error : httpReason(error))),
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => "no answer within 30 s" }),
    Effect.provide(httpClient)
  )

/** Adds what a part of the list has; returns how the answer begins. */
const readPart = (instruments: Instruments, url: string, listed: Map<string, Instrument>) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.get(url)
    if (response.status !== 200) return yield* Effect.fail(`HTTP status ${response.status}`)
    const items = makeJsonItems(instruments.depth)
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
          const { state, symbol } = instrument
          const known = listed.get(symbol)?.state ?? "none"
          if (liveliest.indexOf(state) < liveliest.indexOf(known)) listed.set(symbol, instrument)
        }
      })
    )
    const text = begin.slice(0, quoted)
    if (instruments.refusal?.test(text) === true) return yield* Effect.fail(text)
    return items.isWhole() ? text : yield* Effect.fail(`the list is cut off: ${text}`)
  }).pipe(Effect.scoped)

/** The longest list, Binance's, has about 6 MB. */
const maxBytes = 64 * 1024 * 1024

/** Characters of an answer that is no list, to say what it is instead. */
const quoted = 200

/** A symbol that is listed twice is what is best said of it. */
const liveliest: ReadonlyArray<Instrument["state"] | "none"> = ["traded", "resting", "ended", "none"]
