import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import type { MarketStream, MarketType } from "../../src/domain/StreamId.ts"
import { partition } from "../../src/exchange/chunk.ts"
import { binance } from "../../src/exchange/venues/binance.ts"
import { capturedFrames, captureFiles, haveCaptures } from "../support/captures.ts"

const stream = (symbol: string, dataType: MarketType): MarketStream => ({
  exchange: "binance",
  symbol,
  dataType
})
const book = stream("btcusdt", "orderbook")
const trade = stream("btcusdt", "trade")
const decoderOf = (...streams: ReadonlyArray<MarketStream>) =>
  binance.makeDecoder(new Map(streams.map((stream) => [binance.channelOf(stream), stream])), "c1")
const decode = decoderOf(book, trade, stream("btcusdt", "orderbook_diff"), stream("ethusdt", "orderbook"))
const frameOf = (text: string) => decode(Buffer.from(text))
const payloadOf = (text: string) => {
  const frame = frameOf(text)
  return frame._tag === "Data" ? Buffer.from(text).subarray(frame.start, frame.end).toString() : frame
}

describe("combined streams", () => {
  it("cuts the envelope off a partial book and takes the symbol from it", () => {
    const data = '{"lastUpdateId":100530416202,"bids":[["86704.77000000","4.67805000"]],"asks":[]}'
    const text = `{"stream":"btcusdt@depth20@100ms","data":${data}}`
    expect(frameOf(text)).toMatchObject({
      _tag: "Data",
      stream: book,
      exchangeSequenceId: "100530416202",
      exchangeTimestamp: null
    })
    expect(payloadOf(text)).toBe(data)
  })

  it("reads id and trade time of a trade", () => {
    const data =
      '{"e":"trade","E":1789295134226,"s":"BTCUSDT","t":388510,"p":"76745.19","q":"0.00065","T":1789295134225,"m":false,"M":true}'
    expect(frameOf(`{"stream":"btcusdt@trade","data":${data}}`)).toMatchObject({
      stream: trade,
      exchangeSequenceId: "388510",
      exchangeTimestamp: 1789295134225000
    })
    expect(payloadOf(`{"stream":"btcusdt@trade","data":${data}}`)).toBe(data)
  })

  it("keeps microseconds where the connection has them", () => {
    const text = '{"stream":"btcusdt@trade","data":{"e":"trade","t":1,"T":1789295134225123}}'
    expect(frameOf(text)).toMatchObject({ exchangeTimestamp: 1789295134225123 })
  })

  it("tolerates white space, other members and another order of the payload's members", () => {
    const data = '{ "asks" : [ ] , "x" : {"lastUpdateId":9}, "bids":["}}"], "lastUpdateId" : 77 }'
    const text = ` { "stream" : "btcusdt@depth20@100ms" , "data" : ${data} } \n`
    expect(frameOf(text)).toMatchObject({ stream: book, exchangeSequenceId: "77" })
    expect(payloadOf(text)).toBe(data)
  })

  it("does not take members behind the payload for a part of it", () => {
    const text = '{"stream":"btcusdt@trade","data":{"t":5,"T":1},"more":{"a":{}}}'
    expect(payloadOf(text)).toBe('{"t":5,"T":1}')
    const data = `{"lastUpdateId":7,"bids":[${'["1.00000000","2.00000000"],'.repeat(40).slice(0, -1)}],"asks":[]}`
    for (const more of [',"more":1', ' , "more" : {} ', ',"more":"}"']) {
      expect(payloadOf(`{"stream":"btcusdt@depth20@100ms","data":${data}${more}}`)).toBe(data)
    }
  })
})

