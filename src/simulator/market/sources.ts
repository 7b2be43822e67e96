import type { Message, Source } from "../Protocol.ts"
import type { BookListener, BookSide } from "./Book.ts"
import type { Instrument, NumberFormat } from "./instrument.ts"

/** Price and quantity as text; a quantity of "0" deletes the level. */
export type Level = readonly [price: string, quantity: string]

/** The levels of both sides, best first. */
export interface Levels {
  readonly bids: ReadonlyArray<Level>
  readonly asks: ReadonlyArray<Level>
}

export interface Trade {
  readonly id: number
  readonly price: string
  readonly quantity: string
  /** The taker's side. */
  readonly side: "buy" | "sell"
  /** Milliseconds since the epoch. */
  readonly time: number
}

/** A message as text, and its sequence id. */
export interface Written {
  readonly id: string
  readonly text: string
}

/** A book as changes: each message has everything that changed since the one before, whichever stream moved it. */
export const changesSource = (
  stream: string,
  instrument: Instrument,
  write: {
    readonly change: (levels: Levels, now: number) => Written
    readonly snapshot: (levels: Levels, now: number) => string
    /** Called when `count` messages went by without listeners; negative if ids are set back. */
    readonly missed: (count: number) => void
  }
): Source => {
  const { book } = instrument
  const random = instrument.randomOf(stream)
  const changed = { bids: new Map<number, number>(), asks: new Map<number, number>() }
  const changesOf = (side: BookSide) => (side === book.bids ? changed.bids : changed.asks)
  const note = (side: BookSide, index: number): void =>
    void changesOf(side).set(side.prices[index] ?? 0, side.lots[index] ?? 0)
  const listener: BookListener = {
    onQuantity: note,
    onBestRemoved: (side, removed) => {
      changesOf(side).set(removed, 0)
      note(side, side.prices.length - 1)
    },
    onBestInserted: (side, dropped) => {
      changesOf(side).set(dropped, 0)
      note(side, 0)
    }
  }
  const take = (levels: Map<number, number>, away: number): ReadonlyArray<Level> => {
    const taken = [...levels]
      .sort(([a], [b]) => (a - b) * away)
      .map(([ticks, lots]) => levelOf(instrument, ticks, lots))
    levels.clear()
    return taken
  }
  return {
    next: (now) => {
      book.advance(1 + Math.floor(random() * 8))
      return message(write.change({ bids: take(changed.bids, -1), asks: take(changed.asks, 1) }, now))
    },
    pause: () => book.unlisten(listener),
    resume: (missed) => {
      book.advance(missed * 4)
      changed.bids.clear()
      changed.asks.clear()
      if (missed > 0) write.missed(missed)
      book.listen(listener)
    },
    rewind: (count) => write.missed(-count),
    snapshot: (now) => write.snapshot(levelsOf(instrument), now)
  }
}

/** A book as whole books, all levels in each message. */
export const wholeBooksSource = (
  stream: string,
  instrument: Instrument,
  write: (levels: Levels, now: number, isSnapshot: boolean) => Written
): Source => {
  const { book } = instrument
  const random = instrument.randomOf(stream)
  let changedAt = 0
  return {
    next: (now) => {
      book.advance(1 + Math.floor(random() * 4))
      changedAt = now
      return message(write(levelsOf(instrument), now, false))
    },
    pause: () => {},
    resume: (missed) => book.advance(missed * 2),
    snapshot: (now) => write(levelsOf(instrument), changedAt === 0 ? now : changedAt, true).text
  }
}

/** Trades at the best bid or ask, occasionally several in a message. Trade ids step by one. */
export const tradesSource = (
  stream: string,
  instrument: Instrument,
  options: {
    /** Maximum number of trades in a message. */
    readonly most: number
    readonly write: (trades: ReadonlyArray<Trade>, now: number) => Written
    readonly snapshot?: (newest: ReadonlyArray<Trade>, now: number) => string
  }
): Source => {
  const { book, price } = instrument
  const random = instrument.randomOf(stream)
  let newest: ReadonlyArray<Trade> = []
  const trade = (now: number): Trade => {
    const isBuy = random() < 0.5
    const side = isBuy ? book.asks : book.bids
    const ticks = side.prices[0] ?? 0
    const lots = Math.max(1, Math.floor(random() ** 3 * (side.lots[0] ?? 1)))
    instrument.lastTradeId++
    book.advance(1)
    return {
      id: instrument.lastTradeId,
      price: decimalOf(price, ticks),
      quantity: levelOf(instrument, ticks, lots)[1],
      side: isBuy ? "buy" : "sell",
      time: now - 1
    }
  }
  const make = (now: number): ReadonlyArray<Trade> => {
    const count = random() < 0.7 ? 1 : 1 + Math.floor(random() * options.most)
    return Array.from({ length: count }, () => trade(now))
  }
  const { snapshot } = options
  return {
    next: (now) => {
      newest = make(now)
      return message(options.write(newest, now))
    },
    pause: () => {},
    resume: (missed) => {
      instrument.lastTradeId += missed
      book.advance(missed)
    },
    rewind: (count) => {
      instrument.lastTradeId -= count
    },
    ...(snapshot === undefined
      ? {}
      : {
          snapshot: (now: number) => {
            if (newest.length === 0) newest = make(now)
            return snapshot(newest, now)
          }
        })
  }
}

/** All levels of an instrument's book. */
const levelsOf = (instrument: Instrument): Levels => {
  const side = ({ lots, prices }: BookSide) =>
    Array.from(prices, (ticks, i) => levelOf(instrument, ticks, lots[i] ?? 0))
  return { bids: side(instrument.book.bids), asks: side(instrument.book.asks) }
}

const levelOf = ({ price, quantity }: Instrument, ticks: number, lots: number): Level => [
  decimalOf(price, ticks),
  lots === 0 ? "0" : quantity.padding + decimalOf(quantity, lots)
]

const decimalOf = ({ decimals }: NumberFormat, value: number): string =>
  (value / 10 ** decimals).toFixed(decimals)

const message = ({ id, text }: Written): Message => {
  const bytes = Buffer.from(text)
  return { id, bytes, length: bytes.length }
}
