import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import type { Instrument } from "../../src/exchange/Exchange.ts"
import { isDoubted, nothingListed, readList } from "../../src/exchange/Listing.ts"

/** A list: `A` is traded, `a` rests, `A!` has ended. */
const list = (text: string): ReadonlyArray<Instrument> =>
  text.split(" ").map((word) => ({
    symbol: word.replace("!", "").toUpperCase(),
    state: word.endsWith("!") ? "ended" : word === word.toUpperCase() ? "traded" : "resting"
  }))

const after = (...lists: ReadonlyArray<string>) => lists.map(list).reduce(readList, nothingListed)
const symbolsAfter = (...lists: ReadonlyArray<string>) => [...after(...lists).symbols].sort().join(" ")

describe("the list of an exchange", () => {
  it.each([
    ["has what is traded, and not what rests or has ended", ["A B c D!"], "A B"],
    ["gets what comes, also what rested", ["A B c", "A B C D"], "A B C D"],
    ["keeps what is missing once", ["A B C D", "A B C"], "A B C D"],
    ["loses what two lists in a row miss", ["A B C D", "A B C", "A B C"], "A B C"],
    ["keeps what is missing now and then", ["A B C D", "A B C", "A B C D", "A B C"], "A B C D"],
    ["keeps what rests, for as long as it does", ["A B C D", "A B c d", "A B c d", "A B c d"], "A B C D"],
    ["loses at once what has ended", ["A B C D", "A B C D!"], "A B C"],
    ["does not lose half of it to one list", ["A B C D E", "A B"], "A B C D E"],
    ["nor to two, and gets nothing by them", ["A B C D E", "A B", "A X"], "A B C D E"],
    ["believes the third in a row", ["A B C D E", "A B", "A B", "A B"], "A B"],
    ["keeps of it what the one before had", ["A B C D E", "A B", "A C", "A X"], "A C X"],
    ["counts anew after a whole list", ["A B C D E", "A B", "A B", "A B C D E", "A B", "A B"], "A B C D E"],
    ["does not take a doubted list for one of the two", ["A B C D E", "A B", "A B C D"], "A B C D E"],
    ["does not believe that half of it ended at once", ["A B C D E", "A B C! D! E!"], "A B C D E"],
    ["is compared with the last one that was believed", ["A B C D E", "A B", "A B", "A B", "A"], "A B"]
  ] as const)("%s", (_, lists, symbols) => {
    expect(symbolsAfter(...lists)).toBe(symbols)
  })

  it.prop(
    "never loses what the last list has, unless it has ended, nor more than half by fewer than three lists",
    [
      FastCheck.array(FastCheck.uniqueArray(FastCheck.constantFrom(..."ABCDEFGH"), { minLength: 1 }), {
        maxLength: 12
      })
    ],
    ([lists]) => {
      let listing = nothingListed
      let short = 0
      for (const symbols of lists) {
        const before = listing
        listing = readList(listing, list(symbols.join(" ")))
        const isShort = 2 * symbols.length < before.last.size
        short = isShort && short < 2 ? short + 1 : 0
        expect(isDoubted(listing)).toBe(short > 0)
        if (short > 0) expect(listing.symbols).toBe(before.symbols)
        else expect(symbols.every((symbol) => listing.symbols.has(symbol))).toBe(true)
        const gone = Array.from(before.symbols).filter((symbol) => !listing.symbols.has(symbol))
        const missedTwice = isShort ? before.doubted.at(-1) : before.last
        expect(gone.filter((symbol) => missedTwice?.has(symbol) === true)).toEqual([])
      }
    }
  )
})