describe("raw connections", () => {
  const raw = '{"lastUpdateId":7,"bids":[],"asks":[]}'

  it("knows a book without a symbol by its being the only one", () => {
    const only = decoderOf(book, trade)
    expect(only(Buffer.from(raw))).toMatchObject({ _tag: "Data", stream: book, exchangeSequenceId: "7" })
  })

  it("never guesses between two books", () => {
    expect(frameOf(raw)).toEqual({ _tag: "Malformed", reason: "without a symbol" })
  })

  it("knows a trade by its symbol", () => {
    expect(frameOf('{"e":"trade","s":"BTCUSDT","t":3,"T":1}')).toMatchObject({ stream: trade })
    expect(frameOf('{"e":"trade","s":"XRPUSDT","t":3,"T":1}')).toMatchObject({ _tag: "Malformed" })
  })

  it("asks for one book a connection", () => {
    const symbols = ["a1", "b1", "c1"]
    const streams = symbols.flatMap((symbol) => [stream(symbol, "orderbook"), stream(symbol, "trade")])
    const partsFor = (url: string) => partition(streams, (part) => binance.limits.fits(part, url))
    const parts = partsFor("ws://127.0.0.1:1/ws")
    expect(parts.flat()).toHaveLength(6)
    expect(parts.map((part) => part.filter((of) => of.dataType === "orderbook").length)).toEqual([1, 1, 1])
    expect(partsFor("ws://127.0.0.1:1/stream")).toHaveLength(1)
  })
})

describe("frames that carry no data", () => {
  it.each([
    ['{"result":null,"id":1}', { _tag: "Acknowledged", request: "1" }],
    ['{"error":{"code":2,"msg":"Invalid request"},"id":20}', { _tag: "Refused", request: "20" }],
    ['{"code":3,"msg":"Invalid JSON: x"}', { _tag: "Refused", request: null, reason: "Invalid JSON: x" }],
    ['{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}', { _tag: "Closing" }],
    ['{"e":"serverShutdown","E":1}', { _tag: "Closing" }],
    ["", { _tag: "Malformed", reason: "not a JSON object" }],
    ["hello", { _tag: "Malformed" }],
    ["[1]", { _tag: "Malformed" }],
    ["{}", { _tag: "Malformed" }],
    ['{"stream":"btcusdt@trade","data":{"e":"trade","t":5', { _tag: "Malformed" }],
    [
      '{"stream":"btcusdt@trade","data":{"e":"trade"}}',
      { _tag: "Malformed", reason: "without a sequence id" }
    ],
    ['{"stream":"btcusdt@trade","data":{"t":[5]}}', { _tag: "Malformed", reason: "without a sequence id" }],
    ['{"stream":"btcusdt@trade","data":{"t":1.5}}', { _tag: "Malformed" }],
    ['{"stream":"btcusdt@trade","data":{"t":-1}}', { _tag: "Malformed" }],
    [
      '{"stream":"dogeusdt@trade","data":{"t":5}}',
      { _tag: "Malformed", reason: "of a stream that was not asked for" }
    ],
    ['{"foo":1}', { _tag: "Malformed", reason: "of an unknown shape" }]
  ])("%s", (text, expected) => {
    expect(frameOf(text)).toMatchObject(expected)
  })

  it("refuses bytes that are no UTF-8", () => {
    const bytes = Buffer.from('{"stream":"btcusdt@trade","data":{"t":1,"p":"x"}}')
    bytes[bytes.indexOf("x")] = 0xff
    expect(decode(bytes)).toEqual({ _tag: "Malformed", reason: "not UTF-8" })
  })
})

describe("subscribing", () => {
  it("respects the limits of a connection", () => {
    const streams = Array.from({ length: 3000 }, (_, i) => stream(`s${i}usdt`, "orderbook"))
    const parts = partition(streams, (part) => binance.limits.fits(part, binance.url))
    expect(parts.map((part) => part.length)).toEqual([1024, 1024, 952])
    expect(parts.flat()).toEqual(streams)
    let ids = 0
    const all = parts[0] ?? []
    const requests = binance.requests({ subscribe: all, unsubscribe: [], all }, () => String(++ids))
    expect(requests.flatMap((request) => request.streams)).toEqual(parts[0])
    expect(new Set(requests.map((request) => request.id)).size).toBe(requests.length)
  })

  it("spells symbols in lower case, and refuses what is none", () => {
    expect(binance.parseSymbol("BTCUSDT")).toEqual(Either.right("btcusdt"))
    expect(Either.isLeft(binance.parseSymbol("btc/usdt"))).toBe(true)
    expect(Either.isLeft(binance.parseSymbol(""))).toBe(true)
  })
})

