import { Effect } from "effect"
import { makeJsonItems } from "./decoding/jsonItems.ts"
import type { Exchange, Instrument, Instruments } from "./Exchange.ts"
import { readAnswer, within30Seconds } from "./httpGet.ts"

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
      const begin = yield* readPart(instruments, restUrl, path, listed)
      if (Array.from(listed.values()).every(({ state }) => state === "ended")) {
        return yield* Effect.fail(`there is nothing in the list: ${begin}`)
      }
    }
    return [...listed.values()]
  }).pipe(within30Seconds)

/** Adds what a part of the list has; returns how the answer begins. */
const readPart = (instruments: Instruments, restUrl: string, path: string, listed: Map<string, Instrument>) =>
  Effect.gen(function* () {
    const items = makeJsonItems(instruments.depth)
    let begin = ""
    yield* readAnswer(restUrl, path, maxBytes, (piece) =>
      Effect.gen(function* () {
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
  })

/** The longest list, Binance's, has about 6 MB. */
const maxBytes = 64 * 1024 * 1024

/** Characters of an answer that is no list, to say what it is instead. */
const quoted = 200

/** A symbol that is listed twice is what is best said of it. */
const liveliest: ReadonlyArray<Instrument["state"] | "none"> = ["traded", "resting", "ended", "none"]
