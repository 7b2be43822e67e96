import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import type { MarketStream } from "../../src/domain/StreamId.ts"
import type { Exchange, Frame, Request } from "../../src/exchange/Exchange.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import { coinbase } from "../../src/exchange/venues/coinbase.ts"
import { streamOf } from "./harness.ts"

/** A symbol of each exchange, and another one. */
const symbols = new Map([
  ["binance", ["btcusdt", "ethusdt"]],
  ["coinbase", ["BTC-USD", "ETH-USD"]],
  ["bybit", ["BTCUSDT", "ETHUSDT"]],
  ["okx", ["BTC-USDT", "ETH-USDT"]],
  ["upbit", ["KRW-BTC", "KRW-ETH"]],
  ["kraken", ["BTC/USD", "ETH/USD"]],
  ["binance_usdm", ["btcusdt", "ethusdt"]],
  ["binance_coinm", ["btcusd_perp", "btcusd_261225"]],
  ["bybit_linear", ["BTCUSDT", "ETHUSDT"]],
  ["bybit_inverse", ["BTCUSD", "ETHUSD"]],
  ["deribit", ["BTC-PERPETUAL", "ETH-PERPETUAL"]]
])

const exchangeOf = (name: string): Exchange => {
  const exchange = exchanges.get(name)
  if (exchange === undefined) throw new Error(`no exchange ${name}`)
  return exchange
}

const streamsOf = (name: string): ReadonlyArray<MarketStream> =>
  (symbols.get(name) ?? []).flatMap((symbol) =>
    exchangeOf(name).dataTypes.map((dataType) => streamOf(name, symbol, dataType))
  )

const decoderOf = (name: string, streams = streamsOf(name)) => {
  const exchange = exchangeOf(name)
  return exchange.makeDecoder(new Map(streams.map((id) => [exchange.channelOf(id), id])), "c9")
}

const okxTrades = (...trades: ReadonlyArray<readonly [id: number | bigint, count: number]>) =>
  JSON.stringify({
    arg: { channel: "trades", instId: "BTC-USDT" },
    data: trades.map(([id, count]) => ({ tradeId: String(id), ts: "1784849123233", count: String(count) }))
  })

const krakenTrades = (...ids: ReadonlyArray<number | bigint>) => {
  const trade = (id: number | bigint) =>
    `{"symbol":"BTC/USD","trade_id":${id},"timestamp":"2026-08-22T17:30:53.3Z"}`
  return `{"channel":"trade","type":"update","data":[${ids.map(trade).join()}]}`
}

const deribitFrame = (channel: string, data: unknown) =>
  JSON.stringify({ jsonrpc: "2.0", method: "subscription", params: { channel, data } })
const deribitTrades = (...ids: ReadonlyArray<number | bigint>) =>
  deribitFrame("trades.BTC-PERPETUAL.100ms", "TRADES").replace(
    '"TRADES"',
    `[${ids.map((id) => `{"trade_seq":${id},"timestamp":1788335114435}`).join()}]`
  )

describe("several trades in a frame", () => {
  it.each([
    ["deribit", deribitTrades(7, 8, 9), 0],
    ["deribit", deribitTrades(7, 9, 12), 3],
    ["kraken", krakenTrades(7, 8, 9), 0],
    ["kraken", krakenTrades(7, 9, 12), 3],
    ["okx", okxTrades([20, 3], [21, 1]), 0],
    ["okx", okxTrades([20, 3], [24, 2]), 2],
    ["okx", okxTrades([20, 3]), 0]
  ] as const)("%s: tells how many numbers it leaves out", (name, text, missing) => {
    expect(decodeText(name, text)).toMatchObject({ _tag: "Data", missing })
  })
})

const trade = (product_id: string, trade_id: unknown) => ({ product_id, trade_id })
const book = (product_id: string, updates: unknown) => ({ type: "update", product_id, updates })
const coinbaseFrame = (channel: string, ...events: ReadonlyArray<unknown>) =>
  JSON.stringify({ channel, timestamp: "2026-09-30T02:39:54Z", sequence_num: 4, events })
const coinbaseTrades = (...trades: ReadonlyArray<unknown>) =>
  coinbaseFrame("market_trades", { type: "update", trades })

const decodeText = (name: string, text: string): Frame => decoderOf(name)(Buffer.from(text))

/** Data of Binance's futures, which are the same with and without an envelope. */
const futuresFrames: ReadonlyArray<
  readonly [text: string, expected: { readonly name: string } & Record<string, unknown>]
> = [
  [
    '{"e":"depthUpdate","E":1790134512214,"T":1790134512210,"s":"BTCUSDT","ps":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[],"st":1}',
    {
      name: "btcusdt@depth@100ms",
      stream: { symbol: "btcusdt", dataType: "orderbook_diff" },
      exchangeSequenceId: "149-160",
      previous: 149,
      last: 160,
      exchangeTimestamp: 1790134512210000,
      snapshot: false
    }
  ],
  [
    '{"e":"aggTrade","E":1790134226000,"a":5933014,"s":"BTCUSDT","p":"0.001","q":"100","nq":"90","f":100,"l":105,"T":1790134225999,"m":true,"st":1}',
    {
      name: "btcusdt@aggTrade",
      stream: { dataType: "trade" },
      exchangeSequenceId: "5933014",
      previous: 5933013,
      last: 5933014,
      exchangeTimestamp: 1790134225999000
    }
  ],
  [
    '{"e":"bookTicker","u":400900217,"s":"ETHUSDT","ps":"ETHUSDT","b":"25.3","B":"31.2","a":"25.3","A":"40.6","T":1790134225999,"E":1790134226001,"st":1}',
    {
      name: "ethusdt@bookTicker",
      stream: { symbol: "ethusdt", dataType: "bbo" },
      exchangeSequenceId: "400900217",
      exchangeTimestamp: 1790134225999000,
      last: Number.NaN
    }
  ],
  [
    '{"e":"24hrTicker","E":1790134226001,"s":"BTCUSDT","p":"0.0015","c":"0.0025","C":1790134226000,"F":0,"L":18150,"n":18151,"st":1}',
    {
      name: "btcusdt@ticker",
      stream: { dataType: "ticker" },
      exchangeSequenceId: "1790134226001",
      exchangeTimestamp: 1790134226001000
    }
  ],
  [
    '{"e":"markPriceUpdate","E":1790134226000,"s":"BTCUSDT","p":"11794.1","ap":"11794.2","i":"11784.6","P":"11784.2","r":"0.00038167","T":1790150400000,"st":1}',
    {
      name: "btcusdt@markPrice@1s",
      stream: { dataType: "funding" },
      exchangeSequenceId: "1790134226000",
      exchangeTimestamp: 1790134226000000
    }
  ]
]

const without = ({ name: _, ...expected }: { readonly name: string } & Record<string, unknown>) => expected

