import { generateKeyPairSync } from "node:crypto"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Option, Random, Redacted, Schedule } from "effect"
import { jwtVerify } from "jose"
import { WebSocketServer } from "ws"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import { binance } from "../../src/exchange/venues/binance.ts"
import { bybit } from "../../src/exchange/venues/bybit.ts"
import { coinbase } from "../../src/exchange/venues/coinbase.ts"
import { okx } from "../../src/exchange/venues/okx.ts"
import { upbit } from "../../src/exchange/venues/upbit.ts"
import { protocols } from "../../src/simulator/protocols.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { patience } from "../support/pace.ts"
import { eventually, receive, settled, simulate, streamOf, textOf } from "./harness.ts"

/** Ids from the first to the last, without those that came twice. */
const distinct = (ids: ReadonlyArray<string>) => [...new Set(ids)]

describe.concurrent("taking over", () => {
  it.scopedLive.each([
    ["binance", "btcusdt"],
    ["okx", "BTC-USDT"]
  ] as const)("%s: after a notice the next connection is there before the old one goes", ([name, symbol]) =>
    Effect.gen(function* () {
      const exchange = exchanges.get(name) ?? binance
      const streams = exchange.dataTypes.map((dataType) => streamOf(name, symbol, dataType))
      const { eventsOf, of, simulator, stream } = yield* simulate(exchange, streams, { rate: 100 })
      yield* eventually("messages", () => streams.every((id) => of(id).length > 50))
      yield* simulator.inject({ _tag: "shutdown" })
      yield* eventually("the end of the old connection", () => eventsOf("ConnectionEnded").length === 1)
      yield* Effect.sleep("500 millis")
      expect(eventsOf("ConnectionEnded")[0]?.kind).toBe("replaced")
      expect(eventsOf("GapDetected")).toEqual([])
      expect(eventsOf("Discontinuity")).toEqual([])
      const { accepted } = yield* settled(
        "the old one gone",
        simulator,
        ({ connections }) => connections.length === 1
      )
      expect(accepted).toBe(2)
      // All that was sent arrives, however long it is on its way.
      yield* simulator.inject({ _tag: "silence" })
      for (const id of streams) {
        const missing = Effect.map(simulator.status, ({ streams: sent }) => {
          const ids = distinct(
            of(id)
              .map((snapshot) => snapshot.exchangeSequenceId)
              .filter((text) => !text.startsWith("snapshot"))
          )
          const status = Object.entries(sent).find(
            ([stream]) =>
              stream === exchange.channelOf(id) ||
              (name === "okx" &&
                stream.includes(symbol) &&
                /book/.test(stream) === (id.dataType === "orderbook"))
          )
          return Math.abs((status?.[1].messages ?? 0) - ids.length)
        })
        yield* Effect.repeat(missing, {
          until: (count) => count < 15,
          schedule: Schedule.spaced("50 millis")
        }).pipe(Effect.timeout(patience))
      }
      for (const { reconnects } of yield* stream.status) expect(reconnects.get("replaced")).toBe(1)
    })
  )

  it.scopedLive("replaces every connection before its lifetime is over, at different times", () =>
    Effect.gen(function* () {
      const streams = ["btcusdt", "ethusdt", "bnbusdt", "solusdt"].map((symbol) =>
        streamOf("binance", symbol, "trade")
      )
      const shortLived: Exchange = {
        ...binance,
        lifetime: Duration.seconds(30),
        limits: { ...binance.limits, fits: (part) => part.length <= 1 }
      }
      // of each connection another part of the time left to chance, which is 3.6 s
      const chance = Random.fixed([0, 0.3, 0.6, 0.9])
      const { eventsOf, of } = yield* Effect.withRandom(simulate(shortLived, streams, { rate: 50 }), chance)
      yield* eventually("every handover", () => eventsOf("ConnectionEnded").length >= 4)
      expect(new Set(eventsOf("ConnectionEnded").map((event) => event.kind))).toEqual(new Set(["replaced"]))
      yield* Effect.sleep("200 millis")
      const times = eventsOf("ConnectionEnded").map((event) => Math.round(event.at / 1_000_000))
      expect(new Set(times).size).toBeGreaterThan(1)
      expect(eventsOf("GapDetected")).toEqual([])
      for (const id of streams) {
        const ids = distinct(of(id).map((snapshot) => snapshot.exchangeSequenceId)).map(Number)
        expect(ids.at(-1)).toBe((ids[0] ?? 0) + ids.length - 1)
      }
    })
  )

  it.scopedLive("goes on by itself when the old connection ends before the next one is there", () =>
    Effect.gen(function* () {
      const streams = [streamOf("binance", "btcusdt", "trade")]
      const { eventsOf, simulator, snapshots } = yield* simulate(binance, streams, { rate: 50 })
      yield* eventually("messages", () => snapshots.length > 20)
      yield* simulator.inject({ _tag: "refuse", for: 1500 })
      yield* simulator.inject({ _tag: "shutdown" })
      yield* Effect.sleep("300 millis")
      yield* simulator.inject({ _tag: "terminate" })
      const before = snapshots.length
      yield* eventually("messages again", () => snapshots.length > before + 20)
      yield* eventually("the gap", () => eventsOf("GapDetected").length > 0)
      expect(eventsOf("Discontinuity")).toEqual([])
      expect((yield* simulator.status).connections.length).toBe(1)
    })
  )
})