const json = FastCheck.jsonValue({ maxDepth: 3, noUnicodeString: false })
const members = FastCheck.dictionary(FastCheck.string({ maxLength: 8 }), json, { maxKeys: 6 })
const id = FastCheck.nat({ max: Number.MAX_SAFE_INTEGER })

describe("properties", () => {
  it("agrees with JSON.parse on every valid frame", () => {
    FastCheck.assert(
      FastCheck.property(members, members, id, id, FastCheck.boolean(), (before, after, t, time, pretty) => {
        const data = { ...before, ...after, t, T: time }
        const text = JSON.stringify({ stream: "btcusdt@trade", data }, null, pretty ? 2 : 0)
        const frame = frameOf(text)
        expect(frame).toMatchObject({ _tag: "Data", stream: trade, exchangeSequenceId: String(t) })
        if (frame._tag === "Data") {
          const payload = Buffer.from(text).subarray(frame.start, frame.end).toString()
          expect(JSON.parse(payload)).toEqual(JSON.parse(text).data)
        }
      }),
      { numRuns: 500 }
    )
  })

  it("agrees with JSON.parse whatever the order of the members, and whatever others there are", () => {
    const books = ["bids", "asks"].map(
      (side) => [side, Array(30).fill(["1.00000000", "2.00000000"])] as const
    )
    const payloads: ReadonlyArray<
      readonly [MarketStream, ReadonlyArray<readonly [string, unknown]>, string]
    > = [
      [book, [["lastUpdateId", 77], ...books], "77"],
      [
        trade,
        [
          ["e", "trade"],
          ["s", "BTCUSDT"],
          ["t", 5],
          ["T", 9]
        ],
        "5"
      ],
      [
        stream("btcusdt", "orderbook_diff"),
        [["e", "depthUpdate"], ["s", "BTCUSDT"], ["U", 3], ["u", 4], ["E", 9], ...books],
        "3-4"
      ]
    ]
    const known = ["stream", "data", "lastUpdateId", "e", "s", "t", "T", "U", "u", "E", "__proto__"]
    const others = FastCheck.dictionary(
      FastCheck.string({ maxLength: 5 }).filter((key) => !known.includes(key)),
      json,
      { maxKeys: 3 }
    )
    const only = decoderOf(...payloads.map(([of]) => of))
    const shuffled = <A>(items: ReadonlyArray<A>) =>
      FastCheck.shuffledSubarray([...items], { minLength: items.length, maxLength: items.length })
    const cases = FastCheck.tuple(
      FastCheck.constantFrom(...payloads),
      others,
      others,
      FastCheck.boolean()
    ).chain(([[of, payload, id], within, around, isRaw]) =>
      FastCheck.tuple(
        shuffled([...payload, ...Object.entries(within)]),
        shuffled([["stream", binance.channelOf(of)], ["data", null], ...Object.entries(around)]),
        FastCheck.constantFrom("", " ", "\n\t")
      ).map(([inner, outer, space]) => {
        const object = (members: ReadonlyArray<readonly [unknown, string]>) =>
          `{${members.map(([key, value]) => `${space}${JSON.stringify(key)}${space}:${space}${value}`).join(`${space},`)}${space}}`
        const data = object(inner.map(([key, value]) => [key, JSON.stringify(value)]))
        const text = isRaw
          ? data
          : object(outer.map(([key, value]) => [key, key === "data" ? data : JSON.stringify(value)]))
        return { of, id, data, text }
      })
    )
    FastCheck.assert(
      FastCheck.property(cases, ({ data, id, of, text }) => {
        const bytes = Buffer.from(text)
        const frame = only(bytes)
        expect(frame).toMatchObject({ _tag: "Data", stream: of, exchangeSequenceId: id })
        if (frame._tag !== "Data") return
        expect(bytes.subarray(frame.start, frame.end).toString()).toBe(data)
        expect(JSON.parse(data)).toEqual(JSON.parse(text).data ?? JSON.parse(text))
      }),
      { numRuns: 2000 }
    )
  })

  it("never throws, whatever the bytes are", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(decode(Buffer.from(bytes))._tag).toBeTypeOf("string")
      }),
      { numRuns: 2000 }
    )
  })

  it("never throws on a cut or mutated frame, and never takes a cut one for data", () => {
    const text =
      '{"stream":"btcusdt@trade","data":{"e":"trade","E":1789295134226,"s":"BTCUSDT","t":388510,"p":"7\\"1","T":1789295134225,"m":{"a":[1,{}]}}}'
    for (let end = 0; end < text.length; end++) expect(frameOf(text.slice(0, end))._tag).not.toBe("Data")
    FastCheck.assert(
      FastCheck.property(FastCheck.nat({ max: text.length - 1 }), FastCheck.nat({ max: 255 }), (at, byte) => {
        const bytes = Buffer.from(text)
        bytes[at] = byte
        expect(decode(bytes)._tag).toBeTypeOf("string")
      }),
      { numRuns: 2000 }
    )
  })
})