const liquidation = (order: Record<string, unknown>, sent = 1790134226010) =>
  JSON.stringify({
    stream: "btcusdt@forceOrder",
    data: { e: "forceOrder", E: sent, o: { s: "BTCUSDT", S: "SELL", q: "0.014", T: 1790134226001, ...order } }
  })

describe("liquidations of Binance, which have no id", () => {
  const idOf = (text: string) => {
    const frame = decodeText("binance_usdm", text)
    return frame._tag === "Data" ? frame.exchangeSequenceId : frame._tag
  }

  it("have one by time and content, whenever they are sent", () => {
    expect(decodeText("binance_usdm", liquidation({}))).toMatchObject({
      stream: { dataType: "liquidation" },
      exchangeTimestamp: 1790134226001000,
      snapshot: false
    })
    expect(idOf(liquidation({}))).toMatch(/^1790134226001-[0-9a-f]{8}$/)
    expect(idOf(liquidation({}, 1790134226999))).toBe(idOf(liquidation({})))
    for (const other of [{ S: "BUY" }, { q: "0.015" }, { p: "1" }, { z: "0.014" }]) {
      expect(idOf(liquidation(other))).not.toBe(idOf(liquidation({})))
    }
    expect(idOf(JSON.stringify(JSON.parse(liquidation({})).data))).toBe(idOf(liquidation({})))
  })

  it.each([{ o: undefined }, { o: [] }, { o: { s: "BTCUSDT" } }])(
    "leave their stream in doubt with %s",
    (wrong) => {
      const { data, stream } = JSON.parse(liquidation({}))
      expect(
        decodeText("binance_usdm", JSON.stringify({ stream, data: { ...data, ...wrong } }))
      ).toMatchObject({
        _tag: "Malformed",
        stream: { dataType: "liquidation" }
      })
    }
  )
})

describe("books of Binance's futures", () => {
  const book =
    '{"e":"depthUpdate","E":1790134512214,"T":1790134512210,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[]}'

  it("are told from changes by their envelope, or because a connection without envelopes has no changes", () => {
    const expected = { stream: { dataType: "orderbook" }, exchangeSequenceId: "160", last: Number.NaN }
    expect(decodeText("binance_usdm", `{"stream":"btcusdt@depth20@100ms","data":${book}}`)).toMatchObject(
      expected
    )
    expect(
      decoderOf("binance_usdm", [streamOf("binance_usdm", "btcusdt", "orderbook")])(Buffer.from(book))
    ).toMatchObject(expected)
    expect(decodeText("binance_usdm", book)).toMatchObject({ reason: "of an unknown channel" })
    const { fits } = exchangeOf("binance_usdm").limits
    const both = (symbol: string) => [
      streamOf("binance_usdm", symbol, "orderbook"),
      streamOf("binance_usdm", "btcusdt", "orderbook_diff")
    ]
    expect(fits(both("btcusdt"), "wss://somewhere/ws")).toBe(false)
    expect(fits(both("ethusdt"), "wss://somewhere/ws")).toBe(true)
    expect(fits(both("btcusdt"), "wss://somewhere/public/stream")).toBe(true)
  })
})