describe.concurrent("gaps", () => {
  /** What a skipped message is to the streams of each exchange. */
  it.scopedLive.each([
    ["binance", "trade", "btcusdt@trade", "counter", 3],
    ["binance", "orderbook_diff", "btcusdt@depth@100ms", "range", "some"],
    ["binance_usdm", "trade", "btcusdt@aggTrade", "counter", 3],
    ["binance_usdm", "orderbook_diff", "btcusdt@depth@100ms", "chain", null],
    ["bybit", "orderbook", "orderbook.50.BTCUSDT", "counter", 3],
    ["okx", "orderbook", "books:BTC-USDT", "chain", null],
    ["okx", "trade", "trades:BTC-USDT", "counter", "some"],
    ["kraken", "trade", "trade:BTC/USD", "counter", "some"],
    ["deribit", "orderbook", "book.BTC-PERPETUAL.100ms", "chain", null],
    ["deribit", "trade", "trades.BTC-PERPETUAL.100ms", "counter", "some"]
  ] as const)("%s %s: are found, with the times around them", ([name, dataType, simulated, rule, size]) =>
    Effect.gen(function* () {
      const exchange = exchanges.get(name) ?? binance
      const symbol = protocols.get(name)?.symbols[0] ?? ""
      const id = streamOf(name, symbol, dataType)
      const { eventsOf, of, simulator, stream } = yield* simulate(exchange, [id], { rate: 50 })
      yield* eventually("messages", () => of(id).length > 10)
      yield* simulator.inject({ _tag: "skip", stream: simulated, count: 3 })
      yield* eventually("the gap", () => eventsOf("GapDetected").length > 0)
      const found = of(id).length
      yield* eventually("messages after it", () => of(id).length > found + 10)
      const [gap, ...more] = eventsOf("GapDetected")
      expect(more).toEqual([])
      expect(gap).toMatchObject({ stream: id, rule, scope: "stream" })
      if (size === "some") expect(gap?.size).toBeGreaterThanOrEqual(3)
      else expect(gap?.size).toBe(size)
      expect(gap?.received).toBeGreaterThan(gap?.expected ?? Number.POSITIVE_INFINITY)
      const stamps = of(id).map((snapshot) => snapshot.timestamp)
      const at = stamps.indexOf(gap?.before ?? 0)
      expect(at).toBeGreaterThan(0)
      expect(stamps[at - 1]).toBe(gap?.after)
      expect((yield* stream.status)[0]).toMatchObject({ gaps: 1, unverifiable: false })
    })
  )

  it.scopedLive(
    "coinbase: a lost frame casts doubt on every stream of its connection, and nothing else does",
    () =>
      Effect.gen(function* () {
        const streams = ["BTC-USD", "ETH-USD"].flatMap((symbol) =>
          coinbase.dataTypes.map((dataType) => streamOf("coinbase", symbol, dataType))
        )
        const { eventsOf, of, simulator } = yield* simulate(coinbase, streams, { rate: 30 })
        yield* eventually("messages", () => streams.every((id) => of(id).length > 30))
        expect(eventsOf("GapDetected")).toEqual([])
        yield* simulator.inject({ _tag: "skip", stream: "level2:BTC-USD", count: 2 })
        // Frames that are lost one by one are told one by one.
        const lost = () => {
          const sizes = new Map(eventsOf("GapDetected").map((gap) => [gap.expected, gap.size ?? 0]))
          return Array.from(sizes.values()).reduce((sum, size) => sum + size, 0)
        }
        yield* eventually("both frames to be missed", () => lost() >= 2)
        yield* Effect.sleep("300 millis")
        const gaps = eventsOf("GapDetected")
        expect(new Set(gaps.map((gap) => gap.stream))).toEqual(new Set(streams))
        expect(lost()).toBe(2)
        expect(gaps.every((gap) => gap.scope === "connection" && gap.rule === "counter")).toBe(true)
      })
  )

  it.scopedLive("span a reconnect where ids are the exchange's, and are all that is told of it", () =>
    Effect.gen(function* () {
      const id = streamOf("binance", "btcusdt", "trade")
      const { eventsOf, of, simulator } = yield* simulate(binance, [id], { rate: 50 })
      yield* eventually("messages", () => of(id).length > 10)
      const last = () => Number(of(id).at(-1)?.exchangeSequenceId)
      yield* simulator.inject({ _tag: "terminate" })
      yield* eventually("the end of the connection", () => eventsOf("ConnectionEnded").length > 0)
      const before = last()
      yield* eventually("messages again", () => last() > before)
      const ids = of(id).map((snapshot) => Number(snapshot.exchangeSequenceId))
      const first = ids[ids.indexOf(before) + 1] ?? 0
      expect(eventsOf("Discontinuity")).toEqual([])
      expect(eventsOf("GapDetected")).toMatchObject([
        { expected: before + 1, received: first, size: first - before - 1 }
      ])
    })
  )

  it.scopedLive("are not seen in what is sent twice", () =>
    Effect.gen(function* () {
      const id = streamOf("okx", "BTC-USDT", "trade")
      const { eventsOf, of, simulator } = yield* simulate(okx, [id], { rate: 20 })
      yield* eventually("messages", () => of(id).length > 20)
      yield* simulator.inject({ _tag: "duplicates", count: 10 })
      yield* eventually("a report", () => eventsOf("Repeated").length > 0)
      expect(eventsOf("Repeated")).toMatchObject([{ stream: id, count: 10 }])
      expect(eventsOf("GapDetected")).toEqual([])
    })
  )

  it.scopedLive("cannot be proven on streams without numbers, and that is told", () =>
    Effect.gen(function* () {
      const streams = upbit.dataTypes.map((dataType) => streamOf("upbit", "KRW-BTC", dataType))
      const { eventsOf, of, simulator, stream } = yield* simulate(upbit, streams, { rate: 20 })
      yield* eventually("messages", () => streams.every((id) => of(id).length > 10))
      yield* simulator.inject({ _tag: "skip", count: 5 })
      yield* Effect.sleep("1 second")
      expect(eventsOf("GapDetected")).toEqual([])
      expect((yield* stream.status).map((of) => of.unverifiable)).toEqual([true, true])
    })
  )
})

