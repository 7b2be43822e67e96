import { binance } from "./binance.ts"
import { bybit } from "./bybit.ts"
import { coinbase } from "./coinbase.ts"
import type { Exchange } from "./Exchange.ts"
import { kraken } from "./kraken.ts"
import { okx } from "./okx.ts"
import { upbit } from "./upbit.ts"

/** Every exchange that the collector knows, by name. */
export const exchanges: ReadonlyMap<string, Exchange> = new Map(
  [binance, coinbase, bybit, okx, upbit, kraken].map((exchange) => [exchange.name, exchange])
)

/** Whether the messages of a stream prove that none is missing. Not for streams that nobody knows. */
export const isProvable = (stream: { readonly exchange: string; readonly dataType: string }): boolean => {
  const known = exchanges.get(stream.exchange)
  const type = known?.dataTypes.find((type) => type === stream.dataType)
  return known !== undefined && type !== undefined && known.continuity(type).kind !== "none"
}