/** Frames of every kind, as the exchanges send them. */
const frames: ReadonlyArray<readonly [string, string, Record<string, unknown>]> = [
  [
    "binance",
    '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1790134512214,"s":"BTCUSDT","U":100530416194,"u":100530416202,"b":[["86620.48000000","0.42061000"]],"a":[]}}',
    {
      _tag: "Data",
      exchangeSequenceId: "100530416194-100530416202",
      exchangeTimestamp: 1790134512214000,
      previous: 100530416193,
      last: 100530416202
    }
  ],
  [
    "coinbase",
    '{"channel":"l2_data","timestamp":"2026-08-24T22:34:13.813164957Z","sequence_num":1,"events":[{"type":"update","product_id":"BTC-USD","updates":[]}]}',
    {
      _tag: "Data",
      exchangeSequenceId: "c9-1",
      exchangeTimestamp: 1787610853813164,
      previous: 0,
      last: 1,
      snapshot: false
    }
  ],
  [
    "coinbase",
    '{"channel":"market_trades","timestamp":"2026-09-30T02:39:54.014999553Z","sequence_num":22,"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"1100253490","price":"83277.26","size":"0.1","time":"2026-09-30T02:39:53.977543Z","side":"SELL"},{"product_id":"BTC-USD","trade_id":"1100253489","price":"83277.26","size":"0.1","time":"2026-09-30T02:39:53.9Z","side":"SELL"}]}]}',
    {
      exchangeSequenceId: "1100253490-1100253489-2",
      exchangeTimestamp: 1790735993977543,
      previous: 21,
      last: 22
    }
  ],
  [
    "coinbase",
    '{"channel":"heartbeats","timestamp":"2026-09-30T02:39:54.168476664Z","sequence_num":29,"events":[{"current_time":"x","heartbeat_counter":"12240"}]}',
    { _tag: "Heartbeat", counter: 29 }
  ],
  [
    "coinbase",
    '{"channel":"subscriptions","timestamp":"2026-09-30T02:39:53.78Z","sequence_num":11,"events":[{"subscriptions":{"heartbeats":["heartbeats"],"level2":["BTC-USD","X-USD"],"market_trades":["ETH-USD"]}}]}',
    { _tag: "Acknowledged", counter: 11, streams: [{ symbol: "BTC-USD" }, { symbol: "ETH-USD" }] }
  ],
  [
    "coinbase",
    '{"type":"error","message":"failure to subscribe"}',
    { _tag: "Refused", reason: "failure to subscribe", streams: [] }
  ],
  [
    "coinbase",
    '{"channel":"l2_data","timestamp":"x","sequence_num":5,"events":[{"type":"update","product_id":"DOGE-USD","updates":[]}]}',
    { _tag: "Malformed", counter: 5 }
  ],
  [
    "bybit",
    '{"topic":"orderbook.50.BTCUSDT","ts":1787612486116,"type":"delta","data":{"s":"BTCUSDT","b":[],"a":[["78716.8","0.027559"]],"u":217107085,"seq":113099229629},"cts":1787612486108}',
    {
      exchangeSequenceId: "217107085-113099229629",
      exchangeTimestamp: 1787612486108000,
      previous: 217107084,
      snapshot: false
    }
  ],
  [
    "bybit",
    '{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1787612486116,"data":{"s":"BTCUSDT","b":[],"a":[],"u":7,"seq":9},"cts":1787612486108}',
    { exchangeSequenceId: "snapshot-c9-7-9", snapshot: true }
  ],
  [
    "bybit",
    '{"topic":"orderbook.50.BTCUSDT","ts":1787612486116,"type":"delta","data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":9},"cts":1787612486108}',
    { exchangeSequenceId: "snapshot-c9-1-9", snapshot: true }
  ],
  [
    "bybit",
    '{"topic":"publicTrade.BTCUSDT","ts":1788335009483,"type":"snapshot","data":[{"i":"2290000001202469355","T":1788335009482,"p":"1","v":"2","S":"Buy","seq":1,"s":"BTCUSDT","BT":false,"RPI":false},{"i":"2290000001202469360","T":1788335009483,"p":"1","v":"2","S":"Buy","seq":1,"s":"BTCUSDT"}]}',
    {
      exchangeSequenceId: "2290000001202469355-2290000001202469360-2",
      exchangeTimestamp: 1788335009483000,
      snapshot: false
    }
  ],
  ["bybit", '{"success":true,"ret_msg":"pong","conn_id":"d9","req_id":"p1","op":"ping"}', { _tag: "Pong" }],
  ["bybit", '{"op":"pong","args":["1672916271846"]}', { _tag: "Pong" }],
  [
    "bybit",
    '{"success":true,"ret_msg":"subscribe","conn_id":"d9","req_id":"7","op":"subscribe"}',
    { _tag: "Acknowledged", request: "7", streams: null }
  ],
  [
    "bybit",
    '{"success":false,"ret_msg":"Invalid symbol :[orderbook.50.ETHUSDT]","conn_id":"d9","op":"subscribe"}',
    { _tag: "Refused", request: null, streams: [{ symbol: "ETHUSDT" }], others: "dropped" }
  ],
  [
    "bybit",
    '{"success":false,"ret_msg":"error:already subscribed,topic:publicTrade.ETHUSDT","conn_id":"d9","req_id":"3","op":"subscribe"}',
    {
      _tag: "Acknowledged",
      streams: [{ symbol: "ETHUSDT", dataType: "trade" }],
      others: "dropped"
    }
  ],
  [
    "bybit",
    '{"success":false,"ret_msg":"args size >10","conn_id":"d9","req_id":"3","op":"subscribe"}',
    { _tag: "Refused", request: "3", streams: [] }
  ],
  ["okx", "pong", { _tag: "Pong" }],
  [
    "okx",
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[],"ts":"1787612486407","checksum":0,"seqId":80274874895,"prevSeqId":80274874887}]}',
    {
      exchangeSequenceId: "80274874887-80274874895",
      exchangeTimestamp: 1787612486407000,
      previous: 80274874887,
      last: 80274874895,
      snapshot: false
    }
  ],
  [
    "okx",
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[],"bids":[],"ts":"0","checksum":0,"prevSeqId":-1,"seqId":5}]}',
    { exchangeSequenceId: "snapshot-c9-5", exchangeTimestamp: null, snapshot: true, last: 5 }
  ],
  [
    "okx",
    '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"1035721474","px":"1","sz":"1","side":"sell","ts":"1784849123233","count":"1","source":"0","seqId":1},{"instId":"BTC-USDT","tradeId":"1035721479","px":"1","sz":"1","side":"buy","ts":"1784849124733","count":"5","source":"0","seqId":2}]}',
    {
      exchangeSequenceId: "1035721474-1035721479-2",
      exchangeTimestamp: 1784849124733000,
      previous: 1035721473,
      last: 1035721479
    }
  ],
  [
    "okx",
    '{"event":"error","msg":"Subscribe failed, wrong URL or channel:trades,instId:ETH-USDT doesn\'t exist. Please use the correct URL.","code":"60018","connId":"e1"}',
    { _tag: "Refused", streams: [{ symbol: "ETH-USDT", dataType: "trade" }], others: "pending" }
  ],
  [
    "okx",
    '{"id":"1","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
    { _tag: "Acknowledged", request: "1", streams: [{ symbol: "BTC-USDT" }], others: "pending" }
  ],
  [
    "okx",
    '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"a4"}',
    {
      _tag: "Closing",
      status: "notice",
      reason: "64008 The connection will soon be closed for a service upgrade. Please reconnect."
    }
  ],
  [
    "okx",
    '{"arg":{"channel":"status"},"data":[{"begin":"1672823400000","end":"1672825980000","href":"","preOpenBegin":"","scheDesc":"","serviceType":"0","state":"ongoing","system":"unified","maintType":"1","env":"1","title":"Trading account WebSocket system upgrade","ts":"1672826038470"},{"begin":"","end":"","state":"ongoing","env":"2","title":"Demo trading"}]}',
    {
      _tag: "Status",
      said: [
        {
          status: "ongoing",
          subject: "Trading account WebSocket system upgrade",
          text: "2023-01-04T09:10:00.000Z to 2023-01-04T09:53:00.000Z"
        }
      ]
    }
  ],
  [
    "okx",
    '{"id":"status","event":"subscribe","arg":{"channel":"status"},"connId":"a4"}',
    { _tag: "Heartbeat" }
  ],
  [
    "kraken",
    '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"cancel_only","api_version":"v2","connection_id":806193442143087786}]}',
    { _tag: "Status", said: [{ status: "cancel_only" }] }
  ],
  [
    "upbit",
    '{"type":"trade","code":"KRW-BTC","timestamp":1788335180423,"trade_timestamp":1788335180377,"trade_price":106691000.00000000,"sequential_id":17883351803770004,"stream_type":"REALTIME"}',
    { exchangeSequenceId: "17883351803770004", exchangeTimestamp: 1788335180377000, snapshot: false }
  ],
  [
    "upbit",
    '{"ty":"orderbook","cd":"KRW-BTC","tms":1691530805062000,"obu":[{"ap":1.16539E8}],"st":"SNAPSHOT","lv":0}',
    { exchangeTimestamp: 1691530805062000, snapshot: true }
  ],
  ["upbit", '{"status":"UP"}', { _tag: "Heartbeat" }],
  [
    "upbit",
    '{"error":{"name":"NO_TICKET","message":"티켓이 존재하지 않거나, 유효하지 않습니다."}}',
    { _tag: "Failed" }
  ],
  ["kraken", '{"Error":"Exceeded msg rate"}', { _tag: "Failed", reason: "Exceeded msg rate" }],
  [
    "kraken",
    '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":78858.8,"qty":0.00000000}],"asks":[],"checksum":2416540570,"timestamp":"2026-08-24T22:21:58.343688Z"}]}',
    { exchangeTimestamp: 1787610118343688, snapshot: false }
  ],
  [
    "kraken",
    '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","trade_id":7,"timestamp":"2026-08-22T17:30:53.355059Z"},{"symbol":"BTC/USD","trade_id":8,"timestamp":"2026-08-22T17:30:53.4Z"}]}',
    { exchangeSequenceId: "7-8-2", previous: 6, last: 8, exchangeTimestamp: 1787419853400000 }
  ],
  ["kraken", '{"channel":"heartbeat"}', { _tag: "Heartbeat" }],
  ["kraken", '{"method":"pong","req_id":101,"time_in":"x"}', { _tag: "Pong" }],
  [
    "kraken",
    '{"error":"Currency pair not supported ETH/USD","method":"subscribe","req_id":4,"success":false}',
    { _tag: "Refused", request: "4", others: "pending" }
  ],
  [
    "binance",
    '{"stream":"btcusdt@bookTicker","data":{"u":400900217,"s":"BTCUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}',
    {
      stream: { dataType: "bbo" },
      exchangeSequenceId: "400900217",
      exchangeTimestamp: null,
      last: Number.NaN
    }
  ],
  [
    "binance",
    '{"u":400900217,"s":"BTCUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}',
    { stream: { symbol: "btcusdt", dataType: "bbo" }, exchangeSequenceId: "400900217" }
  ],
  [
    "binance",
    '{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":1788335180423,"s":"BTCUSDT","p":"0.0015","P":"250.00","C":1788335180420,"F":0,"L":18150,"n":18151}}',
    {
      stream: { dataType: "ticker" },
      exchangeSequenceId: "1788335180423",
      exchangeTimestamp: 1788335180423000
    }
  ],
  ...futuresFrames.map(
    ([text, expected]) =>
      ["binance_usdm", `{"stream":"${expected.name}","data":${text}}`, without(expected)] as const
  ),
  ...futuresFrames
    .filter(([text]) => !text.includes("depthUpdate"))
    .map(([text, expected]) => ["binance_usdm", text, without(expected)] as const),
  [
    "binance_usdm",
    '{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":4}',
    { _tag: "Refused", request: "4", reason: "Invalid request: invalid stream" }
  ],
  ["binance_usdm", '{"result":null,"id":3}', { _tag: "Acknowledged", request: "3" }],
  [
    "binance_coinm",
    '{"stream":"btcusd_perp@aggTrade","data":{"e":"aggTrade","E":1790134226000,"a":424951,"s":"BTCUSD_PERP","p":"9643.5","q":"2","f":606073,"l":606073,"T":1790134225996,"m":false}}',
    { exchangeSequenceId: "424951", previous: 424950, last: 424951, exchangeTimestamp: 1790134225996000 }
  ],
  [
    "binance_coinm",
    '{"stream":"btcusd_261225@markPrice@1s","data":{"e":"markPriceUpdate","E":1790134226000,"s":"BTCUSD_261225","p":"10934.62615417","P":"10962.17178236","i":"10933.62615417","r":"","T":0}}',
    { stream: { symbol: "btcusd_261225", dataType: "funding" }, exchangeTimestamp: 1790134226000000 }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"snapshot","timestamp":1788335114435,"instrument_name":"BTC-PERPETUAL","change_id":33195896887,"bids":[["new",77529.5,2.2e3]],"asks":[]}}}',
    {
      exchangeSequenceId: "snapshot-c9-33195896887",
      exchangeTimestamp: 1788335114435000,
      last: 33195896887,
      snapshot: true
    }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"change","timestamp":1788335114535,"prev_change_id":33195896887,"instrument_name":"BTC-PERPETUAL","change_id":33195896999,"bids":[],"asks":[["delete",0.2365,0.0]]}}}',
    {
      exchangeSequenceId: "33195896887-33195896999",
      exchangeTimestamp: 1788335114535000,
      previous: 33195896887,
      last: 33195896999,
      snapshot: false
    }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.100ms","data":[{"timestamp":1788335114435,"price":77529.5,"direction":"buy","instrument_name":"BTC-PERPETUAL","trade_seq":298099955,"amount":170.0,"trade_id":"443253707","liquidation":"M"},{"timestamp":1788335114436,"price":77529.5,"instrument_name":"BTC-PERPETUAL","trade_seq":298099956,"amount":1e1,"trade_id":"443253708"}]}}',
    {
      exchangeSequenceId: "298099955-298099956-2",
      exchangeTimestamp: 1788335114436000,
      previous: 298099954,
      last: 298099956
    }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-PERPETUAL.100ms","data":{"timestamp":1788339167138,"state":"open","instrument_name":"BTC-PERPETUAL","open_interest":2.2e3,"current_funding":-1e-8}}}',
    { stream: { dataType: "ticker" }, exchangeTimestamp: 1788339167138000, snapshot: false }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.ETH-PERPETUAL","data":{"timestamp":1788339167138,"instrument_name":"ETH-PERPETUAL","best_bid_price":1,"best_bid_amount":2}}}',
    { stream: { dataType: "bbo", symbol: "ETH-PERPETUAL" }, exchangeTimestamp: 1788339167138000 }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"perpetual.BTC-PERPETUAL.100ms","data":{"timestamp":1788339167138,"interest":0.0049,"index_price":77504.36}}}',
    { stream: { dataType: "funding" }, exchangeTimestamp: 1788339167138000 }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","id":7,"result":["trades.BTC-PERPETUAL.100ms","book.ETH-PERPETUAL.100ms"],"usIn":1790000000000000,"usOut":1790000000000100,"usDiff":100,"testnet":false}',
    {
      _tag: "Acknowledged",
      request: "7",
      streams: [
        { symbol: "BTC-PERPETUAL", dataType: "trade" },
        { symbol: "ETH-PERPETUAL", dataType: "orderbook" }
      ],
      others: "refused"
    }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","id":7,"result":[]}',
    { _tag: "Acknowledged", streams: [], others: "refused" }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","id":7,"error":{"code":13778,"message":"raw_subscriptions_not_available_for_unauthorized"}}',
    { _tag: "Refused", request: "7", streams: [], others: "dropped" }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","id":7,"error":{"code":10028,"message":"too_many_requests","data":{"wait":1}}}',
    { _tag: "Failed", reason: "10028 too_many_requests" }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","id":"untracked","result":["book.ETH-PERPETUAL.100ms"],"testnet":false}',
    { _tag: "Heartbeat" }
  ],
  ["deribit", '{"jsonrpc":"2.0","id":"untracked","result":{"version":"1.2.26"}}', { _tag: "Heartbeat" }],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
    { _tag: "Ping", answer: '{"jsonrpc":"2.0","id":"untracked","method":"public/test"}' }
  ],
  ["deribit", '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}', { _tag: "Heartbeat" }],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"platform_state","data":{"price_index":"btc_usd","locked":true}}}',
    { _tag: "Status", said: [{ status: "locked", subject: "btc_usd", isUsual: false }] }
  ],
  [
    "deribit",
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"platform_state","data":{"maintenance":true}}}',
    { _tag: "Status", said: [{ status: "maintenance" }] }
  ]
]

