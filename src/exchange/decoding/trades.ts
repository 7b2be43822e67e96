import { distance, greatest, type Integer, integerOf, least, plus } from "../../domain/Integer.ts"
import type { MarketStream } from "../../domain/StreamId.ts"
import type { Part } from "../Exchange.ts"

/** Returns the id of a row: for several trades both ends as written and their number, for one trade its id. */
export const tradesId = (first: string, last: string, count: number): string =>
  count === 1 ? first : `${first}-${last}-${count}`

/** Trades of one stream within a frame. */
export interface TradeGroup {
  readonly stream: MarketStream
  readonly first: string
  last: string
  count: number
  /** Ids as numbers. */
  lowest: Integer
  highest: Integer
  /** The time of the newest trade. */
  timestamp: number | null
}

/** Adds a trade to the group of its stream. Frames hold trades of one stream, rarely of more. */
export const addTrade = (
  groups: Array<TradeGroup>,
  stream: MarketStream,
  id: string,
  timestamp: number | null
): void => {
  const number = integerOf(id)
  const group = groups.find((group) => group.stream === stream)
  if (group === undefined) {
    groups.push({ stream, first: id, last: id, count: 1, lowest: number, highest: number, timestamp })
    return
  }
  group.last = id
  group.count++
  group.lowest = least(group.lowest, number)
  group.highest = greatest(group.highest, number)
  if (timestamp !== null && (group.timestamp === null || timestamp > group.timestamp))
    group.timestamp = timestamp
}

/** Returns what a frame means to the stream of these trades, by their ids. */
export const partOf = (group: TradeGroup, snapshot: boolean): Part => ({
  stream: group.stream,
  exchangeSequenceId: tradesId(group.first, group.last, group.count),
  exchangeTimestamp: group.timestamp,
  previous: plus(group.lowest, -1),
  last: group.highest,
  missing: Math.max(0, distance(group.lowest, group.highest) + 1 - group.count),
  snapshot
})
