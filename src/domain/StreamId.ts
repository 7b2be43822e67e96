import { Schema } from "effect"

/**
 * The data types that can be requested from an exchange.
 *
 * - `orderbook`: whole or self-sufficient books; `orderbook_diff`: the changes of a book; `orderbook_snapshot`: a whole book that
 *   was requested over REST, from which the changes start;
 * - `trade`; `bbo`: best bid and offer; `ticker`: the exchange's summary of a symbol;
 * - `funding`: the funding rate, with mark and index price where they come together; `mark_price`; `open_interest`;
 *   `liquidation`;
 * - `instrument`: the entry of the symbol in the exchange's list, with tick size, lot and status.
 */
export const MarketType = Schema.Literal(
  "orderbook",
  "trade",
  "orderbook_diff",
  "orderbook_snapshot",
  "ticker",
  "bbo",
  "funding",
  "mark_price",
  "open_interest",
  "liquidation",
  "instrument"
)
export type MarketType = typeof MarketType.Type

/**
 * Whether messages of a type can be hours apart on a lively market, so that silence is not a sign of a fault. A connection that
 * brings nothing at all is noticed in any case.
 */
export const isSporadic = (dataType: MarketType): boolean => dataType === "liquidation"

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
