import type { Instrument } from "./Exchange.ts"

/** What an exchange has listed so far. */
export interface Listing {
  /** The symbols that patterns can match. */
  readonly symbols: ReadonlySet<string>
  /** All symbols of the last list that was believed, except the ended ones. */
  readonly last: ReadonlySet<string>
  /** The same for each later list that was too short to be believed. */
  readonly doubted: ReadonlyArray<ReadonlySet<string>>
}

export const nothingListed: Listing = { symbols: new Set(), last: new Set(), doubted: [] }

/**
 * Returns the listing after another list. A symbol starts as soon as it is traded. It is removed when it has ended, or when two
 * lists in a row lack it, and stays whatever else its status is: an exchange that limits or suspends a symbol resumes it later.
 * A list with less than half as many symbols as the previous one may be incomplete, and changes nothing until `timesSeen` lists
 * in a row were that short. Pure.
 */
export const readList = (before: Listing, list: ReadonlyArray<Instrument>): Listing => {
  const present = symbolsOf(list, ({ state }) => state !== "ended")
  const isShort = 2 * present.size < before.last.size
  if (isShort && before.doubted.length + 1 < timesSeen) {
    return { ...before, doubted: [...before.doubted, present] }
  }
  const previous = (isShort ? before.doubted.at(-1) : undefined) ?? before.last
  const ended = symbolsOf(list, ({ state }) => state === "ended")
  const stays = (symbol: string) => !ended.has(symbol) && (present.has(symbol) || previous.has(symbol))
  return {
    symbols: new Set([
      ...Array.from(before.symbols).filter(stays),
      ...symbolsOf(list, ({ state }) => state === "traded")
    ]),
    last: present,
    doubted: []
  }
}

/** Returns the listing after instruments that the exchange announced between two lists. Pure. */
export const readAnnounced = (before: Listing, instruments: ReadonlyArray<Instrument>): Listing => {
  const symbols = new Set(before.symbols)
  const last = new Set(before.last)
  for (const { state, symbol } of instruments) {
    if (state === "traded") symbols.add(symbol)
    if (state === "ended") symbols.delete(symbol)
    if (state === "ended") last.delete(symbol)
    else last.add(symbol)
  }
  return { ...before, symbols, last }
}

/** Whether the last list was too short to be believed. */
export const isDoubted = ({ doubted }: Listing): boolean => doubted.length > 0

/** How many lists in a row must be too short before one is believed. */
export const timesSeen = 3

const symbolsOf = (list: ReadonlyArray<Instrument>, isWanted: (instrument: Instrument) => boolean) =>
  new Set(list.filter(isWanted).map(({ symbol }) => symbol))