const isDigits = (value: unknown): value is string =>
  typeof value === "string" && /^-?\d{1,16}$/.test(value) && Number.isSafeInteger(Number(value))

describe("frames", () => {
  it.each(frames)("%s %s", (name, text, expected) => {
    expect(decodeText(name, text)).toMatchObject(expected)
    // White space changes nothing, where the whole is JSON.
    if (text === "pong") return
    const pretty = decodeText(name, JSON.stringify(JSON.parse(text), null, 2))
    const hashed = name === "kraken" || text.includes("tms") || /"(ticker|quote|perpetual)\./.test(text)
    if (hashed || text.includes("sequential_id")) expect(pretty._tag).toBe(decodeText(name, text)._tag)
    else expect(pretty).toMatchObject(expected)
  })

  it.each(frames.filter(([, text]) => text !== "pong"))(
    "%s: numbers may stand in quotes, and quoted ones without, in %s",
    (name, text, expected) => {
      const written = decodeText(name, text)
      const turned = JSON.parse(text, (_, value: unknown) =>
        typeof value === "number" ? String(value) : isDigits(value) ? Number(value) : value
      )
      const frame = decodeText(name, JSON.stringify(turned))
      expect(frame._tag).toBe(written._tag)
      // Where an id is a hash of the frame, and where it does not fit a number, it is another one.
      const isSame = !/checksum|"tms"|"obu"|\d{17}|"(ticker|quote|perpetual)\./.test(text)
      if (!isSame || written._tag === "Malformed" || frame._tag !== written._tag) return
      expect(frame).toMatchObject(expected)
      if ("exchangeSequenceId" in written) {
        const { exchangeSequenceId, exchangeTimestamp, last, previous } = written
        expect(frame).toMatchObject({ exchangeSequenceId, exchangeTimestamp, last, previous })
      }
    }
  )

  it.each([...new Set(frames.map(([exchange]) => exchange))])("%s: what is none is malformed", (name) => {
    for (const text of ["", "{", "}", "[]", "[1]", "hello", "{}", '{"foo":1}', "null", '"x"', "pon", "{]"]) {
      expect(decodeText(name, text)._tag).toBe("Malformed")
    }
    expect(decoderOf(name)(Buffer.from([0, 255, 1, 254]))._tag).toBe("Malformed")
    const invalid = Buffer.from(frames.find(([of, text]) => of === name && text !== "pong")?.[1] ?? "")
    invalid[invalid.length - 6] = 0xff
    expect(decoderOf(name)(invalid)).toMatchObject({ _tag: "Malformed", reason: "not UTF-8" })
  })

  it("never throws on cut or mutated frames, and never takes a cut one for data", () => {
    for (const [name, text] of frames) {
      const decode = decoderOf(name)
      for (let end = 0; end < text.length; end++) {
        expect(["Data", "Acknowledged"]).not.toContain(decode(Buffer.from(text.slice(0, end)))._tag)
      }
    }
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...frames),
        FastCheck.array(FastCheck.tuple(FastCheck.nat({ max: 500 }), FastCheck.nat({ max: 255 })), {
          minLength: 1,
          maxLength: 4
        }),
        ([name, text], changes) => {
          const bytes = Buffer.from(text)
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte
          expect(decoderOf(name)(bytes)._tag).toBeTypeOf("string")
        }
      ),
      { numRuns: 5000 }
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...symbols.keys()),
        FastCheck.uint8Array({ maxLength: 200 }),
        (name, bytes) => {
          expect(decoderOf(name)(Buffer.from(bytes))._tag).toBeTypeOf("string")
        }
      ),
      { numRuns: 2000 }
    )
  })
})