describe.concurrent("subscriptions", () => {
  it.scopedLive("bybit: one bad topic refuses its request, and the rest is asked for again", () =>
    Effect.gen(function* () {
      const symbols = Array.from({ length: 12 }, (_, i) => `BTC${i}USDT`)
      const bad = ["NOPEUSDT", "GONEUSDT"]
      const streams = [...symbols.slice(0, 3), ...bad, ...symbols.slice(3)].map((symbol) =>
        streamOf("bybit", symbol, "orderbook")
      )
      const { eventsOf, of, simulator } = yield* simulate(bybit, streams, { symbols, rate: 10 })
      const good = streams.filter((id) => !bad.includes(id.symbol))
      yield* eventually("messages of the rest", () => good.every((id) => of(id).length > 3))
      expect(eventsOf("SubscriptionRefused").map((event) => [event.stream.symbol, event.reason])).toEqual(
        bad.map((symbol) => [symbol, `Invalid symbol :[orderbook.50.${symbol}]`])
      )
      const { accepted, connections } = yield* simulator.status
      expect(accepted).toBe(1)
      expect(connections[0]?.subscriptions.length).toBe(good.length)
    })
  )

  it.scopedLive("a refused stream is told in the words of the exchange, and when it is asked for again", () =>
    Effect.gen(function* () {
      const streams = [streamOf("okx", "BTC-USDT", "trade"), streamOf("okx", "NEW-USDT", "trade")]
      const fresh = streams[1]
      if (fresh === undefined) return
      const { eventsOf, of, simulator, stream } = yield* simulate(okx, streams)
      yield* eventually("the refusal", () => eventsOf("SubscriptionRefused").length === 1)
      expect(eventsOf("SubscriptionRefused")[0]?.reason).toContain("60018")
      expect(eventsOf("SubscriptionRefused")[0]?.retryAt).toBeGreaterThan(Date.now() * 1000 + 200_000_000)
      expect((yield* stream.status).map((of) => of.state)).toContain("refused")
      expect(of(fresh)).toEqual([])
      expect((yield* simulator.status).connections.length).toBe(1)
    })
  )

  it.scopedLive("ends a connection on which no subscription is answered", () =>
    Effect.gen(function* () {
      const server = yield* mute
      const { eventsOf } = yield* receive({
        streams: [streamOf("bybit", "BTCUSDT", "trade")],
        endpoints: new Map([["bybit", new URL(server.url)]])
      })
      yield* eventually("the end of the connection", () => eventsOf("ConnectionEnded").length > 0)
      expect(eventsOf("ConnectionEnded")[0]?.kind).toBe("unanswered")
      yield* eventually("another connection", () => server.headers.length >= 2)
      // Upbit limits those who send an Origin to one request in ten seconds.
      expect(server.headers.every((headers) => headers.origin === undefined)).toBe(true)
      expect(server.messages[0]).toContain('"op":"subscribe"')
    })
  )
})

