import { Schema } from "effect"

/** What a stream carries. `orderbook_diff` holds the changes of a book, `orderbook` whole or self-sufficient books. */
export const DataType = Schema.Literal("orderbook", "trade", "orderbook_diff")
export type DataType = typeof DataType.Type

/** A stream: one data type of one symbol on one exchange. `symbol` is spelled as the exchange spells it. */
export const StreamId = Schema.Struct({
  exchange: Schema.String,
  symbol: Schema.String,
  dataType: DataType
})
export type StreamId = typeof StreamId.Type

/** `exchange:symbol:data_type`, unique per stream: for logs, labels and map keys. */
export const streamKey = (stream: StreamId): string =>
  `${stream.exchange}:${stream.symbol}:${stream.dataType}`