const id = FastCheck.integer({ min: 1, max: 2 ** 50 })
const level = FastCheck.tuple(FastCheck.string({ maxLength: 12 }), FastCheck.string({ maxLength: 12 }))
const levels = FastCheck.array(level, { maxLength: 30 })
const millis = FastCheck.integer({ min: 1_400_000_000_000, max: 3_000_000_000_000 })
const extra = FastCheck.dictionary(
  FastCheck.string({ maxLength: 6 }).map((key) => `x${key}`),
  FastCheck.jsonValue({ maxDepth: 2 }),
  { maxKeys: 4 }
)

/** Valid frames with any content, and what has to be read from them. */
const valid = FastCheck.oneof(
  FastCheck.tuple(id, id, levels, levels, millis, extra).map(([u, seq, b, a, ts, more]) => ({
    name: "bybit",
    frame: {
      topic: "orderbook.50.BTCUSDT",
      ts,
      type: "delta",
      data: { ...more, s: "BTCUSDT", b, a, u: u + 1, seq },
      cts: ts,
      ...more
    },
    expected: { exchangeSequenceId: `${u + 1}-${seq}`, exchangeTimestamp: ts * 1000, last: u + 1 }
  })),
  FastCheck.tuple(id, id, levels, levels, millis, extra).map(([seqId, prevSeqId, asks, bids, ts, more]) => ({
    name: "okx",
    frame: {
      ...more,
      arg: { channel: "books", instId: "ETH-USDT", ...more },
      action: "update",
      data: [{ asks, bids, ...more, ts: String(ts), checksum: 0, seqId, prevSeqId }]
    },
    expected: {
      exchangeSequenceId: `${prevSeqId}-${seqId}`,
      exchangeTimestamp: ts * 1000,
      previous: prevSeqId
    }
  })),
  FastCheck.tuple(id, levels, millis, extra, FastCheck.boolean()).map(([n, updates, ts, more, snapshot]) => ({
    name: "coinbase",
    frame: {
      channel: "l2_data",
      ...more,
      timestamp: new Date(ts).toISOString(),
      sequence_num: n,
      events: [
        {
          type: snapshot ? "snapshot" : "update",
          product_id: "BTC-USD",
          updates: updates.map(([price_level, new_quantity]) => ({
            side: "bid",
            price_level,
            new_quantity: `${new_quantity}`.padEnd(40)
          }))
        }
      ]
    },
    expected: {
      exchangeSequenceId: `c9-${n}`,
      exchangeTimestamp: ts * 1000,
      previous: n - 1,
      last: n,
      snapshot
    }
  })),
  FastCheck.tuple(id, millis, extra).map(([sequential_id, ts, more]) => ({
    name: "upbit",
    frame: { type: "trade", code: "KRW-ETH", ...more, trade_timestamp: ts, timestamp: ts, sequential_id },
    expected: { exchangeSequenceId: String(sequential_id), exchangeTimestamp: ts * 1000 }
  })),
  FastCheck.tuple(id, millis, extra).map(([trade_id, ts, more]) => ({
    name: "kraken",
    frame: {
      channel: "trade",
      type: "update",
      ...more,
      data: [{ ...more, symbol: "ETH/USD", trade_id, timestamp: new Date(ts).toISOString() }]
    },
    expected: { exchangeSequenceId: String(trade_id), exchangeTimestamp: ts * 1000, last: trade_id }
  })),
  FastCheck.tuple(id, id, levels, levels, millis, extra).map(([prev, change_id, bids, asks, ts, more]) => ({
    name: "deribit",
    frame: {
      ...more,
      method: "subscription",
      params: {
        ...more,
        channel: "book.BTC-PERPETUAL.100ms",
        data: { type: "change", timestamp: ts, ...more, prev_change_id: prev, change_id, bids, asks }
      }
    },
    expected: {
      exchangeSequenceId: `${prev}-${change_id}`,
      exchangeTimestamp: ts * 1000,
      previous: prev,
      last: change_id
    }
  })),
  FastCheck.tuple(id, FastCheck.nat({ max: 50 }), levels, levels, millis, extra).map(
    ([first, count, b, a, E, more]) => ({
      name: "binance",
      frame: {
        stream: "ethusdt@depth@100ms",
        data: { e: "depthUpdate", E, s: "ETHUSDT", U: first, u: first + count, ...more, b, a }
      },
      expected: {
        exchangeSequenceId: `${first}-${first + count}`,
        exchangeTimestamp: E * 1000,
        previous: first - 1
      }
    })
  )
)

