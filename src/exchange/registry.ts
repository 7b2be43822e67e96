import { binance } from "./binance.ts"
import type { Exchange } from "./Exchange.ts"

/** Every exchange that the collector knows, by name. */
export const exchanges: ReadonlyMap<string, Exchange> = new Map(
  [binance].map((exchange) => [exchange.name, exchange])
)