describe.skipIf(!haveCaptures)("recorded traffic (skipped where the captures are missing)", () => {
  const symbols = ["nknusdt", "btcusdt", "ethusdt", "flmusdt"]
  const all = symbols.flatMap((symbol) => [stream(symbol, "orderbook"), stream(symbol, "trade")])
  const count = (file: string, decoder = decoderOf(...all)) => {
    const tags: Record<string, number> = {}
    for (const text of capturedFrames(file)) {
      const frame = decoder(Buffer.from(text))
      const key = frame._tag === "Data" ? `${frame.stream.symbol} ${frame.stream.dataType}` : frame._tag
      tags[key] = (tags[key] ?? 0) + 1
    }
    return tags
  }

  it("reads the partial books and trades", () => {
    expect(count("binance/spot_testnet_2026-09.jsonl")).toMatchInlineSnapshot(`
      {
        "Malformed": 12,
        "btcusdt trade": 5,
      }
    `)
    expect(count("binance/spot_isolated_2026-09.jsonl")).toMatchInlineSnapshot(`
      {
        "Acknowledged": 3,
        "Malformed": 4,
        "Refused": 1,
        "btcusdt trade": 1,
      }
    `)
  })

  it("loses no frame of any capture: each is data, control, or counted as not asked for", () => {
    const total = captureFiles("binance")
      .filter((file) => !file.endsWith("_rest_depth.jsonl"))
      .flatMap((file) => [capturedFrames(file).length, Object.values(count(file)).reduce((a, b) => a + b, 0)])
    expect(total.filter((_, i) => i % 2 === 0)).toEqual(total.filter((_, i) => i % 2 === 1))
  })

  it("keeps every payload byte for byte", () => {
    for (const text of capturedFrames("binance/spot_partial_depth_isolated.jsonl")) {
      const decoder = decoderOf(...["flmusdt", "btcusdt"].map((symbol) => stream(symbol, "orderbook")))
      const frame = decoder(Buffer.from(text))
      if (frame._tag !== "Data") continue
      const payload = Buffer.from(text).subarray(frame.start, frame.end).toString()
      expect(text).toBe(`{"stream":"${frame.stream.symbol}@depth20@100ms","data":${payload}}`)
    }
  })
})