describe("frames that are like answers", () => {
  it.each([
    ["binance", '{"id":7,"result":{"e":"trade","s":"BTCUSDT","t":5}}'],
    ["binance", '{"id":null,"result":{"e":"trade","s":"BTCUSDT","t":5}}'],
    ["bybit", '{"success":true,"ret_msg":"","data":[{"i":"1"}]}'],
    ["okx", '{"event":"update","arg":{"channel":"trades","instId":"BTC-USDT"},"payload":[{"tradeId":"5"}]}'],
    ["okx", '{"event":"push","trades":[]}'],
    ["kraken", '{"method":"update","params":{"symbol":"BTC/USD","trade_id":7}}'],
    ["kraken", '{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD"}}'],
    ["kraken", '{"channel":"heartbeat","data":[{"symbol":"BTC/USD","trade_id":7}]}'],
    ["upbit", '{"status":"trade","sid":5}'],
    ["deribit", '{"jsonrpc":"2.0","id":7,"result":[{"trade_seq":7}]}'],
    ["deribit", '{"jsonrpc":"2.0","id":7,"result":"ok"}'],
    ["deribit", '{"jsonrpc":"2.0","result":["trades.BTC-PERPETUAL.100ms"]}'],
    [
      "deribit",
      '{"method":"heartbeat","params":{"channel":"trades.BTC-PERPETUAL.100ms","data":[{"trade_seq":7}]}}'
    ],
    [
      "deribit",
      '{"method":"event","params":{"channel":"trades.BTC-PERPETUAL.100ms","data":[{"trade_seq":7}]}}'
    ]
  ])("%s: what is no known one may be a message: %s", (name, text) => {
    expect(decodeText(name, text)._tag).toBe("Malformed")
  })

  it.each([
    ["binance", '{"result":["btcusdt@trade"],"id":null}'],
    ["okx", '{"event":"unsubscribe","arg":{"channel":"trades","instId":"BTC-USDT"},"connId":"a"}'],
    ["okx", '{"event":"channel-conn-count","channel":"trades","connCount":"2","connId":"a"}'],
    ["kraken", '{"method":"unsubscribe","success":true,"result":{"channel":"trade","symbol":"BTC/USD"}}']
  ])("%s: %s is one", (name, text) => {
    expect(decodeText(name, text)._tag).toBe("Heartbeat")
  })
})

describe("numbers beyond 2^53", () => {
  it("of trades of Coinbase may be any text", () => {
    const trade = { product_id: "BTC-USD", trade_id: "no number", time: "2026-09-30T02:39:53.5Z" }
    const events = [{ type: "update", trades: [trade, { ...trade, trade_id: "1.5" }] }]
    const text = JSON.stringify({ channel: "market_trades", sequence_num: 4, events })
    expect(decodeText("coinbase", text)).toMatchObject({ _tag: "Data", last: 4, previous: 3 })
  })

  const n = 9007199254740993n
  it.each([
    ["binance", `{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":${n}}}`, n - 1n, n],
    [
      "binance",
      `{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","U":${n},"u":"${n + 6n}"}}`,
      n - 1n,
      n + 6n
    ],
    [
      "binance",
      `{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":${n - 1n}}}`,
      2 ** 53 - 1,
      n - 1n
    ],
    [
      "bybit",
      `{"topic":"orderbook.50.BTCUSDT","type":"delta","data":{"s":"BTCUSDT","u":${n},"seq":7}}`,
      n - 1n,
      n
    ],
    [
      "okx",
      `{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[],"ts":"1784849123233","prevSeqId":${n},"seqId":${n + 2n}}]}`,
      n,
      n + 2n
    ],
    ["okx", okxTrades([n, 2], [n + 1n, 1]), 2 ** 53 - 1, n + 1n],
    ["kraken", krakenTrades(n, n + 1n), n - 1n, n + 1n],
    ["kraken", krakenTrades(10n ** 27n), 10n ** 27n - 1n, 10n ** 27n],
    ["deribit", deribitTrades(n, n + 1n), n - 1n, n + 1n],
    [
      "deribit",
      `{"method":"subscription","params":{"channel":"book.BTC-PERPETUAL.100ms","data":{"type":"change","timestamp":1788335114535,"prev_change_id":${n},"change_id":${n + 2n}}}}`,
      n,
      n + 2n
    ],
    [
      "coinbase",
      `{"channel":"l2_data","timestamp":"2026-09-30T02:39:54Z","sequence_num":${n},"events":[{"type":"update","product_id":"BTC-USD","updates":[]}]}`,
      n - 1n,
      n
    ]
  ] as const)("%s: are read exactly: %s", (name, text, previous, last) => {
    const frame = decodeText(name, text)
    expect(frame).toMatchObject({ _tag: "Data", previous, last })
    if (frame._tag === "Data") expect(frame.missing ?? 0).toBe(0)
  })

  it.each([
    ["binance", `{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":${"9".repeat(65)}}}`],
    ["okx", okxTrades([10n ** 64n, 1])],
    ["kraken", krakenTrades(10n ** 64n)],
    ["deribit", deribitTrades(10n ** 64n)]
  ])("%s: are none with more than 64 digits", (name, text) => {
    expect(decodeText(name, text)).toMatchObject({ _tag: "Malformed", reason: "without a sequence id" })
  })
})

describe("properties", () => {
  it("agrees with JSON.parse on every valid frame, however it is written", () => {
    const decoders = new Map(Array.from(symbols.keys(), (name) => [name, decoderOf(name)]))
    FastCheck.assert(
      FastCheck.property(valid, FastCheck.constantFrom(0, 1, 3), ({ expected, frame, name }, indent) => {
        const text = JSON.stringify(frame, null, indent)
        const decoded = decoders.get(name)?.(Buffer.from(text))
        expect(decoded).toMatchObject({ _tag: "Data", ...expected })
        if (decoded?._tag !== "Data") return
        const payload = JSON.parse(Buffer.from(text).subarray(decoded.start, decoded.end).toString())
        expect(payload).toEqual(name === "binance" ? JSON.parse(text).data : JSON.parse(text))
      }),
      { numRuns: 3000 }
    )
  })
})

