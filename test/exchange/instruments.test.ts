import { createServer } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { createServer as createTcpServer, type Server } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { makeJsonItems } from "../../src/exchange/decoding/jsonItems.ts"
import { fetchInstruments } from "../../src/exchange/fetchInstruments.ts"
import { nearSymbols } from "../../src/exchange/instruments.ts"
import type { ListRequest } from "../../src/exchange/ListRequest.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { freePort, makeFolder } from "../support/process.ts"
import { makeCertificate, opensslMissing } from "../support/tls.ts"

const exchangeOf = (name: string) => {
  const exchange = exchanges.get(name)
  if (exchange === undefined) throw new Error(`no exchange ${name}`)
  return exchange
}

const pathOf = (request: ListRequest) => (typeof request === "string" ? request : request.path)

/** Answers requests with texts, in as many pieces as wanted. */
const answering = (answer: (path: string) => string, pieces = 1) =>
  Effect.acquireRelease(
    Effect.async<{ readonly url: string; readonly close: () => void }>((resume) => {
      const server = createServer((request, response) => {
        const bytes = Buffer.from(answer(request.url ?? ""))
        const size = Math.ceil(bytes.length / pieces) || 1
        response.writeHead(200)
        for (let at = 0; at < bytes.length; at += size) response.write(bytes.subarray(at, at + size))
        response.end()
      }).listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, close: () => server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const serving = (text: string, pieces = 1) => answering(() => text, pieces)

describe("the objects in a list", () => {
  const inObject = (items: ReadonlyArray<unknown>) => ({ code: [{}], data: items, more: "]}" })

  it.prop(
    "are found whole, wherever it is cut into pieces",
    [
      FastCheck.array(FastCheck.dictionary(FastCheck.string(), FastCheck.jsonValue())),
      FastCheck.nat({ max: 50 })
    ],
    ([list, size]) => {
      const texts = list.map((item) => JSON.stringify(item))
      for (const [value, depth, before] of [
        [list, 1, 0],
        [inObject(list), 2, 1]
      ] as const) {
        const bytes = Buffer.from(JSON.stringify(value))
        const items = makeJsonItems(depth)
        const found: Array<string> = []
        let isEarly = false
        for (let at = 0; at < bytes.length; at += size + 1) {
          isEarly ||= items.isWhole()
          found.push(...items.take(bytes.subarray(at, at + size + 1)))
        }
        expect(isEarly).toBe(false)
        expect(found.slice(before)).toEqual(texts)
        expect(items.isWhole()).toBe(true)
      }
    }
  )
})

describe("what an exchange lists", () => {
  it.scopedLive.each([
    [
      "binance",
      {
        rateLimits: [{ limit: 1 }],
        symbols: ["TRADING", "BREAK", "CANCEL_ONLY", "HALT", "SOMETHING_NEW"].map((status) => ({
          symbol: status.replace("_", ""),
          status,
          filters: [{ symbol: "NOT" }]
        }))
      },
      ["trading", "cancelonly", "halt", "somethingnew"],
      ["break"]
    ],
    [
      "coinbase",
      {
        products: [
          { product_id: "BTC-USD", status: "online", alias: "" },
          { product_id: "BTC-USDC", status: "online", alias: "BTC-USD" },
          { product_id: "X-USD", status: "delisted" },
          { product_id: "Y-USD", trading_disabled: true },
          { product_id: "Z-USD", status: "online", post_only: true },
          { product_id: "C-USD", status: "online", cancel_only: true }
        ]
      },
      ["BTC-USD", "Z-USD", "C-USD"],
      ["BTC-USDC", "Y-USD"]
    ],
    [
      "bybit",
      {
        retCode: 0,
        result: {
          category: "spot",
          list: [
            { symbol: "BTCUSDT", status: "Trading", lotSizeFilter: { basePrecision: "1" } },
            { symbol: "X", status: "PreLaunch" },
            { symbol: "Y", status: "Closed" }
          ]
        }
      },
      ["BTCUSDT"],
      ["X"]
    ],
    [
      "okx",
      {
        code: "0",
        data: ["live", "suspend", "rebase", "post_only", "preopen", "test", "expired"].map((state) => ({
          instId: `${state.replace("_", "").toUpperCase()}-USDT`,
          state
        }))
      },
      ["LIVE-USDT", "SUSPEND-USDT", "REBASE-USDT", "POSTONLY-USDT", "PREOPEN-USDT"],
      []
    ],
    ["upbit", [{ market: "KRW-BTC", korean_name: "비트코인" }], ["KRW-BTC"], []],
    [
      "kraken",
      {
        error: [],
        result: {
          XXBTZUSD: { wsname: "XBT/USD", status: "online", fees: [[0, 1]] },
          XDGUSD: { wsname: "XDG/USD", status: "limit_only" },
          A: { wsname: "A/USD", status: "cancel_only" },
          B: { wsname: "B/USD", status: "work_in_progress" },
          C: { wsname: "C/USD", status: "delisted" },
          D: { wsname: "TSLAx/USD", status: "post_only", execution_venue: "international" },
          E: { wsname: "BTC/USD:BTNL", status: "online", execution_venue: "bitnomial-exchange" },
          F: { wsname: "F/USD", status: "online", execution_venue: "somewhere-else" }
        }
      },
      ["BTC/USD", "DOGE/USD", "A/USD", "TSLAx/USD"],
      ["B/USD", "BTC/USD:BTNL", "F/USD"]
    ],
    [
      "binance_usdm",
      {
        rateLimits: [{ limit: 2400 }],
        assets: [{ asset: "USDT", marginAvailable: true }],
        symbols: [
          { symbol: "BTCUSDT", pair: "BTCUSDT", status: "TRADING", filters: [{ symbol: "NOT" }] },
          { symbol: "BTCUSDT_261225", status: "TRADING" },
          { symbol: "A", status: "PENDING_TRADING" },
          { symbol: "B", status: "SETTLING" },
          { symbol: "C", status: "CLOSE" },
          { symbol: "D", status: "SOMETHING_NEW" }
        ]
      },
      ["btcusdt", "btcusdt_261225", "d"],
      ["a", "b"]
    ],
    [
      "binance_coinm",
      {
        symbols: [
          { symbol: "BTCUSD_PERP", contractStatus: "TRADING" },
          { symbol: "B", contractStatus: "DELIVERED" }
        ]
      },
      ["btcusd_perp"],
      []
    ],
    [
      "deribit",
      {
        jsonrpc: "2.0",
        result: [
          { instrument_name: "BTC-PERPETUAL", is_active: true, state: "open", option_type: null },
          { instrument_name: "BTC_USDC", is_active: true, tick_size_steps: [{ tick_size: 1 }] },
          { instrument_name: "BTC-25DEC26", is_active: false, state: "locked" },
          { instrument_name: "BTC-27NOV26", is_active: false, state: "closed" }
        ]
      },
      ["BTC-PERPETUAL", "BTC_USDC"],
      ["BTC-25DEC26"]
    ]
  ] as const)("%s: by the words that it has for it", ([name, answer, traded, resting]) =>
    Effect.gen(function* () {
      const { url } = yield* serving(JSON.stringify(answer), 7)
      const found = yield* fetchInstruments(exchangeOf(name), url)
      const of = (wanted: string) => found.filter(({ state }) => state === wanted).map(({ symbol }) => symbol)
      expect(of("traded")).toEqual(traded)
      expect(of("resting")).toEqual(resting)
    })
  )

  it.scopedLive.each(Array.from(exchanges.keys(), (name) => [name] as const))(
    "%s: anything else is no list",
    ([name]) =>
      Effect.gen(function* () {
        const simulator = yield* Simulator.make({ exchange: name })
        const { instruments } = exchangeOf(name)
        const list = yield* Effect.promise(() =>
          fetch(simulator.httpUrl(pathOf(instruments.paths[0]))).then((response) => response.text())
        )
        const wrong = ["", "<html>", "{}", "[1]", "null", '{"code":"50011","msg":"Too Many Requests"}']
        for (const text of [...wrong, list.trim().slice(0, -3)]) {
          const { url } = yield* serving(text)
          const reason = yield* Effect.flip(fetchInstruments(exchangeOf(name), url))
          expect(reason).toMatch(/^(the list is cut off|there is nothing in the list): /)
        }
        const { url } = yield* serving(list.replace(/:"[^"]*"/g, ":7"))
        if (list.includes(":")) yield* Effect.flip(fetchInstruments(exchangeOf(name), url))
      })
  )
})

/** The port of a server that is closed with the scope. */
const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () => Effect.sync(() => server.close())
  )

describe("a list that cannot be had", () => {
  const reasonAt = (url: string) => Effect.flip(fetchInstruments(exchangeOf("okx"), url))

  it.live("says why: no such host, nobody there", () =>
    Effect.gen(function* () {
      expect(yield* reasonAt("http://nothere.invalid")).toMatch(
        /^Transport error \(GET http:\/\/nothere\.invalid\/.*\): getaddrinfo (ENOTFOUND|EAI_AGAIN) nothere\.invalid$/
      )
      expect(yield* reasonAt(`http://127.0.0.1:${yield* freePort}`)).toMatch(
        /: connect ECONNREFUSED 127\.0\.0\.1:\d+$/
      )
    })
  )

  it.scopedLive("says why: an answer that is cut off", () =>
    Effect.gen(function* () {
      const server = createTcpServer((socket) => {
        socket.on("error", () => undefined)
        socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"))
      })
      const port = yield* listening(server)
      expect(yield* reasonAt(`http://127.0.0.1:${port}`)).toMatch(/GET .*: .*(closed|terminated|aborted)/)
    })
  )

  it.scopedLive.skipIf(opensslMissing !== undefined)("says why: a certificate that nobody knows", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const { cert, key } = makeCertificate(folder)
      const server = createTlsServer({ cert, key }, (_, response) => response.end("[]"))
      const port = yield* listening(server)
      expect(yield* reasonAt(`https://127.0.0.1:${port}`)).toMatch(
        /: unable to verify .*certificate.*UNABLE_TO_VERIFY/
      )
    })
  )
})

describe("symbols that are near one that is not listed", () => {
  const coinbase = ["BTC-EUR", "ETH-USD", "BTC-USD", "BTC-USDC", "SOL-USD"]
  it.each([
    ["BTC-PERP-INTX", coinbase, ["BTC-USDC", "BTC-USD", "BTC-EUR"]],
    ["BTC-USDX", coinbase, ["BTC-USD", "BTC-USDC", "BTC-EUR"].slice(0, 2)],
    [
      "BTC-USD",
      ["ETH-USDT", "BTC-USDT", "BTG-USD", "BTC-USDC", "BTC-EUR"],
      ["BTC-USDT", "BTC-USDC", "BTG-USD"]
    ],
    ["btcusd", ["ethusdt", "btcusdt", "btcusdc"], ["btcusdt", "btcusdc"]],
    ["KRW-NOTHERE", Array.from({ length: 50 }, (_, i) => `KRW-X${i}`), []],
    ["DOGE/GBPX", ["DOGE/GBP", "XRP/USD"], ["DOGE/GBP"]],
    ["WHAT-EVER", coinbase, []]
  ])("%s", (symbol, listed, near) => {
    expect(nearSymbols(symbol, listed)).toEqual(near)
  })
})

describe("kraken's two lists", () => {
  it.scopedLive("are one, and neither is had while the exchange says that it cannot give it", () =>
    Effect.gen(function* () {
      const answers = new Map([
        ["/0/public/AssetPairs", '{"error":[],"result":{"A":{"wsname":"XBT/USD","status":"online"}}}'],
        [
          "/0/public/AssetPairs?aclass_base=tokenized_asset",
          '{"error":[],"result":{"B":{"wsname":"TSLAx/USD","status":"online"}}}'
        ]
      ])
      const { url } = yield* answering((path) => answers.get(path) ?? "")
      const symbols = Effect.map(fetchInstruments(exchangeOf("kraken"), url), (list) =>
        list.map(({ symbol }) => symbol)
      )
      expect(yield* symbols).toEqual(["BTC/USD", "TSLAx/USD"])
      for (const path of answers.keys()) {
        const before = answers.get(path) ?? ""
        answers.set(path, '{"error":["EService:Unavailable"]}')
        expect(yield* Effect.flip(symbols)).toContain("EService:Unavailable")
        answers.set(path, before)
      }
      // As where the law does not allow them.
      answers.set("/0/public/AssetPairs?aclass_base=tokenized_asset", '{"error":[],"result":{}}')
      expect(yield* symbols).toEqual(["BTC/USD"])
    })
  )
})
