import { Schema } from "effect"

/**
 * The data types that can be requested from an exchange. `orderbook_diff` holds the changes of a book, `orderbook` whole or
 * self-sufficient books.
 */
export const MarketType = Schema.Literal("orderbook", "trade", "orderbook_diff")
export type MarketType = typeof MarketType.Type

/** The data type of a stream. `unreadable` holds frames that no decoder understood, as received; it cannot be requested. */
export const DataType = Schema.Literal(...MarketType.literals, "unreadable")
export type DataType = typeof DataType.Type

/** A stream: one data type of one symbol on one exchange. `symbol` is spelled as the exchange spells it. */
export const StreamId = Schema.Struct({
  exchange: Schema.String,
  symbol: Schema.String,
  dataType: DataType
})
export type StreamId = typeof StreamId.Type

/** A stream that can be requested from an exchange. */
export interface MarketStream extends StreamId {
  readonly dataType: MarketType
}

/** Returns `exchange:symbol:data_type`, unique per stream: for logs, labels and map keys. */
export const streamKey = (stream: {
  readonly exchange: string
  readonly symbol: string
  readonly dataType: string
}): string => `${stream.exchange}:${stream.symbol}:${stream.dataType}`