describe("frames of several streams", () => {
  it("coinbase: trades of two products are a row of each", () => {
    const trade = (product_id: string, trade_id: string) => ({
      trade_id,
      product_id,
      price: "1",
      time: "2026-09-30T02:39:53.5Z"
    })
    const frame = decodeText(
      "coinbase",
      JSON.stringify({
        channel: "market_trades",
        timestamp: "2026-09-30T02:39:54Z",
        sequence_num: 4,
        events: [
          { type: "update", trades: [trade("BTC-USD", "12"), trade("ETH-USD", "5")] },
          { type: "update", trades: [trade("BTC-USD", "11")] }
        ]
      })
    )
    expect(frame).toMatchObject({
      _tag: "Data",
      stream: { symbol: "BTC-USD" },
      exchangeSequenceId: "12-11-2",
      also: [{ stream: { symbol: "ETH-USD" }, exchangeSequenceId: "5" }]
    })
  })

  it("coinbase: a long frame with books of two products is a row of each", () => {
    const event = (product_id: string) => ({
      type: "update",
      product_id,
      updates: Array.from({ length: 10 }, () => ({ side: "bid", price_level: "1", new_quantity: "2" }))
    })
    const frame = decodeText(
      "coinbase",
      JSON.stringify({
        channel: "l2_data",
        timestamp: "2026-09-30T02:39:54Z",
        sequence_num: 4,
        events: [event("BTC-USD"), event("ETH-USD")]
      })
    )
    expect(frame).toMatchObject({
      stream: { symbol: "BTC-USD" },
      also: [{ stream: { symbol: "ETH-USD" }, exchangeSequenceId: "c9-4" }]
    })
  })

  describe("of which one part cannot be read", () => {
    const krakenFrame = (...data: ReadonlyArray<unknown>) =>
      JSON.stringify({ channel: "trade", type: "update", data })
    const krakenTrade = (symbol: string, trade_id: unknown) => ({ symbol, trade_id })
    const levels = Array.from({ length: 20 }, () => ({ side: "bid", price_level: "1", new_quantity: "2" }))

    it.each([
      ["coinbase", coinbaseTrades(trade("BTC-USD", "12"), trade("ETH-USD", null))],
      ["coinbase", coinbaseTrades(trade("ETH-USD", null), trade("BTC-USD", "12"))],
      ["coinbase", coinbaseTrades(trade("BTC-USD", null), trade("ETH-USD", null))],
      ["coinbase", coinbaseFrame("l2_data", book("BTC-USD", levels), book("ETH-USD", {}))],
      ["coinbase", coinbaseFrame("l2_data", book("ETH-USD", null), book("BTC-USD", []))],
      ["coinbase", coinbaseFrame("l2_data", book("BTC-USD", levels), { type: "update", updates: levels })],
      ["kraken", krakenFrame(krakenTrade("BTC/USD", 7), krakenTrade("ETH/USD", null))],
      ["kraken", krakenFrame(krakenTrade("ETH/USD", null), krakenTrade("BTC/USD", 7))]
    ])("%s: all that it may belong to are in doubt: %s", (name, text) => {
      const frame = decodeText(name, text)
      expect(frame._tag).toBe("Malformed")
      expect(frame).not.toHaveProperty("stream")
      if (name === "coinbase") expect(frame).toMatchObject({ counter: 4 })
    })

    it.each([
      ["coinbase", coinbaseTrades(trade("ETH-USD", "5"), trade("ETH-USD", null)), "ETH-USD"],
      ["coinbase", coinbaseFrame("l2_data", book("ETH-USD", {})), "ETH-USD"],
      ["kraken", krakenFrame(krakenTrade("ETH/USD", 5), krakenTrade("ETH/USD", null)), "ETH/USD"]
    ])("%s: only the stream that all of it belongs to: %s", (name, text, symbol) => {
      expect(decodeText(name, text)).toMatchObject({ _tag: "Malformed", stream: { symbol } })
    })
  })

  describe("coinbase: a product that may have the messages of another one", () => {
    const [usd, usdc] = [
      streamOf("coinbase", "X-USD", "orderbook"),
      streamOf("coinbase", "X-USDC", "orderbook")
    ]
    const decoded = (stream: MarketStream, text: string) => decoderOf("coinbase", [stream])(Buffer.from(text))
    const long = Array.from({ length: 50 }, () => ({ side: "bid", price_level: "1", new_quantity: "2" }))

    it.each([[[]], [long]])("gets every message of a book, under either name", (updates) => {
      for (const name of ["X-USD", "X-USDC"]) {
        const frame = decoded(usdc, coinbaseFrame("l2_data", book(name, updates)))
        expect(frame).toMatchObject({ _tag: "Data", stream: usdc, exchangeSequenceId: "c9-4", also: [] })
      }
      expect(decoded(usd, coinbaseFrame("l2_data", book("X-USDC", updates)))).toMatchObject({
        _tag: "Malformed",
        reason: "of a stream that was not asked for"
      })
    })

    it("gets every trade", () => {
      const stream = { ...usdc, dataType: "trade" as const }
      const frame = decoded(stream, coinbaseTrades(trade("X-USD", "12"), trade("X-USD", "11")))
      expect(frame).toMatchObject({ stream, exchangeSequenceId: "12-11-2", also: [] })
    })

    it("is in doubt where a frame cannot be read, and known by either name in answers", () => {
      expect(decoded(usdc, coinbaseFrame("l2_data", book("X-USD", {})))).toMatchObject({
        _tag: "Malformed",
        stream: usdc
      })
      for (const name of ["X-USD", "X-USDC"]) {
        const text = `{"channel":"subscriptions","sequence_num":4,"events":[{"subscriptions":{"level2":["${name}"]}}]}`
        expect(decoded(usdc, text)).toMatchObject({ _tag: "Acknowledged", streams: [usdc] })
      }
    })

    it("is asked for by its own name, ended by both, and on no connection with the other", () => {
      const productsOf = (...of: Parameters<typeof requestsOf>) =>
        requestsOf(...of).map(({ frame, streams }) => ({ products: JSON.parse(frame).product_ids, streams }))
      expect(productsOf("coinbase", [usdc])).toEqual([{ products: ["X-USDC"], streams: [usdc] }])
      expect(productsOf("coinbase", [], [usdc], [])).toEqual([{ products: ["X-USDC", "X-USD"], streams: [] }])
      const fits = (...streams: ReadonlyArray<MarketStream>) =>
        exchangeOf("coinbase").limits.fits(streams, "")
      expect(fits(usd, usdc)).toBe(false)
      expect(fits(usdc, { ...usd, dataType: "trade" })).toBe(false)
      expect(fits(usdc, { ...usdc, dataType: "trade" }, streamOf("coinbase", "Y-USD", "orderbook"))).toBe(
        true
      )
    })
  })
})

