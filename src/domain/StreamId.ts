import { Schema } from "effect"

/** What an exchange can be asked for. `orderbook_diff` holds the changes of a book, `orderbook` whole or self-sufficient books. */
export const MarketType = Schema.Literal("orderbook", "trade", "orderbook_diff")
export type MarketType = typeof MarketType.Type

/** What a stream carries. `unreadable` holds frames that no decoder understood, as they came; nobody can ask for them. */
export const DataType = Schema.Literal(...MarketType.literals, "unreadable")
export type DataType = typeof DataType.Type

/** A stream: one data type of one symbol on one exchange. `symbol` is spelled as the exchange spells it. */
export const StreamId = Schema.Struct({
  exchange: Schema.String,
  symbol: Schema.String,
  dataType: DataType
})
export type StreamId = typeof StreamId.Type

/** A stream that an exchange can be asked for. */
export interface MarketStream extends StreamId {
  readonly dataType: MarketType
}

/** `exchange:symbol:data_type`, unique per stream: for logs, labels and map keys. */
export const streamKey = (stream: {
  readonly exchange: string
  readonly symbol: string
  readonly dataType: string
}): string => `${stream.exchange}:${stream.symbol}:${stream.dataType}`
