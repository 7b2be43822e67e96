import type { MarketType } from "../domain/StreamId.ts"
import type { Exchange } from "./Exchange.ts"

/**
 * The types that can be recorded of an exchange, or of one of its symbols: by channel, by polling, and its entry in the list of
 * instruments.
 */
export const allTypes = (
  { dataTypes, rest, typesOf }: Exchange,
  symbol?: string
): ReadonlyArray<MarketType> => [
  ...(symbol === undefined || typesOf === undefined
    ? [...dataTypes, ...(rest?.polled.keys() ?? [])]
    : typesOf(symbol)),
  "instrument"
]
