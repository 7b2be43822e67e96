import { gzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import type { MarketStream } from "../../src/domain/StreamId.ts"
import type { Frame } from "../../src/exchange/Exchange.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import { capturedFrames, capturedOf, captureFiles, haveCaptures } from "../support/captures.ts"
import { streamOf } from "./harness.ts"

/** A frame of each kind of data, as its exchange sends it. */
const frames: ReadonlyArray<readonly [exchange: string, symbol: string, text: string]> = [
  [
    "binance",
    "btcusdt",
    '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1790134512214,"s":"BTCUSDT","U":100,"u":102,"b":[["86620.4","0.42"]],"a":[]}}'
  ],
  [
    "binance",
    "btcusdt",
    '{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}}'
  ],
  [
    "binance",
    "btcusdt",
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1789295134226,"s":"BTCUSDT","t":5,"p":"0.001","q":"100","T":1789295134225,"m":true,"M":true}}'
  ],
  [
    "binance",
    "btcusdt",
    '{"e":"trade","E":1789295134226,"s":"BTCUSDT","t":5,"p":"0.001","q":"100","T":1789295134225}'
  ],
  ["binance", "btcusdt", '{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}'],
  [
    "coinbase",
    "BTC-USD",
    '{"channel":"l2_data","timestamp":"2026-08-24T22:34:13.813164957Z","sequence_num":1,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","price_level":"1","new_quantity":"2"}]}]}'
  ],
  [
    "coinbase",
    "BTC-USD",
    `{"channel":"l2_data","timestamp":"2026-08-24T22:34:13.813164957Z","sequence_num":1,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[${Array.from(
      { length: 9 },
      (_, i) => `{"side":"bid","event_time":"2026-08-24T22:34:13.8Z","price_level":"${i}","new_quantity":"2"}`
    ).join()}]}]}`
  ],
  [
    "coinbase",
    "BTC-USD",
    '{"channel":"market_trades","timestamp":"2026-09-30T02:39:54.014999553Z","sequence_num":22,"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"1100253490","price":"83277.26","time":"2026-09-30T02:39:53.977543Z"},{"product_id":"BTC-USD","trade_id":"1100253489","price":"83277.26","time":"2026-09-30T02:39:53.9Z"}]}]}'
  ],
  [
    "bybit",
    "BTCUSDT",
    '{"topic":"orderbook.50.BTCUSDT","ts":1787612486116,"type":"delta","data":{"s":"BTCUSDT","b":[],"a":[["78716.8","0.027"]],"u":217,"seq":113},"cts":1787612486108}'
  ],
  [
    "bybit",
    "BTCUSDT",
    '{"topic":"publicTrade.BTCUSDT","ts":1788335009483,"type":"snapshot","data":[{"i":"2290000001202469355","T":1788335009482,"p":"1","s":"BTCUSDT"},{"i":"2290000001202469360","T":1788335009483,"p":"1","s":"BTCUSDT"}]}'
  ],
  [
    "bybit_linear",
    "BTCUSDT",
    '{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"1"},"cs":24987956059,"ts":1788335009483}'
  ],
  [
    "bybit_linear",
    "BTCUSDT",
    '{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1788335009483,"data":[{"T":1788335009482,"s":"BTCUSDT","S":"Sell","v":"20","p":"0.04"}]}'
  ],
  [
    "bybit_linear",
    "BTCUSDT",
    '{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1788335009483,"data":{"s":"BTCUSDT","b":[["1","2"]],"a":[],"u":217,"seq":113},"cts":1788335009480}'
  ],
  [
    "okx",
    "BTC-USDT",
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["1","2","0","1"]],"bids":[],"ts":"1787612486407","checksum":0,"seqId":95,"prevSeqId":87}]}'
  ],
  [
    "okx",
    "BTC-USDT",
    '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"1035","px":"1","ts":"1784849123233","count":"1"},{"instId":"BTC-USDT","tradeId":"1040","px":"1","ts":"1784849124733","count":"5"}]}'
  ],
  [
    "upbit",
    "KRW-BTC",
    '{"type":"trade","code":"KRW-BTC","timestamp":1788335180423,"trade_timestamp":1788335180377,"trade_price":106691000,"sequential_id":1788335180377000,"stream_type":"REALTIME"}'
  ],
  [
    "upbit",
    "KRW-BTC",
    '{"type":"orderbook","code":"KRW-BTC","timestamp":1788335180423,"orderbook_units":[{"ask_price":1,"bid_price":2}],"stream_type":"REALTIME"}'
  ],
  [
    "kraken",
    "BTC/USD",
    '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":78858.8,"qty":0.1}],"asks":[],"checksum":2416540570,"timestamp":"2026-08-24T22:21:58.343688Z"}]}'
  ],
  [
    "kraken",
    "BTC/USD",
    '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","trade_id":7,"timestamp":"2026-08-22T17:30:53.355059Z"},{"symbol":"BTC/USD","trade_id":8,"timestamp":"2026-08-22T17:30:53.4Z"}]}'
  ],
  ["binance", "btcusdt", '{"u":400900217,"s":"BTCUSDT","b":"25.3","B":"31.2","a":"25.3","A":"40.6"}'],
  [
    "binance_usdm",
    "btcusdt",
    '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1790134512214,"T":1790134512210,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[]}}'
  ],
  [
    "binance_usdm",
    "btcusdt",
    '{"stream":"btcusdt@forceOrder","data":{"e":"forceOrder","E":1790134226010,"o":{"s":"BTCUSDT","S":"SELL","q":"0.014","T":1790134226001}}}'
  ],
  [
    "binance_usdm",
    "btcusdt",
    '{"e":"forceOrder","E":1790134226010,"o":{"s":"BTCUSDT","S":"SELL","q":"0.014","T":1790134226001}}'
  ],
  [
    "binance_coinm",
    "btcusd_perp",
    '{"stream":"btcusd_perp@markPrice@1s","data":{"e":"markPriceUpdate","E":1790134226000,"s":"BTCUSD_PERP","p":"1","i":"1","r":"","T":0}}'
  ],
  [
    "deribit",
    "BTC-PERPETUAL",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"change","timestamp":1788335114535,"prev_change_id":87,"instrument_name":"BTC-PERPETUAL","change_id":99,"bids":[],"asks":[["delete",0.2365,0.0]]}}}'
  ],
  [
    "deribit",
    "BTC-PERPETUAL",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.100ms","data":[{"timestamp":1788335114435,"price":77529.5,"trade_seq":298,"amount":170.0,"trade_id":"443"},{"timestamp":1788335114435,"trade_seq":299}]}}'
  ],
  [
    "deribit",
    "BTC-PERPETUAL",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"perpetual.BTC-PERPETUAL.100ms","data":{"timestamp":1788339167138,"interest":0.0049,"index_price":77504.36}}}'
  ]
]

