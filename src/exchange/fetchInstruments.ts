import { Effect } from "effect"
import { makeJsonItems } from "./decoding/jsonItems.ts"
import type { Exchange, Instrument, Instruments } from "./Exchange.ts"
import { readAnswer, within30Seconds } from "./httpGet.ts"

/**
 * Fetches the current list of the exchange's instruments, each symbol once. The answer, which can have megabytes, is parsed as
 * it arrives, so that receiving is held up by at most one piece of it. A list in which every instrument has ended counts as a
 * failure, because it would end everything.
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

/** Adds the instruments of one part of the list. Returns how the answer starts. */
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

/** How many characters of an answer that is not a list are quoted in the error. */
const quoted = 200

/** A symbol that is listed twice gets the first of its states in this order. */
const liveliest: ReadonlyArray<Instrument["state"] | "none"> = ["traded", "resting", "ended", "none"]