describe.concurrent("whole exchanges", () => {
  it.scopedLive.each([
    ["okx", "*"],
    ["bybit", "*usdt"],
    ["binance", "*USDT"],
    ["coinbase", "*-USD"],
    ["upbit", "KRW-*"],
    ["kraken", "*/USD"]
  ] as const)("%s:%s records what is listed, and follows the list", ([name, pattern]) =>
    Effect.gen(function* () {
      const exchange = exchanges.get(name) ?? binance
      const [first = "", second = ""] = protocols.get(name)?.symbols ?? []
      const added = first.replace(/btc/i, (base) => (base === "btc" ? "new" : "NEW"))
      const simulator = yield* Simulator.make({ exchange: name, symbols: [first, second], rate: 20 })
      const { events, eventsOf, of, stream } = yield* receive({
        streams: [],
        patterns: [{ exchange: name, pattern, dataTypes: ["trade"] }],
        endpoints: new Map([[name, new URL(simulator.url())]]),
        restEndpoints: new Map([[name, new URL(simulator.httpUrl("/"))]]),
        refreshEvery: Duration.seconds(1)
      })
      const trades = (symbol: string) => of(streamOf(name, symbol, "trade"))
      yield* eventually("messages", () => [first, second].every((symbol) => trades(symbol).length > 5))
      expect(eventsOf("SymbolListed")).toEqual([])
      yield* simulator.inject({ _tag: "list", symbol: added })
      yield* eventually("messages of the new symbol", () => trades(added).length > 5)
      expect(eventsOf("SymbolListed")).toMatchObject([{ exchange: name, symbol: added }])
      yield* simulator.inject({ _tag: "delist", symbol: second })
      yield* eventually("the end of a symbol", () => eventsOf("SymbolDelisted").length > 0)
      const { accepted } = yield* settled(
        "that it was unsubscribed",
        simulator,
        ({ connections }) => connections[0]?.subscriptions.length === 2
      )
      expect(accepted).toBe(1)
      yield* Effect.sleep("300 millis")
      const before = trades(second).length
      yield* Effect.sleep("500 millis")
      expect(trades(second).length).toBe(before)
      expect(eventsOf("SymbolDelisted")).toMatchObject([{ exchange: name, symbol: second }])
      expect(eventsOf("StreamDisconnected")).toMatchObject([{ stream: { symbol: second }, kind: "empty" }])
      expect((yield* stream.status).map((of) => of.symbol).sort()).toEqual([first, added].sort())
      expect(events.filter((event) => event._tag === "ConnectionEnded")).toEqual([])
      expect(exchange.name).toBe(name)
    })
  )

  it.scopedLive("goes on without a list that cannot be had, and with it as soon as it can", () =>
    Effect.gen(function* () {
      const simulator = yield* Simulator.make({ exchange: "okx", rate: 20 })
      const list = yield* freePort
      const { of, stream } = yield* receive({
        streams: [streamOf("okx", "BTC-USDT", "trade")],
        patterns: [{ exchange: "okx", pattern: "ETH*", dataTypes: ["trade"] }],
        endpoints: new Map([["okx", new URL(simulator.url())]]),
        restEndpoints: new Map([["okx", new URL(`http://127.0.0.1:${list}`)]])
      })
      const trades = (symbol: string) => of(streamOf("okx", symbol, "trade")).length
      yield* eventually("messages", () => trades("BTC-USDT") > 5)
      expect((yield* stream.status).length).toBe(1)
      yield* Simulator.make({ exchange: "okx", port: list, symbols: ["ETH-USDT", "SOL-USDT"] })
      yield* eventually("messages of a symbol from the list", () => trades("ETH-USDT") > 5)
      expect(trades("SOL-USDT")).toBe(0)
    })
  )
})

