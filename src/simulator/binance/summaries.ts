import { formatNumber, type Instrument } from "../market/instrument.ts"
import type { Source } from "../Protocol.ts"

/** What a message is about. */
export interface Told {
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly symbol: string
  /** The id of the newest update of the book. */
  readonly update: number
  /** The middle of the best prices. */
  readonly price: number
}

/**
 * Messages that describe the current state, each after an update of the book. `write` returns the id and the text. No two
 * messages have the same time.
 */
export const stateSource = (
  { book, price, symbol }: Instrument,
  write: (told: Told) => readonly [id: number, text: string]
): Source => {
  let time = 0
  return {
    next: (now) => {
      time = Math.max(now, time + 1)
      book.advance(1)
      const ticks = ((book.bids.prices[0] ?? 0) + (book.asks.prices[0] ?? 0)) / 2
      const [id, text] = write({
        now: time,
        symbol: symbol.toUpperCase(),
        update: book.updateId(),
        price: ticks / 10 ** price.decimals
      })
      const bytes = Buffer.from(text)
      return { id: String(id), bytes, length: bytes.length }
    },
    pause: () => {},
    resume: (missed) => book.advance(missed)
  }
}

/** `"b":<price>,"B":<quantity>,"a":..,"A":..` of the best bid and offer, to be completed by `write`. */
export const bestSource = (instrument: Instrument, write: (told: Told, best: string) => string): Source => {
  const { book, price, quantity } = instrument
  const level = (of: string, { lots, prices }: typeof book.bids) =>
    `"${of}":"${formatNumber(price, prices[0] ?? 0)}","${of.toUpperCase()}":"${formatNumber(quantity, lots[0] ?? 0)}"`
  return stateSource(instrument, (told) => [
    told.update,
    write(told, `${level("b", book.bids)},${level("a", book.asks)}`)
  ])
}

/** `{"e":"24hrTicker","E":..,"s":..,"p":..,"c":..,"C":..,"L":<last trade id>,..}`, with the members that `more` adds. */
export const tickerSource = (instrument: Instrument, more = ""): Source =>
  stateSource(instrument, ({ now, price, symbol }) => [
    now,
    `{"e":"24hrTicker","E":${now},"s":"${symbol}"${more},"p":"1.5","P":"0.12","w":"${price}","c":"${price}","Q":"0.2",` +
      `"o":"${price}","h":"${price}","l":"${price}","v":"1040.5","q":"90422.1","O":${now - 86_400_000},"C":${now},` +
      `"F":${instrument.lastTradeId - 5000},"L":${instrument.lastTradeId},"n":5001}`
  ])
