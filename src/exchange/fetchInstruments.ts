import { Effect } from "effect"
import { makeJsonItems } from "./decoding/jsonItems.ts"
import type { Exchange, Instrument, Instruments } from "./Exchange.ts"
import { readAnswer, within30Seconds } from "./httpGet.ts"
import type { ListRequest } from "./ListRequest.ts"

/**
 * Fetches the current list of the exchange's instruments, each symbol once. The answer, which can have megabytes, is parsed as
 * it arrives, so that receiving is held up by at most one piece of it. A list in which every instrument has ended counts as a
 * failure, because it would end everything. `onItem` receives each entry as text.
 */
export const fetchInstruments = (
  { instruments }: Exchange,
  restUrl: string,
  onItem: (symbol: string, item: string) => void = () => {}
): Effect.Effect<ReadonlyArray<Instrument>, string> =>
  Effect.gen(function* () {
    const listed = new Map<string, Instrument>()
    for (const first of instruments.paths) {
      let request: ListRequest | undefined = first
      for (let page = 0; request !== undefined; page++) {
        if (page === maxPages) return yield* Effect.fail(`the list has more than ${maxPages} pages`)
        const { begin, end }: ListEnds = yield* readPart(instruments, restUrl, request, listed, onItem)
        if (Array.from(listed.values()).every(({ state }) => state === "ended")) {
          return yield* Effect.fail(`there is nothing in the list: ${begin}`)
        }
        request = typeof request === "string" ? instruments.nextPage?.(request, end) : undefined
      }
    }
    return [...listed.values()]
  }).pipe(within30Seconds)

/** How an answer starts and how it ends. */
interface ListEnds {
  readonly begin: string
  readonly end: string
}

/** Adds the instruments of one part of the list. Returns how the answer starts and how it ends. */
const readPart = (
  instruments: Instruments,
  restUrl: string,
  request: ListRequest,
  listed: Map<string, Instrument>,
  onItem: (symbol: string, item: string) => void
) =>
  Effect.gen(function* () {
    const items = makeJsonItems(instruments.depth)
    let begin = ""
    let end = Buffer.alloc(0)
    yield* readAnswer(restUrl, request, maxBytes, (piece) =>
      Effect.gen(function* () {
        if (begin.length < quoted) begin += Buffer.from(piece.subarray(0, quoted)).toString()
        end = Buffer.concat([end, piece.subarray(-endBytes)]).subarray(-endBytes)
        for (const item of items.take(piece)) {
          const instrument = yield* instruments.read(item)
          if (instrument === undefined) continue
          onItem(instrument.symbol, item)
          const { state, symbol } = instrument
          const known = listed.get(symbol)?.state ?? "none"
          if (liveliest.indexOf(state) < liveliest.indexOf(known)) listed.set(symbol, instrument)
        }
      })
    )
    const text = begin.slice(0, quoted)
    if (instruments.refusal?.test(text) === true) return yield* Effect.fail(text)
    return items.isWhole()
      ? { begin: text, end: end.toString() }
      : yield* Effect.fail(`the list is cut off: ${text}`)
  })

/** The longest list, Binance's, has about 6 MB. */
const maxBytes = 64 * 1024 * 1024

/** How many characters of an answer that is not a list are quoted in the error. */
const quoted = 200

/** How much of the end of an answer is kept, to find the next page. */
const endBytes = 1_000

/** The longest paged list, Bybit's options, has fewer than ten pages of a thousand. */
const maxPages = 50

/** A symbol that is listed twice gets the first of its states in this order. */
const liveliest: ReadonlyArray<Instrument["state"] | "none"> = ["traded", "resting", "ended", "none"]
