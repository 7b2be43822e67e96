import type { StreamId } from "../../src/domain/StreamId.ts"

/** The streams of a torture run: two count their messages, two name them. */
export const streams: ReadonlyArray<StreamId> = [
  { exchange: "binance", symbol: "btcusdt", dataType: "orderbook" },
  { exchange: "binance", symbol: "btcusdt", dataType: "trade" },
  { exchange: "other", symbol: "ETH/USDT", dataType: "trade" },
  { exchange: "other", symbol: "ETH/USDT", dataType: "orderbook_diff" }
]

const [first = { exchange: "", symbol: "", dataType: "trade" as const }] = streams

/** The n-th message: always the same. */
export const message = (
  n: number
): { readonly stream: StreamId; readonly id: string; readonly data: string } => ({
  stream: streams[n % streams.length] ?? first,
  id: n % streams.length < 2 ? String(10_000_000_000 + n) : `m-${(n * 7919) % 1_000_003}-${n}`,
  data: `{"n":${n},"x":"${"abcdefghij".slice(0, n % 10).repeat(20)} ü"}`
})