describe("upbit", () => {
  const book = (type: string, size: string) =>
    `{"type":"orderbook","code":"KRW-BTC","timestamp":1790134742106,"orderbook_units":[{"ask_price":1.16539E8,"ask_size":${size}}],"stream_type":"${type}","level":0}`
  const idOf = (text: string) => {
    const frame = decodeText("upbit", text)
    return frame._tag === "Data" ? frame.exchangeSequenceId : frame._tag
  }

  it("gives a book that is sent again after a reconnect the same id, and another book another one", () => {
    expect(idOf(book("SNAPSHOT", "0.02"))).toBe(idOf(book("REALTIME", "0.02")))
    expect(idOf(book("REALTIME", "0.03"))).not.toBe(idOf(book("REALTIME", "0.02")))
  })

  it("keeps ids apart that are the same as numbers", () => {
    const trade = (id: string) =>
      `{"type":"trade","code":"KRW-BTC","trade_timestamp":1788335180377,"sequential_id":${id}}`
    expect(idOf(trade("17883351803770004"))).not.toBe(idOf(trade("17883351803770005")))
  })
})

/** Requests for a change, with ids from 1. */
const requestsOf = (
  name: string,
  subscribe: ReadonlyArray<MarketStream>,
  unsubscribe: ReadonlyArray<MarketStream> = [],
  all = subscribe
): ReadonlyArray<Request> => {
  let ids = 0
  return exchangeOf(name).requests({ subscribe, unsubscribe, all }, () => String(++ids))
}

describe("requests", () => {
  it.each([
    [
      "binance",
      '{"method":"SUBSCRIBE","params":["btcusdt@depth20@100ms","btcusdt@trade","btcusdt@depth@100ms","btcusdt@bookTicker","btcusdt@ticker"],"id":1}'
    ],
    [
      "bybit",
      '{"req_id":"1","op":"subscribe","args":["orderbook.50.BTCUSDT","publicTrade.BTCUSDT","tickers.BTCUSDT","orderbook.1.BTCUSDT"]}'
    ],
    [
      "okx",
      '{"id":"1","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"},{"channel":"trades","instId":"BTC-USDT"}]}'
    ],
    ["coinbase", '{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}'],
    [
      "upbit",
      '[{"ticket":"crypto-collector-1"},{"type":"orderbook","codes":["KRW-BTC"]},{"type":"trade","codes":["KRW-BTC"]},{"format":"DEFAULT"}]'
    ],
    [
      "kraken",
      '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":100,"snapshot":true},"req_id":1}'
    ],
    [
      "deribit",
      '{"jsonrpc":"2.0","id":1,"method":"public/subscribe","params":{"channels":["book.BTC-PERPETUAL.100ms","trades.BTC-PERPETUAL.100ms","ticker.BTC-PERPETUAL.100ms","quote.BTC-PERPETUAL","perpetual.BTC-PERPETUAL.100ms"]}}'
    ]
  ])("%s: %s", (name, first) => {
    const streams = streamsOf(name).filter((id) => id.symbol === symbols.get(name)?.[0])
    const requests = requestsOf(name, streams)
    expect(requests[0]?.frame).toBe(first)
    expect(requests.flatMap((request) => request.streams)).toEqual(streams)
  })

  it("bybit: ten topics a request", () => {
    const streams = Array.from({ length: 25 }, (_, i) => streamOf("bybit", `S${i}USDT`, "trade"))
    expect(requestsOf("bybit", streams).map((request) => request.streams.length)).toEqual([10, 10, 5])
  })

  it("upbit: the whole list every time", () => {
    const [first, second] = streamsOf("upbit")
    if (first === undefined || second === undefined) return
    const [request] = requestsOf("upbit", [second], [], [first, second])
    expect(request?.frame).toContain('"orderbook","codes":["KRW-BTC"]')
    expect(request?.frame).toContain('"trade","codes":["KRW-BTC"]')
    expect(request?.streams).toEqual([second])
  })

  it.each(["binance", "bybit", "okx", "coinbase", "kraken", "deribit"])(
    "%s: asks again by ending first",
    (name) => {
      const streams = streamsOf(name).slice(0, 1)
      const requests = requestsOf(name, streams, streams)
      expect(requests.map((request) => request.streams.length)).toEqual([0, 1])
      expect(requests[0]?.frame.toLowerCase()).toContain("unsubscribe")
    }
  )
})

describe("symbols", () => {
  it.each([
    ["coinbase", "btc-usd", "BTC-USD"],
    ["coinbase", "bip-20dec30-cde", "BIP-20DEC30-CDE"],
    ["bybit", "btcusdt", "BTCUSDT"],
    ["okx", "btc-usdt-swap", "BTC-USDT-SWAP"],
    ["okx", "BTC-USDT-271231", "BTC-USDT-271231"],
    ["upbit", "krw-btc", "KRW-BTC"],
    ["kraken", "btc/usd", "BTC/USD"],
    ["kraken", "TSLAx/USD", "TSLAx/USD"],
    ["deribit", "btc-perpetual", "BTC-PERPETUAL"],
    ["deribit", "sol_usdc-perpetual", "SOL_USDC-PERPETUAL"],
    ["deribit", "BTC-5DEC26", "BTC-5DEC26"],
    ["deribit", "btc-25dec26-100000-c", "BTC-25DEC26-100000-C"],
    ["deribit", "XRP_USDC-30JUN27-0d625-C", "XRP_USDC-30JUN27-0d625-C"],
    ["deribit", "BTC-FS-25DEC26_PERP", "BTC-FS-25DEC26_PERP"],
    ["deribit", "btc_usdc", "BTC_USDC"]
  ])("%s %s", (name, text, symbol) => {
    expect(exchangeOf(name).parseSymbol(text)).toEqual(Either.right(symbol))
  })

  it.each([
    ["binance", "BTC-USDT", "btcusdt"],
    ["binance", "ETH/BTC", "ethbtc"],
    ["coinbase", "BTCUSD", "BTC-USD"],
    ["coinbase", "eth/usd", "ETH-USD"],
    ["bybit", "BTC-USDT", "BTCUSDT"],
    ["okx", "btcusdt", "BTC-USDT"],
    ["upbit", "BTCKRW", "KRW-BTC"],
    ["upbit", "KRW/BTC", "KRW-BTC"],
    ["kraken", "BTC-USD", "BTC/USD"],
    ["deribit", "BTC-USDC", "BTC_USDC"],
    ["deribit", "BTCUSDC", "BTC_USDC"]
  ])("%s %s: it says that %s was meant", (name, text, meant) => {
    const parsed = exchangeOf(name).parseSymbol(text)
    expect(Either.getOrThrow(Either.flip(parsed))).toContain(`(did you mean "${meant}"?)`)
  })

  it.each([
    ["coinbase", "BTCUSD"],
    ["bybit", "BTC-USDT"],
    ["okx", "BTCUSDT"],
    ["upbit", "KRW-BTC.15"],
    ["kraken", "BTCUSD"],
    ["kraken", ""]
  ])("%s refuses %s", (name, text) => {
    expect(Either.isLeft(exchangeOf(name).parseSymbol(text))).toBe(true)
  })
})

describe("coinbase", () => {
  it("asks for heartbeats before anything else", () => {
    expect(coinbase.opening).toEqual(['{"type":"subscribe","channel":"heartbeats"}'])
  })
})
