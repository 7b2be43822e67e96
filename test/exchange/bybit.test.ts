import { describe, expect, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { contentHash } from "../../src/domain/contentHash.ts"
import { fetchInstruments } from "../../src/exchange/fetchInstruments.ts"
import { bybit, bybitInverse, bybitLinear } from "../../src/exchange/venues/bybit.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { capturedFrames, haveCaptures } from "../support/captures.ts"
import { streamOf } from "./harness.ts"

const decoderOf = (exchange: typeof bybit, symbol: string, connection = "c9") =>
  exchange.makeDecoder(
    new Map(
      exchange.dataTypes
        .map((dataType) => streamOf(exchange.name, symbol, dataType))
        .map((id) => [exchange.channelOf(id), id])
    ),
    connection
  )

const decoded = (exchange: typeof bybit, text: string, symbol = "BTCUSDT", connection = "c9") =>
  decoderOf(exchange, symbol, connection)(Buffer.from(text))

const idOf = (exchange: typeof bybit, text: string, symbol = "BTCUSDT", connection = "c9") => {
  const frame = decoded(exchange, text, symbol, connection)
  return frame._tag === "Data" ? frame.exchangeSequenceId : frame._tag
}

const ticker = (type: string, data = { symbol: "BTCUSDT", markPrice: "1" }, ts = 1788335009483) =>
  JSON.stringify({ topic: "tickers.BTCUSDT", type, data, cs: 24987956059, ts })

describe("tickers", () => {
  it("of futures are whole at the start of a subscription, and then changes", () => {
    const whole = ticker("snapshot")
    expect(decoded(bybitLinear, whole)).toMatchObject({
      stream: { dataType: "ticker" },
      snapshot: true,
      exchangeTimestamp: 1788335009483000
    })
    expect(idOf(bybitLinear, whole)).toMatch(/^snapshot-c9-1788335009483-[0-9a-f]{8}$/)
    expect(idOf(bybitLinear, whole, "BTCUSDT", "c10")).not.toBe(idOf(bybitLinear, whole))
    const change = ticker("delta")
    expect(decoded(bybitLinear, change)).toMatchObject({ snapshot: false })
    expect(idOf(bybitLinear, change)).toMatch(/^1788335009483-[0-9a-f]{8}$/)
    expect(idOf(bybitLinear, change, "BTCUSDT", "c10")).toBe(idOf(bybitLinear, change))
    // Two of one millisecond.
    const other = ticker("delta", { symbol: "BTCUSDT", markPrice: "2" })
    expect(idOf(bybitLinear, other)).not.toBe(idOf(bybitLinear, change))
  })

  it("of spot are whole, each of them news", () => {
    expect(decoded(bybit, ticker("snapshot"))).toMatchObject({ snapshot: false })
  })

  it("without a time leave their stream in doubt", () => {
    const { ts: _, ...frame } = JSON.parse(ticker("delta"))
    expect(decoded(bybitLinear, JSON.stringify(frame))).toMatchObject({
      _tag: "Malformed",
      reason: "without a sequence id",
      stream: { dataType: "ticker" }
    })
  })
})

const item = { T: 1739502302929, s: "BTCUSDT", S: "Sell", v: "20000", p: "0.04499" }
const liquidations = (data: unknown, ts = 1739502303204) =>
  JSON.stringify({ topic: "allLiquidation.BTCUSDT", type: "snapshot", ts, data })

describe("liquidations", () => {
  it("have an id by all that they say, whenever they are sent", () => {
    expect(decoded(bybitLinear, liquidations([item, { ...item, T: 1739502302930 }]))).toMatchObject({
      stream: { dataType: "liquidation" },
      snapshot: false,
      exchangeTimestamp: 1739502302930000
    })
    const one = liquidations([item])
    expect(idOf(bybitLinear, one)).toMatch(/^1739502302929-[0-9a-f]{8}$/)
    expect(idOf(bybitLinear, liquidations([item], 1739502303999))).toBe(idOf(bybitLinear, one))
    const others = [[{ ...item, S: "Buy" }], [{ ...item, v: "1" }], [{ ...item, p: "1" }], [item, item]]
    const ids = new Set([[item], ...others].map((data) => idOf(bybitLinear, liquidations(data))))
    expect(ids.size).toBe(others.length + 1)
  })

  it.each([[[]], [{}], [[{ ...item, T: "x" }]], [null], [["x"]]])(
    "leave their stream in doubt with %s",
    (data) => {
      expect(decoded(bybitLinear, liquidations(data))).toMatchObject({
        _tag: "Malformed",
        stream: { dataType: "liquidation" }
      })
    }
  )
})

describe("the best bid and offer", () => {
  const best = (u: number, seq: number, ts: number) =>
    `{"topic":"orderbook.1.BTCUSDT","ts":${ts},"type":"snapshot","data":{"s":"BTCUSDT","b":[["1","2"]],"a":[["3","4"]],"u":${u},"seq":${seq}},"cts":1789299665782}`

  it("that has not changed is the same message, sent again", () => {
    const texts = [best(1980707, 2189232186, 1789299665824), best(1980707, 2189232186, 1789299668914)]
    for (const exchange of [bybit, bybitLinear, bybitInverse]) {
      expect(texts.map((text) => idOf(exchange, text))).toEqual(["1980707-2189232186", "1980707-2189232186"])
      const [first, second] = texts.map((text) => contentHash(exchange.name, Buffer.from(text)))
      expect(second).toBe(first)
    }
    // Seen on the test network: the same `u` with another `seq`.
    expect(idOf(bybit, best(1980707, 2189232195, 1789299668914))).toBe("1980707-2189232195")
    expect(decoded(bybit, texts[0] ?? "")).toMatchObject({
      snapshot: false,
      last: Number.NaN,
      exchangeTimestamp: 1789299665782000
    })
  })
})

describe("trades of futures", () => {
  it("are named by UUIDs", () => {
    const trade = (i: string) => ({ T: 1672304486865, s: "BTCUSDT", S: "Buy", v: "0.001", p: "16578.50", i })
    const text = (...ids: ReadonlyArray<string>) =>
      JSON.stringify({
        topic: "publicTrade.BTCUSDT",
        type: "snapshot",
        ts: 1672304486868,
        data: ids.map(trade)
      })
    const [a, b] = ["20f43950-d8dd-5b31-9112-a178eb6023af", "5ddb0ad9-4ed6-5a0b-bf1d-7e6d6cbe4c1f"]
    expect(idOf(bybitLinear, text(a))).toBe(a)
    expect(idOf(bybitLinear, text(a, b))).toBe(`${a}-${b}-2`)
  })
})

describe.skipIf(!haveCaptures)("a linear book (skipped where the captures are missing)", () => {
  it("has `type` before `ts`, and numbers that increase by one", () => {
    const decode = decoderOf(bybitLinear, "XRPUSDT")
    const frames = capturedFrames("bybit/v5_linear_orderbook500_2024-12.jsonl").map((text) =>
      decode(Buffer.from(text.replace("orderbook.500", "orderbook.50")))
    )
    expect(frames.length).toBe(30)
    let last: unknown
    for (const frame of frames) {
      expect(frame).toMatchObject({ _tag: "Data", stream: { symbol: "XRPUSDT", dataType: "orderbook" } })
      if (frame._tag !== "Data") continue
      if (last !== undefined) expect(frame.previous).toBe(last)
      expect(frame.snapshot).toBe(last === undefined)
      last = frame.last
    }
  })
})

describe("answers on futures' connections", () => {
  it("to a request have no text, and differ from those to a ping", () => {
    expect(
      decoded(bybitLinear, '{"success":true,"ret_msg":"","conn_id":"d9","req_id":"4","op":"subscribe"}')
    ).toMatchObject({ _tag: "Acknowledged", request: "4", streams: null })
    expect(
      decoded(bybitLinear, '{"success":true,"ret_msg":"pong","conn_id":"d9","req_id":"","op":"ping"}')
    ).toMatchObject({ _tag: "Pong" })
  })

  it("name a refused topic of a dated contract", () => {
    expect(
      decoded(
        bybitLinear,
        '{"success":false,"ret_msg":"error:handler not found,topic:tickers.BTCUSDT-25DEC26","conn_id":"d9","req_id":"4","op":"subscribe"}',
        "BTCUSDT-25DEC26"
      )
    ).toMatchObject({ _tag: "Refused", streams: [{ symbol: "BTCUSDT-25DEC26", dataType: "ticker" }] })
  })
})

describe("requests", () => {
  it("for futures have no limit on topics, but connections have one on characters", () => {
    const streams = Array.from({ length: 250 }, (_, i) => streamOf("bybit_linear", `S${i}USDT`, "trade"))
    const requests = bybitLinear.requests({ subscribe: streams, unsubscribe: [], all: streams }, () => "1")
    expect(requests.map((request) => request.streams.length)).toEqual([100, 100, 50])
    const long = Array.from({ length: 400 }, (_, i) =>
      streamOf("bybit_linear", `${i}`.padEnd(40, "X"), "liquidation")
    )
    expect(bybitLinear.limits.fits(long, bybitLinear.url)).toBe(false)
    expect(bybitLinear.limits.fits(long.slice(0, 300), bybitLinear.url)).toBe(true)
  })
})

describe("symbols", () => {
  it.each([
    [bybitLinear, "btcusdt", "BTCUSDT"],
    [bybitLinear, "BTCPERP", "BTCPERP"],
    [bybitLinear, "btcusdt-25dec26", "BTCUSDT-25DEC26"],
    [bybitLinear, "BTC-1JAN27", "BTC-1JAN27"],
    [bybitInverse, "btcusdz26", "BTCUSDZ26"]
  ] as const)("%s %s", (exchange, text, symbol) => {
    expect(exchange.parseSymbol(text)).toEqual(Either.right(symbol))
  })

  it("with a separator are none", () => {
    for (const exchange of [bybitLinear, bybitInverse]) {
      expect(Either.getLeft(exchange.parseSymbol("BTC-USD"))).toMatchObject({
        value: expect.stringContaining('did you mean "BTCUSD"?')
      })
    }
  })
})

describe("the list", () => {
  it.scopedLive("of futures is read page by page", () =>
    Effect.gen(function* () {
      const symbols = Array.from({ length: 2_500 }, (_, i) => `S${i}USDT`)
      const simulator = yield* Simulator.make({ exchange: "bybit_linear", symbols })
      const found = yield* fetchInstruments(bybitLinear, simulator.httpUrl("/"))
      expect(found.map(({ symbol }) => symbol)).toEqual(symbols)
    })
  )

  it("goes on while there is a cursor, which is encoded already", () => {
    const { nextPage, refusal } = bybitLinear.instruments
    const first = "/v5/market/instruments-info?category=linear&limit=1000"
    const second = nextPage?.(first, '],"nextPageCursor":"first%3DA%26last%3DB"},"retExtInfo":{}}')
    expect(second).toBe(`${first}&cursor=first%3DA%26last%3DB`)
    expect(nextPage?.(second ?? "", '],"nextPageCursor": "a=b"}}')).toBe(`${first}&cursor=a%3Db`)
    expect(nextPage?.(first, '],"nextPageCursor":""},"retExtInfo":{}}')).toBeUndefined()
    expect(nextPage?.(first, '{"symbol":"X"}]}}')).toBeUndefined()
    expect(refusal?.test('{"retCode":10006,"retMsg":"Too many visits!","result":{}}')).toBe(true)
    expect(refusal?.test('{"retCode":0,"retMsg":"OK","result":{"list":[{"retCode":1}]}}')).toBe(false)
  })

  it.each([
    ["Trading", "traded"],
    ["PreLaunch", "resting"],
    ["PendingOpen", "resting"],
    ["Settling", "resting"],
    ["Delivering", "resting"],
    ["Closed", "ended"]
  ])("%s: %s", (status, state) => {
    expect(bybitLinear.instruments.read(JSON.stringify({ symbol: "BTCUSDT", status }))).toEqual(
      Either.right({ symbol: "BTCUSDT", state })
    )
  })
})

describe("the status feed", () => {
  it("is at the same host, whatever the category", () => {
    for (const exchange of [bybit, bybitLinear, bybitInverse]) {
      expect(exchange.statusFeed?.urlOf(exchange.url)).toBe("wss://stream.bybit.com/v5/public/misc/status")
    }
    expect(bybitLinear.statusFeed?.urlOf("wss://else.where/linear")).toBeUndefined()
  })
})
