import type { Instrument } from "./Exchange.ts"

/** What an exchange has listed so far. */
export interface Listing {
  /** The symbols that patterns may mean. */
  readonly symbols: ReadonlySet<string>
  /** All that was in the last list that was believed, but for what had ended. */
  readonly last: ReadonlySet<string>
  /** The same of each list after it that was too short to be believed. */
  readonly doubted: ReadonlyArray<ReadonlySet<string>>
}

export const nothingListed: Listing = { symbols: new Set(), last: new Set(), doubted: [] }

/**
 * What is listed after another list. A symbol is begun as soon as it is traded. It goes when it has ended, or when two lists in a
 * row do not have it, and stays whatever else is said of it: an exchange that limits or suspends a symbol takes it up again. A
 * list that has less than half of the one before may be a part of one, and changes nothing until `timesSeen` in a row were
 * so short. Pure.
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

/** Whether the last list was too short to be believed. */
export const isDoubted = ({ doubted }: Listing): boolean => doubted.length > 0

/** So often a list must have been too short to be believed. */
export const timesSeen = 3

const symbolsOf = (list: ReadonlyArray<Instrument>, isWanted: (instrument: Instrument) => boolean) =>
  new Set(list.filter(isWanted).map(({ symbol }) => symbol))
