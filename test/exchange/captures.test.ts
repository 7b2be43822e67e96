import { describe, expect, it } from "@effect/vitest"
import { plus } from "../../src/domain/Integer.ts"
import type { MarketStream } from "../../src/domain/StreamId.ts"
import { advance, type Continuity, judge, nothingSeen } from "../../src/exchange/Continuity.ts"
import type { Data, Exchange, Frame } from "../../src/exchange/Exchange.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import { capturedFrames, capturedOf, captureFiles, haveCaptures } from "../support/captures.ts"
import { streamOf } from "./harness.ts"

/** The symbols of each exchange's captures, in its spelling. */
const symbols = new Map([
  [
    "binance",
    [
      "nknusdt",
      "blzeth",
      "lrcbtc",
      "runeeur",
      "btcusdt",
      "ethusdt",
      "crvusdt",
      "compusdt",
      "omgbusd",
      "zrxusdt"
    ]
  ],
  ["coinbase", ["BTC-USD", "ETH-USD"]],
  ["bybit", ["BTCUSDT", "BTCUSDC", "XRPUSDT"]],
  ["okx", ["BTC-USDT", "BTC-USDT-SWAP", "BTC-USD-220527", "UNI-USD-SWAP"]],
  [
    "upbit",
    [
      ...["BTC-ARK", "BTC-FCT2", "BTC-STPT", "BTC-ITAM", "BTC-MARO", "KRW-WAVES", "BTC-AQT", "BTC-XTZ"],
      ...["KRW-LAMB", "BTC-PAX", "KRW-BTC", "KRW-DOT", "KRW-DOGE", "USDT-ETC"]
    ]
  ],
  ["kraken", ["BTC/USD", "ETH/USD"]],
  [
    "deribit",
    [
      ...["BTC-PERPETUAL", "BTC_USDT", "BTC-24SEP21-8000-P", "BTC-24SEP21-34000-P", "BTC-25MAR22-30000-C"],
      ...["BTC-24JUN22-15000-C", "BTC-30JUL21-24000-P", "BTC-31DEC21-34000-P", "BTC-31DEC21-300000-C"],
      ...["ETH-23JUL21-2300-C", "ETH-27AUG21-4000-P", "ETH-30JUL21-2800-C"]
    ]
  ]
])

/** Captures of other interfaces of the same exchange: nothing in them is for this decoder. */
const others = /exchange_feed|_rest_depth/

const decoderOf = (exchange: Exchange) => {
  const streams = (symbols.get(exchange.name) ?? []).flatMap((symbol) =>
    exchange.dataTypes.map((dataType) => streamOf(exchange.name, symbol, dataType))
  )
  return exchange.makeDecoder(new Map(streams.map((id) => [exchange.channelOf(id), id])), "c0")
}

/** Deribit's channels were recorded at another interval, which now needs a login. */
const framesOf = (exchange: Exchange, file: string) => {
  const decode = decoderOf(exchange)
  return capturedFrames(file)
    .map((text) => (exchange.name === "deribit" ? text.replaceAll('.raw"', '.100ms"') : text))
    .map((text) => ({ text, frame: decode(Buffer.from(text)) }))
}

const captured = capturedOf(exchanges.keys()).flatMap((name) => {
  const exchange = exchanges.get(name)
  return exchange === undefined ? [] : [[name, exchange] as const]
})

const isData = (frame: Frame): frame is Data => frame._tag === "Data"

