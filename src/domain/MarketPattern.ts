import type { MarketType } from "./StreamId.ts"

/** A pattern for symbols of an exchange, in which `*` stands for any text: `*` alone means everything that it trades. */
export interface MarketPattern {
  readonly exchange: string
  readonly pattern: string
  readonly dataTypes: ReadonlyArray<MarketType>
}
