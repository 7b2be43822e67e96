import type { BookListener, BookSide } from "../market/Book.ts"
import { formatNumber, type Instrument } from "../market/instrument.ts"
import type { Source } from "../Protocol.ts"
import type { BookText } from "./BookText.ts"

/** `{"lastUpdateId":..,"bids":[["<price>","<quantity>"],..],"asks":[..]}` with 5, 10 or 20 levels per side. */
export const partialBookSource = (
  stream: string,
  { book, randomOf }: Instrument,
  text: BookText,
  levels: number
): Source => {
  const random = randomOf(stream)
  const sideBytes = levels * text.levelWidth - 1
  const bytes = Buffer.allocUnsafe(2 * sideBytes + 100)
  return {
    next: () => {
      book.advance(1 + Math.floor(random() * 4))
      const id = String(book.updateId())
      let at = bytes.write(`{"lastUpdateId":${id},"bids":[`, 0, "latin1")
      at += text.bids.copy(bytes, at, 0, sideBytes)
      at += bytes.write('],"asks":[', at, "latin1")
      at += text.asks.copy(bytes, at, 0, sideBytes)
      at += bytes.write("]}", at, "latin1")
      return { id, bytes, length: at }
    },
    pause: () => {},
    resume: (missed) => book.advance(missed * 2)
  }
}

/** What changed in a book between two updates, `previous` excluded and `last` included; the levels as text. */
export interface Diff {
  readonly now: number
  readonly symbol: string
  readonly previous: number
  readonly last: number
  readonly bids: string
  readonly asks: string
}

/**
 * `{"e":"depthUpdate","E":..,"s":..,"U":..,"u":..,"b":[..],"a":[..]}`: everything that changed in the book since the previous
 * message, whichever stream moved it; `U` is the `u` of the previous message plus 1. Its sequence id is `u`.
 */
export const bookDiffSource = (
  stream: string,
  instrument: Instrument,
  write: (diff: Diff) => string = ({ asks, bids, last, now, previous, symbol }) =>
    `{"e":"depthUpdate","E":${now},"s":"${symbol}","U":${previous + 1},"u":${last},"b":[${bids}],"a":[${asks}]}`
): Source => {
  const { book, price, quantity, randomOf } = instrument
  const random = randomOf(stream)
  const symbol = instrument.symbol.toUpperCase()
  const changes = { bids: new Map<number, number>(), asks: new Map<number, number>() }
  const changesOf = (side: BookSide) => (side === book.bids ? changes.bids : changes.asks)
  const noteLevel = (side: BookSide, index: number): void =>
    void changesOf(side).set(side.prices[index] ?? 0, side.lots[index] ?? 0)
  const listener: BookListener = {
    onQuantity: noteLevel,
    onBestRemoved: (side, removed) => {
      changesOf(side).set(removed, 0)
      noteLevel(side, side.prices.length - 1)
    },
    onBestInserted: (side, dropped) => {
      changesOf(side).set(dropped, 0)
      noteLevel(side, 0)
    }
  }
  let lastId = book.updateId()
  let setBack = 0
  let bytes = Buffer.allocUnsafe(4_096)

  const take = (levels: Map<number, number>, away: number): string => {
    const text = [...levels]
      .sort(([a], [b]) => (a - b) * away)
      .map(([ticks, lots]) => `["${formatNumber(price, ticks)}","${formatNumber(quantity, lots)}"]`)
      .join(",")
    levels.clear()
    return text
  }

  return {
    next: (now) => {
      book.advance(1 + Math.floor(random() * 8))
      const previous = lastId
      lastId = book.updateId() - setBack
      const [bids, asks] = [take(changes.bids, -1), take(changes.asks, 1)]
      const text = write({ now, symbol, previous, last: lastId, bids, asks })
      const room = text.length * 3
      if (room > bytes.length) bytes = Buffer.allocUnsafe(room)
      return { id: String(lastId), bytes, length: bytes.write(text, 0) }
    },
    pause: () => book.unlisten(listener),
    resume: (missed) => {
      book.advance(missed * 4)
      changes.bids.clear()
      changes.asks.clear()
      lastId = book.updateId() - setBack
      book.listen(listener)
    },
    rewind: (count) => {
      setBack += count
      lastId -= count
    }
  }
}

/**
 * `{"e":"trade","E":..,"s":..,"t":..,"p":..,"q":..,"T":..,"m":..,"M":true}` at the best bid or ask of the symbol's book.
 * Trade ids step by 1, and every trade is one update of the book.
 */
export const tradeSource = (stream: string, instrument: Instrument): Source => {
  const { book, price, quantity, randomOf } = instrument
  const random = randomOf(stream)
  const symbol = instrument.symbol.toUpperCase()
  const bytes = Buffer.allocUnsafe(512)
  return {
    next: (now) => {
      const maker = random() < 0.5
      const side = maker ? book.bids : book.asks
      const priceText = formatNumber(price, side.prices[0] ?? 0)
      const lots = Math.max(1, Math.floor(random() ** 3 * (side.lots[0] ?? 1)))
      const quantityText = (lots / 10 ** quantity.decimals).toFixed(8)
      instrument.lastTradeId++
      book.advance(1)
      const id = String(instrument.lastTradeId)
      const length = bytes.write(
        `{"e":"trade","E":${now},"s":"${symbol}","t":${id},"p":"${priceText}","q":"${quantityText}",` +
          `"T":${now - 1},"m":${maker},"M":true}`,
        0
      )
      return { id, bytes, length }
    },
    pause: () => {},
    resume: (missed) => {
      instrument.lastTradeId += missed
      book.advance(missed)
    },
    rewind: (count) => {
      instrument.lastTradeId -= count
    }
  }
}
