import { type ContinuityRule, spansConnections, unproven } from "./Continuity.ts"
import type { Exchange } from "./Exchange.ts"
import { binance } from "./venues/binance.ts"
import { binanceCoinm, binanceUsdm } from "./venues/binanceFutures.ts"
import { bybit, bybitInverse, bybitLinear } from "./venues/bybit.ts"
import { coinbase } from "./venues/coinbase.ts"
import { deribit } from "./venues/deribit.ts"
import { kraken } from "./venues/kraken.ts"
import { okx } from "./venues/okx.ts"
import { upbit } from "./venues/upbit.ts"

/** Every exchange that the collector knows, by name. */
export const exchanges: ReadonlyMap<string, Exchange> = new Map(
  [
    binance,
    coinbase,
    bybit,
    okx,
    upbit,
    kraken,
    binanceUsdm,
    binanceCoinm,
    bybitLinear,
    bybitInverse,
    deribit
  ].map((exchange) => [exchange.name, exchange])
)

/** Returns how the messages of a stream prove that none is missing; those of an unknown exchange do not. */
const ruleOf = (stream: { readonly exchange: string; readonly dataType: string }): ContinuityRule => {
  const known = exchanges.get(stream.exchange)
  const type = known?.dataTypes.find((type) => type === stream.dataType)
  return known === undefined || type === undefined ? unproven : known.continuity(type)
}

/** Whether the messages of a stream prove that none is missing. False for unknown streams. */
export const isProvable = (stream: { readonly exchange: string; readonly dataType: string }): boolean =>
  ruleOf(stream).kind !== "none"

/** Whether the numbers of a stream are the exchange's own: a message has the same ones for everyone who receives it. */
export const isNumbered = (stream: { readonly exchange: string; readonly dataType: string }): boolean =>
  spansConnections(ruleOf(stream))