describe.skipIf(!haveCaptures)("recorded traffic (skipped where the captures are missing)", () => {
  it.each(captured)(
    "%s: every frame of every capture is data, control, or unknown for a reason",
    (name, exchange) => {
      const counts = Object.fromEntries(
        captureFiles(name)
          .filter((file) => !others.test(file))
          .map((file) => {
            const tally: Record<string, number> = {}
            for (const { frame } of framesOf(exchange, file)) {
              const key = isData(frame)
                ? `${frame.stream.dataType}${frame.snapshot ? " snapshot" : ""}`
                : frame._tag === "Malformed"
                  ? `unknown: ${frame.reason}`
                  : frame._tag
              tally[key] = (tally[key] ?? 0) + 1
            }
            return [file, tally]
          })
      )
      for (const [file, tally] of Object.entries(counts)) {
        expect(Object.values(tally).reduce((sum, count) => sum + count, 0)).toBe(capturedFrames(file).length)
      }
      expect(counts).toMatchSnapshot()
    }
  )

  it.each(captured)("%s: what is read agrees with JSON.parse", (name, exchange) => {
    for (const file of captureFiles(name).filter((file) => !others.test(file))) {
      for (const { frame, text } of framesOf(exchange, file)) {
        if (!isData(frame)) continue
        const payload = Buffer.from(text).subarray(frame.start, frame.end).toString()
        expect(text).toContain(payload)
        expect(JSON.parse(payload)).toBeTypeOf("object")
        expect(text.toUpperCase()).toContain(frame.stream.symbol.toUpperCase())
        for (const number of frame.exchangeSequenceId.match(/\d{6,}/g) ?? []) {
          if (!/^(upbit|kraken|deribit)\//.test(file)) expect(text).toContain(number)
        }
        if (frame.exchangeTimestamp !== null) {
          expect(new Date(frame.exchangeTimestamp / 1000).getUTCFullYear()).toBeGreaterThanOrEqual(2021)
        }
      }
    }
  })

  /** The gaps that each stream's rule finds in a capture of one connection. */
  const gapsIn = (exchange: Exchange, file: string) => {
    const seen = new Map<MarketStream | "connection", Continuity>()
    const gaps: Array<string> = []
    const step = (key: MarketStream | "connection", kind: Parameters<typeof judge>[0], place: Data) => {
      const before = seen.get(key) ?? nothingSeen
      const verdict = judge(kind, before, place)
      seen.set(key, advance(before, place, verdict))
      if (verdict._tag !== "Continues" && verdict._tag !== "Restarted") gaps.push(verdict._tag)
    }
    for (const { frame } of framesOf(exchange, file)) {
      if (isData(frame)) {
        const rule = exchange.continuity(frame.stream.dataType)
        if (rule.kind !== "none" && rule.scope === "connection")
          step("connection", "counter", { ...frame, snapshot: false })
        else step(frame.stream, rule.kind, frame)
      } else if (frame.counter !== undefined) {
        const before = seen.get("connection") ?? nothingSeen
        const place = { previous: plus(frame.counter, -1), last: frame.counter, snapshot: false }
        const verdict = judge("counter", before, place)
        seen.set("connection", advance(before, place, verdict))
        if (verdict._tag !== "Continues") gaps.push(verdict._tag)
      }
    }
    return { gaps, streams: seen.size }
  }

  it.each([
    ["binance", "binance/spot_diff_2021.jsonl"],
    ["binance", "binance/us_diff_2021.jsonl"],
    ["binance", "binance/us_diff_2026-08.jsonl"],
    ["binance", "binance/spot_testnet_2026-09.jsonl"],
    ["coinbase", "coinbase/advanced_2026-09.jsonl"],
    ["coinbase", "coinbase/advanced_level2_2026-08.jsonl"],
    ["bybit", "bybit/v5_spot_orderbook50_2026-08.jsonl"],
    ["bybit", "bybit/v5_spot_testnet_2026-09.jsonl"],
    ["okx", "okx/v5_books_spot_2026-08.jsonl"],
    ["okx", "okx/v5_swap_books_bbo_2026-09.jsonl"],
    ["deribit", "deribit/v2_2021.jsonl"]
  ])("%s: nothing is missing in %s", (name, file) => {
    const exchange = exchanges.get(name)
    if (exchange === undefined) return
    const { gaps, streams } = gapsIn(exchange, file)
    expect(gaps).toEqual([])
    expect(streams).toBeGreaterThan(0)
  })

  it.each([
    ["binance", "binance/us_diff_2026-08.jsonl", 1],
    ["coinbase", "coinbase/advanced_2026-09.jsonl", 1],
    ["bybit", "bybit/v5_spot_orderbook50_2026-08.jsonl", 1],
    ["okx", "okx/v5_books_spot_2026-08.jsonl", 1]
  ])("%s: a frame that is left out of %s is found missing", (name, file, expected) => {
    const exchange = exchanges.get(name)
    if (exchange === undefined) return
    const decode = decoderOf(exchange)
    const frames = capturedFrames(file)
    const kind = exchange.continuity(name === "binance" ? "orderbook_diff" : "orderbook").kind
    for (let left = 3; left < frames.length - 1; left++) {
      let seen: Continuity = nothingSeen
      let gaps = 0
      frames.forEach((text, i) => {
        const frame = decode(Buffer.from(text))
        if (i === left) return
        const place = isData(frame)
          ? frame
          : frame.counter === undefined
            ? undefined
            : { previous: plus(frame.counter, -1), last: frame.counter, snapshot: false }
        if (place === undefined) return
        const verdict = judge(kind, seen, place)
        seen = advance(seen, place, verdict)
        if (verdict._tag === "Gap") gaps++
      })
      expect(gaps).toBe(expected)
    }
  })
})