type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** What may become of a value; undefined: it is gone. */
const changes: ReadonlyArray<(value: Json) => Json | undefined> = [
  () => undefined,
  () => null,
  () => true,
  () => "",
  // No symbol and no channel of any exchange: by the right name of another stream it would be of that one.
  () => "?",
  () => -1.5,
  (value) => [value],
  (value) => ({ value }),
  (value) => (Array.isArray(value) ? { ...value } : value),
  (value) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? Object.values(value) : value,
  (value) => (typeof value === "number" ? String(value) : value),
  (value) => (typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value)
]

/** How many values there are in it, itself among them. */
const sizeOf = (value: Json): number =>
  typeof value === "object" && value !== null
    ? Object.values(value).reduce((sum: number, each: Json) => sum + sizeOf(each), 1)
    : 1

/** The same with the value of this place, counted from the outside, changed. */
const changed = (root: Json, place: number, change: (value: Json) => Json | undefined): Json | undefined => {
  let count = 0
  const walk = (value: Json): Json | undefined => {
    if (count++ === place) return change(value)
    if (typeof value !== "object" || value === null) return value
    const entries = Object.entries(value).flatMap(([key, each]: [string, Json]) => {
      const next = walk(each)
      return next === undefined ? [] : [[key, next] as const]
    })
    return Array.isArray(value) ? entries.map(([, each]) => each) : Object.fromEntries(entries)
  }
  return walk(root)
}

const decoderOf = (name: string, symbol: string) => {
  const exchange = exchanges.get(name)
  if (exchange === undefined) throw new Error(`no exchange ${name}`)
  const streams = exchange.dataTypes.map((dataType) => streamOf(name, symbol, dataType))
  return exchange.makeDecoder(new Map(streams.map((id) => [exchange.channelOf(id), id])), "c9")
}

