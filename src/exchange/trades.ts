import type { MarketStream } from "../domain/StreamId.ts"
import type { Part } from "./Exchange.ts"

/** The id of a row with several trades: both ends as they stand, and their number; or the only one. */
export const tradesId = (first: string, last: string, count: number): string =>
  count === 1 ? first : `${first}-${last}-${count}`

/** Trades of one stream within a frame. */
export interface TradeGroup {
  readonly stream: MarketStream
  readonly first: string
  last: string
  count: number
  /** Ids as numbers. */
  lowest: number
  highest: number
  /** Of the newest trade. */
  timestamp: number | null
}

/** Adds a trade to the group of its stream. Frames hold trades of one stream, seldom of more. */
export const addTrade = (
  groups: Array<TradeGroup>,
  stream: MarketStream,
  id: string,
  timestamp: number | null
): void => {
  const number = Number(id)
  const group = groups.find((group) => group.stream === stream)
  if (group === undefined) {
    groups.push({ stream, first: id, last: id, count: 1, lowest: number, highest: number, timestamp })
    return
  }
  group.last = id
  group.count++
  group.lowest = Math.min(group.lowest, number)
  group.highest = Math.max(group.highest, number)
  if (timestamp !== null && (group.timestamp === null || timestamp > group.timestamp))
    group.timestamp = timestamp
}

/** What a frame is to the stream of these trades, by their ids. */
export const partOf = (group: TradeGroup, snapshot: boolean): Part => ({
  stream: group.stream,
  exchangeSequenceId: tradesId(group.first, group.last, group.count),
  exchangeTimestamp: group.timestamp,
  previous: group.lowest - 1,
  last: group.highest,
  missing: Math.max(0, group.highest - group.lowest + 1 - group.count),
  snapshot
})
