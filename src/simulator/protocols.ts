import { binance } from "./binance.ts"
import { binanceCoinm, binanceUsdm } from "./binanceFutures.ts"
import { bybit, bybitInverse, bybitLinear } from "./bybit.ts"
import { coinbase } from "./coinbase.ts"
import { deribit } from "./deribit.ts"
import { kraken } from "./kraken.ts"
import type { exchangeNames } from "./names.ts"
import { okx } from "./okx.ts"
import type { MarketOptions, Protocol } from "./Protocol.ts"
import { upbit } from "./upbit.ts"

/** An exchange that can be simulated. */
export interface SimulatedExchange {
  readonly make: (market: MarketOptions) => Protocol
  /** The symbols that exist by default, as the exchange spells them. */
  readonly symbols: ReadonlyArray<string>
}

const exchanges: Readonly<Record<(typeof exchangeNames)[number], SimulatedExchange>> = {
  binance: { make: binance, symbols: ["btcusdt", "ethusdt", "bnbusdt", "solusdt", "xrpusdt"] },
  coinbase: { make: coinbase, symbols: ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD"] },
  bybit: { make: bybit, symbols: ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"] },
  okx: { make: okx, symbols: ["BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT"] },
  upbit: { make: upbit, symbols: ["KRW-BTC", "KRW-ETH", "KRW-SOL", "KRW-XRP"] },
  kraken: { make: kraken, symbols: ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD"] },
  binance_usdm: { make: binanceUsdm, symbols: ["btcusdt", "ethusdt", "solusdt", "btcusdt_261225"] },
  binance_coinm: { make: binanceCoinm, symbols: ["btcusd_perp", "ethusd_perp", "btcusd_261225"] },
  bybit_linear: { make: bybitLinear, symbols: ["BTCUSDT", "ETHUSDT", "BTCPERP", "BTCUSDT-25DEC26"] },
  bybit_inverse: { make: bybitInverse, symbols: ["BTCUSD", "ETHUSD", "BTCUSDZ26"] },
  deribit: { make: deribit, symbols: ["BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL", "XRP_USDC"] }
}

/** Every exchange that can be simulated, by name. */
export const protocols: ReadonlyMap<string, SimulatedExchange> = new Map(Object.entries(exchanges))