const streamsOf = (frame: Frame): ReadonlyArray<MarketStream> =>
  frame._tag === "Data" ? [frame.stream, ...frame.also.map(({ stream }) => stream)] : []

/** Whether a frame of these streams leads to a row of theirs, or to doubt about them. */
const isNoted = (frame: Frame, of: ReadonlyArray<MarketStream>): boolean =>
  frame._tag === "Data"
    ? of.every((stream) => streamsOf(frame).includes(stream))
    : frame._tag === "Malformed" &&
      !("channel" in frame) &&
      (frame.stream === undefined || of.includes(frame.stream))

const expectNoted = (name: string, symbol: string, text: string, bytes: Buffer) => {
  const decode = decoderOf(name, symbol)
  const streams = streamsOf(decode(Buffer.from(text)))
  const frame = decode(bytes)
  if (streams.length === 0 || !isNoted(frame, streams)) {
    expect.fail(`${bytes.subarray(0, 300)} is ${JSON.stringify(frame)}`)
  }
}

describe("data in a format that has changed are read or leave their stream in doubt", () => {
  it.each(frames)("%s %s: whatever becomes of any value of %s", (name, symbol, text) => {
    const json: Json = JSON.parse(text)
    for (let place = 0; place < sizeOf(json); place++) {
      for (const change of changes) {
        const next = changed(json, place, change)
        if (next === undefined) continue
        expectNoted(name, symbol, text, Buffer.from(JSON.stringify(next)))
      }
    }
  })

  it("whatever becomes of several values", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...frames),
        FastCheck.array(FastCheck.tuple(FastCheck.nat(40), FastCheck.constantFrom(...changes)), {
          minLength: 2,
          maxLength: 4
        }),
        FastCheck.integer({ min: 0, max: 2 }),
        ([name, symbol, text], list, space) => {
          const json = list.reduce((value: Json, [place, change]) => {
            return changed(value, place % sizeOf(value), change) ?? value
          }, JSON.parse(text))
          expectNoted(name, symbol, text, Buffer.from(JSON.stringify(json, null, space)))
        }
      ),
      { numRuns: 3000 }
    )
  })

  it.each(frames)("%s %s: compressed, cut off, or with other bytes among it: %s", (name, symbol, text) => {
    expectNoted(name, symbol, text, gzipSync(text))
    for (let end = 0; end < text.length; end++) {
      expectNoted(name, symbol, text, Buffer.from(text.slice(0, end)))
    }
    for (let at = 0; at < text.length; at += 3) {
      const bytes = Buffer.from(text)
      bytes[at] = 0xff
      expectNoted(name, symbol, text, bytes)
    }
  })
})

describe.skipIf(!haveCaptures)("recorded traffic (skipped where the captures are missing)", () => {
  it.each(capturedOf(exchanges.keys()))("%s: data of every capture, with any value changed", (name) => {
    const exchange = exchanges.get(name)
    if (exchange === undefined) return
    const texts = captureFiles(name)
      .filter((file) => !/exchange_feed|_rest_depth/.test(file))
      .flatMap((file) => capturedFrames(file).slice(0, 40))
      .filter((text) => text.length < 3000)
    const symbols: ReadonlyArray<string> = Array.from(
      new Set(texts.flatMap((text) => text.match(/[A-Za-z0-9]{2,12}[-/]?[A-Za-z0-9]{2,12}/g) ?? []))
    )
    const streams = symbols.flatMap((symbol) => {
      const parsed = exchange.parseSymbol(symbol)
      return parsed._tag === "Left"
        ? []
        : exchange.dataTypes.map((dataType) => streamOf(name, parsed.right, dataType))
    })
    const decode = exchange.makeDecoder(new Map(streams.map((id) => [exchange.channelOf(id), id])), "c9")
    let tried = 0
    for (const text of texts) {
      const own = streamsOf(decode(Buffer.from(text)))
      if (own.length === 0) continue
      const json: Json = JSON.parse(text)
      const size = sizeOf(json)
      for (let place = 0; place < size; place += 1 + Math.floor(size / 40)) {
        for (const change of changes) {
          const next = changed(json, place, change)
          if (next === undefined) continue
          const frame = decode(Buffer.from(JSON.stringify(next)))
          if (!isNoted(frame, own)) expect.fail(`${JSON.stringify(next)} is ${JSON.stringify(frame)}`)
          tried++
        }
      }
    }
    expect(tried).toBeGreaterThan(100)
  })
})