describe.concurrent("signed subscriptions", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const settings = (secret: string) =>
    new Map([
      ["COINBASE_API_KEY", Redacted.make("organizations/a/apiKeys/b")],
      ["COINBASE_API_SECRET", Redacted.make(secret)]
    ])
  const signerOf = (secret: string) =>
    Effect.flatMap(
      coinbase.authentication?.signer(settings(secret)) ?? Effect.succeed(Option.none()),
      Effect.fromNullable
    ).pipe(Effect.provide(NodeFileSystem.layer))
  const sec1 = privateKey.export({ type: "sec1", format: "pem" }).toString()
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "pem" }).toString()

  const edwards = generateKeyPairSync("ed25519")
  const halves = Buffer.concat([
    edwards.privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32),
    edwards.publicKey.export({ format: "der", type: "spki" }).subarray(-32)
  ])
  const ed25519 = halves.toString("base64")
  const edwardsPem = edwards.privateKey.export({ type: "pkcs8", format: "pem" }).toString()

  it.effect.each([
    ["SEC1", sec1, "ES256"],
    ["PKCS#8", pkcs8, "ES256"],
    ["on one line", sec1.replaceAll("\n", "\\n"), "ES256"],
    ["a key file", JSON.stringify({ name: "organizations/a/apiKeys/b", privateKey: sec1 }), "ES256"],
    ["base64, Ed25519", ed25519, "EdDSA"],
    ["PKCS#8, Ed25519", edwardsPem, "EdDSA"],
    ["a key file, Ed25519", JSON.stringify({ id: "b", privateKey: ed25519 }, null, 2), "EdDSA"]
  ] as const)("a key in %s signs every request anew", ([, secret, alg]) =>
    Effect.gen(function* () {
      const signer = Option.getOrThrow(
        yield* (coinbase.authentication?.signer(settings(secret)) ?? Effect.succeed(Option.none())).pipe(
          Effect.provide(NodeFileSystem.layer)
        )
      )
      const frame = '{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}'
      const [one, two] = [JSON.parse(yield* signer(frame)), JSON.parse(yield* signer(frame))]
      expect(one).toMatchObject(JSON.parse(frame))
      expect(one.jwt).not.toBe(two.jwt)
      const { payload, protectedHeader } = yield* Effect.promise(() =>
        jwtVerify(one.jwt, alg === "ES256" ? publicKey : edwards.publicKey, {
          issuer: "cdp",
          currentDate: new Date(60_000)
        })
      )
      expect(payload).toEqual({ iss: "cdp", sub: "organizations/a/apiKeys/b", nbf: 0, exp: 120 })
      expect(protectedHeader).toMatchObject({ alg, kid: "organizations/a/apiKeys/b" })
      expect(protectedHeader.nonce).toBeTypeOf("string")
    })
  )

  it.effect("a key that is none is told without showing it", () =>
    Effect.gen(function* () {
      const other = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey
      const otherHalf = Buffer.concat([halves.subarray(0, 32), Buffer.alloc(32, 1)]).toString("base64")
      const pem = (key: typeof other) => key.export({ type: "pkcs8", format: "pem" }).toString()
      for (const secret of [
        "hunter2",
        pem(other),
        otherHalf,
        sec1.slice(0, 60),
        JSON.stringify({ privateKey: "hunter2" })
      ]) {
        const problem = yield* Effect.flip(signerOf(secret))
        expect(String(problem)).toContain("COINBASE_API_SECRET (value not shown)")
        expect(String(problem)).not.toContain(secret.slice(0, 12))
      }
    })
  )

  it.scopedLive("coinbase is sent a token with every subscription", () =>
    Effect.gen(function* () {
      const server = yield* mute
      const signer = yield* (
        coinbase.authentication?.signer(settings(sec1)) ?? Effect.succeed(Option.none())
      ).pipe(Effect.provide(NodeFileSystem.layer))
      yield* receive({
        streams: [streamOf("coinbase", "BTC-USD", "trade")],
        endpoints: new Map([["coinbase", new URL(server.url)]]),
        signers: new Map(Option.toArray(signer).map((signer) => ["coinbase", signer]))
      })
      yield* eventually("two messages", () => server.messages.length === 2)
      const tokens = server.messages.map((text): unknown => JSON.parse(text).jwt)
      expect(new Set(tokens).size).toBe(2)
      expect(tokens.every((token) => typeof token === "string")).toBe(true)
    })
  )
})

