import type { MarketType } from "./StreamId.ts"

/** Symbols of an exchange by a pattern, in which `*` stands for any text: `*` alone means all that it trades. */
export interface MarketPattern {
  readonly exchange: string
  readonly pattern: string
  readonly dataTypes: ReadonlyArray<MarketType>
}
