import { type BookSide, bookDepth } from "../market/Book.ts"
import { formatNumber, type Instrument, type NumberFormat, widthOf } from "../market/instrument.ts"

/**
 * The levels of a book as Binance writes them, `["<price>","<quantity>"],` one after the other, kept up to date by patching
 * what changed, so that rendering a book only copies two buffers.
 */
export interface BookText {
  readonly bids: Buffer
  readonly asks: Buffer
  /** Bytes per level, the comma included. */
  readonly levelWidth: number
}

export const makeBookText = ({ book, price, quantity }: Instrument): BookText => {
  const priceAt = 2
  const quantityAt = priceAt + widthOf(price) + 3
  const levelWidth = quantityAt + widthOf(quantity) + 3
  const last = (bookDepth - 1) * levelWidth

  const render = (side: BookSide): Buffer =>
    Buffer.from(
      Array.from(
        side.prices,
        (ticks, i) => `["${formatNumber(price, ticks)}","${formatNumber(quantity, side.lots[i] ?? 0)}"],`
      ).join(""),
      "latin1"
    )
  const bids = render(book.bids)
  const asks = render(book.asks)
  const textOf = (side: BookSide) => (side === book.bids ? bids : asks)

  const patchQuantity = (side: BookSide, index: number): void =>
    patch(textOf(side), index * levelWidth + quantityAt, quantity, side.lots[index] ?? 0)
  const patchLevel = (side: BookSide, index: number): void => {
    patch(textOf(side), index * levelWidth + priceAt, price, side.prices[index] ?? 0)
    patchQuantity(side, index)
  }

  book.listen({
    onQuantity: patchQuantity,
    onBestRemoved: (side) => {
      textOf(side).copyWithin(0, levelWidth)
      patchLevel(side, bookDepth - 1)
    },
    onBestInserted: (side) => {
      textOf(side).copyWithin(levelWidth, 0, last)
      patchLevel(side, 0)
    }
  })
  return { bids, asks, levelWidth }
}

const zero = 48

/** Overwrites the digits of a number, keeping its point, padding and trailing zeros. */
const patch = (text: Buffer, start: number, format: NumberFormat, value: number): void => {
  const point = start + format.padding.length + format.integerDigits
  let rest = value
  for (let at = point + format.decimals; at > point; at--) {
    const tens = Math.floor(rest / 10)
    text[at] = zero + rest - tens * 10
    rest = tens
  }
  for (let at = point - 1; at >= point - format.integerDigits; at--) {
    const tens = Math.floor(rest / 10)
    text[at] = zero + rest - tens * 10
    rest = tens
  }
}