/** A port that nobody listens on, now. */
const freePort = Effect.scoped(Effect.map(Simulator.make(), ({ port }) => port))

/** A server that takes everything and says nothing. */
const mute = Effect.acquireRelease(
  Effect.async<{
    readonly server: WebSocketServer
    readonly url: string
    readonly messages: Array<string>
    readonly headers: Array<Record<string, unknown>>
  }>((resume) => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" })
    const messages: Array<string> = []
    const headers: Array<Record<string, unknown>> = []
    server.on("connection", (socket, request) => {
      headers.push(request.headers)
      socket.on("message", (data) => messages.push(String(data)))
    })
    server.on("listening", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed({ server, url: `ws://127.0.0.1:${port}/`, messages, headers }))
    })
  }),
  ({ server }) =>
    Effect.sync(() => {
      for (const client of server.clients) client.terminate()
      server.close()
    })
)

describe.concurrent("books of any size", () => {
  it.scopedLive("come as they were sent", () =>
    Effect.gen(function* () {
      const id = streamOf("coinbase", "BTC-USD", "orderbook")
      const { of } = yield* simulate(coinbase, [id], { bookBytes: 6_000_000, rate: 5 })
      yield* eventually("messages", () => of(id).length > 3)
      const [snapshot] = of(id)
      expect(snapshot?.data.length).toBeGreaterThan(4_000_000)
      expect(JSON.parse(snapshot === undefined ? "" : textOf(snapshot)).events[0].type).toBe("snapshot")
    })
  )
})
