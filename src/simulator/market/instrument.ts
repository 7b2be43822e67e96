import type { MarketOptions } from "../Protocol.ts"
import { hashText, makeRandom, type Random } from "../random.ts"
import { type Book, makeBook } from "./Book.ts"

/** A symbol of the simulated market: how its numbers are written, its book and its trade ids. */
export interface Instrument {
  /** As the exchange spells it. */
  readonly symbol: string
  readonly price: NumberFormat
  readonly quantity: NumberFormat
  readonly book: Book
  /** The id of the newest trade. */
  lastTradeId: number
  /** A generator for one stream of this symbol. */
  readonly randomOf: (stream: string) => Random
}

/**
 * The format in which Binance writes a price or a quantity: eight decimals, the last ones zero. All numbers of a symbol have the
 * same width here, so that they can be patched in place.
 */
export interface NumberFormat {
  /** How many digits precede the point, not counting `padding`. */
  readonly integerDigits: number
  /** How many decimals can be nonzero: a tick or a lot is 10 to the power of minus this. */
  readonly decimals: number
  /** Constant leading digits. */
  readonly padding: string
}

export const widthOf = (format: NumberFormat): number => format.padding.length + format.integerDigits + 9

/** Formats a number of ticks or lots; a quantity of 0 (a deleted level) has no padding. */
export const formatNumber = (format: NumberFormat, value: number): string =>
  (value === 0 ? "" : format.padding) + (value / 10 ** format.decimals).toFixed(8)

export const makeInstrument = (
  symbol: string,
  options: Pick<MarketOptions, "seed" | "bookBytes">
): Instrument => {
  const seeded = (purpose: string) => hashText(`${options.seed}:${symbol}:${purpose}`)
  const spec = specs.get(baseOf(symbol)) ?? unknownSpec(hashText(symbol))
  const price: NumberFormat = {
    integerDigits: Math.floor(spec.price).toString().length,
    decimals: spec.priceDecimals,
    padding: ""
  }
  const bare: NumberFormat = {
    integerDigits: spec.quantityDigits,
    decimals: spec.quantityDecimals,
    padding: ""
  }
  const quantity = { ...bare, padding: paddingFor(options.bookBytes, widthOf(price) + widthOf(bare)) }
  const largest = 10 ** (bare.integerDigits + bare.decimals) - 1
  const smallest = bare.integerDigits === 1 ? 1 : 10 ** (bare.integerDigits + bare.decimals - 1)
  return {
    symbol,
    price,
    quantity,
    book: makeBook({
      random: makeRandom(seeded("book")),
      price: Math.round(spec.price * 10 ** spec.priceDecimals),
      lots: [smallest, largest],
      firstUpdateId: 10_000_000_000 + seeded("update") * 20
    }),
    lastTradeId: 1_000_000_000 + seeded("trade"),
    randomOf: (stream) => makeRandom(seeded(stream))
  }
}

interface Spec {
  readonly price: number
  readonly priceDecimals: number
  /** How many digits of quantities precede the point. */
  readonly quantityDigits: number
  readonly quantityDecimals: number
}

/** Prices chosen to keep their number of digits while the book walks from -20 % to +10 %. */
const specs: ReadonlyMap<string, Spec> = new Map([
  ["btc", { price: 86_704.77, priceDecimals: 2, quantityDigits: 1, quantityDecimals: 5 }],
  ["eth", { price: 3_182.4, priceDecimals: 2, quantityDigits: 2, quantityDecimals: 4 }],
  ["bnb", { price: 842.15, priceDecimals: 2, quantityDigits: 2, quantityDecimals: 3 }],
  ["sol", { price: 187.42, priceDecimals: 2, quantityDigits: 3, quantityDecimals: 3 }],
  ["xrp", { price: 2.4012, priceDecimals: 4, quantityDigits: 4, quantityDecimals: 1 }]
])

/** The traded asset, if it has a price here, such as BTC for btcusdt, BTC-USD, KRW-BTC and BTC/USD. */
const baseOf = (symbol: string): string => {
  const text = symbol.toLowerCase()
  return Array.from(specs.keys()).find((base) => text.startsWith(base) || text.endsWith(`-${base}`)) ?? ""
}

const unknownSpec = (hash: number): Spec => ({
  price: 2 + (hash % 6_000) / 1_000,
  priceDecimals: 4,
  quantityDigits: 3,
  quantityDecimals: 2
})

/** The padding that brings a whole book to `bookBytes`. It has forty levels, each written as `["<price>","<quantity>"],`. */
const paddingFor = (bookBytes: number, numbersWidth: number): string => {
  const natural = 40 * (numbersWidth + 8) + 50
  const digits = Math.max(0, Math.ceil((bookBytes - natural) / 40))
  return digits === 0 ? "" : "1".padEnd(digits, "0")
}
