/* The names used on the command line, without the code behind them. */

/** The exchanges that can be simulated. */
export const exchangeNames = [
  "binance",
  "coinbase",
  "bybit",
  "okx",
  "upbit",
  "kraken",
  "binance_usdm",
  "binance_coinm",
  "bybit_linear",
  "bybit_inverse",
  "deribit"
] as const

/** The faults, as named in control requests and on the command line. */
export const faultNames = [
  "close",
  "terminate",
  "shutdown",
  "silence",
  "garbage",
  "mangle",
  "duplicates",
  "skip",
  "rewind",
  "refuse",
  "nopong",
  "announce",
  "list",
  "delist",
  "status",
  "unlist",
  "rest",
  "burst"
] as const
