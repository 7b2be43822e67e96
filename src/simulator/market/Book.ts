import type { Random } from "../random.ts"

/** How many levels each side of a synthetic book has, at any time. */
export const bookDepth = 20

/** One side, best level first: prices in ticks, quantities in lots. */
export interface BookSide {
  readonly prices: Float64Array
  readonly lots: Float64Array
  /** The direction in which prices get worse: -1 for bids, 1 for asks. */
  readonly away: 1 | -1
}

/** Gets every change, in order, after it was made. */
export interface BookListener {
  /** The quantity of a level changed. */
  readonly onQuantity: (side: BookSide, index: number) => void
  /** The best level was removed, and a new worst one was added at the end. */
  readonly onBestRemoved: (side: BookSide, removedPrice: number) => void
  /** A new best level was inserted, and the worst one dropped. */
  readonly onBestInserted: (side: BookSide, droppedPrice: number) => void
}

/**
 * The order book of one symbol as a random walk between -20 % and +10 % of its first price. Its state depends only on the seed
 * and the update id, so that whole books and changes taken from it always agree.
 */
export interface Book {
  readonly bids: BookSide
  readonly asks: BookSide
  /** How many updates the exchange has counted so far. */
  readonly updateId: () => number
  /** Makes `updates` updates. Beyond a hundred thousand, the ids continue but the prices no longer move. */
  readonly advance: (updates: number) => void
  readonly listen: (listener: BookListener) => void
  readonly unlisten: (listener: BookListener) => void
}

export const makeBook = (options: {
  readonly random: Random
  /** The first price, in ticks. */
  readonly price: number
  /** The smallest and the largest quantity of a level, in lots. */
  readonly lots: readonly [min: number, max: number]
  readonly firstUpdateId: number
}): Book => {
  const { random } = options
  const [minLots, maxLots] = options.lots
  const lowest = options.price * 0.8
  const highest = options.price * 1.1
  const widestGap = Math.max(3, Math.round(options.price * 1e-5))
  const listeners = new Set<BookListener>()
  let updateId = options.firstUpdateId

  const bids = makeSide(-1)
  const asks = makeSide(1)
  bids.prices[0] = options.price
  asks.prices[0] = options.price + 1
  for (const side of [bids, asks]) {
    for (let i = 0; i < bookDepth; i++) {
      if (i > 0) side.prices[i] = priceAt(side, i - 1) + side.away * gap()
      side.lots[i] = quantity()
    }
  }

  return {
    bids,
    asks,
    updateId: () => updateId,
    advance: (updates) => {
      const steps = Math.min(updates, maxSteps)
      for (let i = 0; i < steps; i++) step()
      updateId += updates - steps
    },
    listen: (listener) => void listeners.add(listener),
    unlisten: (listener) => void listeners.delete(listener)
  }

  function step(): void {
    updateId++
    const what = random()
    if (what < 0.85) {
      const side = what < 0.425 ? bids : asks
      const index = Math.floor(random() ** 2 * bookDepth)
      side.lots[index] = quantity()
      for (const listener of listeners) listener.onQuantity(side, index)
      return
    }
    const best = priceAt(bids, 0)
    const up = best < lowest || (best < highest && what < 0.925)
    if (up) move(asks, bids)
    else move(bids, asks)
  }

  /** Trades away the best level of one side and moves the other side into the space that this leaves. */
  function move(taken: BookSide, following: BookSide): void {
    const removed = priceAt(taken, 0)
    taken.prices.copyWithin(0, 1)
    taken.lots.copyWithin(0, 1)
    taken.prices[bookDepth - 1] = priceAt(taken, bookDepth - 2) + taken.away * gap()
    taken.lots[bookDepth - 1] = quantity()
    for (const listener of listeners) listener.onBestRemoved(taken, removed)

    const room = Math.abs(priceAt(taken, 0) - priceAt(following, 0)) - 1
    const spread = random() < 0.7 ? 1 : 1 + Math.floor(random() * room)
    const dropped = priceAt(following, bookDepth - 1)
    following.prices.copyWithin(1, 0)
    following.lots.copyWithin(1, 0)
    following.prices[0] = priceAt(taken, 0) - taken.away * spread
    following.lots[0] = quantity()
    for (const listener of listeners) listener.onBestInserted(following, dropped)
  }

  function gap(): number {
    return 1 + Math.floor(random() ** 3 * widestGap)
  }

  function quantity(): number {
    return minLots + Math.floor(random() ** 3 * (maxLots - minLots))
  }
}

/** How many updates an idle market catches up on step by step: some tens of milliseconds of work. */
const maxSteps = 100_000

const makeSide = (away: 1 | -1): BookSide => ({
  prices: new Float64Array(bookDepth),
  lots: new Float64Array(bookDepth),
  away
})

const priceAt = (side: BookSide, index: number): number => side.prices[index] ?? 0
