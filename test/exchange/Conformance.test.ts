import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { Snapshot } from "../../src/domain/Snapshot.ts"
import { isSporadic, type MarketStream, streamKey } from "../../src/domain/StreamId.ts"
import type { ConnectionStatus } from "../../src/exchange/Connection.ts"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import { protocols } from "../../src/simulator/protocols.ts"
import { pace } from "../support/pace.ts"
import { eventually, holesIn, simulate, streamOf, textOf } from "./harness.ts"

/** Symbols that an exchange does not have, spelled as it wants them. */
const nowhere = new Map([
  ["binance", "nowhereusdt"],
  ["coinbase", "NOWHERE-USD"],
  ["bybit", "NOWHEREUSDT"],
  ["okx", "NOWHERE-USDT"],
  ["upbit", "KRW-NOWHERE"],
  ["kraken", "NOWHERE/USD"],
  ["binance_usdm", "nowhereusdt"],
  ["binance_coinm", "nowhereusd_perp"],
  ["bybit_linear", "NOWHEREUSDT"],
  ["bybit_inverse", "NOWHEREUSD"],
  ["deribit", "NOWHERE-PERPETUAL"]
])

/** Exchanges that only differ in symbols from one with the same decoder: they are not made to misbehave here. */
const variants = ["bybit_inverse"]

const symbolsOf = (exchange: Exchange): ReadonlyArray<string> => protocols.get(exchange.name)?.symbols ?? []

const streamsOf = (exchange: Exchange, symbols = symbolsOf(exchange)): ReadonlyArray<MarketStream> =>
  symbols.flatMap((symbol) =>
    (exchange.typesOf?.(symbol) ?? exchange.dataTypes).map((dataType) =>
      streamOf(exchange.name, symbol, dataType)
    )
  )

/** How many connections its streams need: one for each URL. */
const connectionsOf = ({ dataTypes, url, urlOf }: Exchange): number =>
  new Set(dataTypes.map((dataType) => urlOf?.(dataType, url) ?? url)).size

/** With times that a test can wait for. */
/** Of a machine that is not slow or busy. */
const seconds = (count: number): Duration.Duration => Duration.seconds(count * pace)

const hurried = (exchange: Exchange): Exchange => ({
  ...exchange,
  keepalive: { ...exchange.keepalive, every: Duration.seconds(1), pongWithin: seconds(3) },
  idleTimeout: seconds(5)
})

/** Streams are not called the same in the simulator: the name that begins with the channel and ends with the symbol. */
const simulated = (
  names: Readonly<Record<string, unknown>>,
  exchange: Exchange,
  stream: MarketStream
): string => {
  const channel = exchange.channelOf(stream)
  if (channel in names) return channel
  const name = Object.keys(names).find(
    (name) =>
      name.includes(stream.symbol) &&
      /book|depth20|level2/i.test(name) === (stream.dataType === "orderbook") &&
      /depth@/.test(name) === (stream.dataType === "orderbook_diff")
  )
  return name ?? `no stream of the simulator for ${stream.symbol} ${stream.dataType}`
}

describe.concurrent.each(Array.from(exchanges.values(), (exchange) => [exchange.name, exchange] as const))(
  "%s",
  (name, exchange) => {
    it.scopedLive("subscribes, and receives every stream under its own name, byte for byte", () =>
      Effect.gen(function* () {
        const streams = streamsOf(exchange)
        const { events, eventsOf, of, simulator, snapshots, stream } = yield* simulate(exchange, streams)
        yield* eventually("messages of every stream", () => streams.every((id) => of(id).length >= 12))
        for (const id of streams) {
          const messages = of(id)
          const plain = id.symbol.toLowerCase()
          for (const snapshot of messages) {
            const text = textOf(snapshot)
            expect(JSON.parse(text)).toBeTypeOf("object")
            if (name !== "binance" || id.dataType !== "orderbook") expect(text.toLowerCase()).toContain(plain)
            expect(snapshot.exchangeSequenceId).not.toBe("")
            expect(Math.abs(snapshot.timestamp / 1000 - Date.now())).toBeLessThan(60_000)
            if (snapshot.exchangeTimestamp !== null) {
              expect(Math.abs(snapshot.exchangeTimestamp - snapshot.timestamp)).toBeLessThan(60_000_000)
            }
          }
          const ids = messages.map((snapshot) => snapshot.exchangeSequenceId)
          // A first message may say once more what the one before said.
          expect(ids.length - new Set(ids).size).toBeLessThanOrEqual(1)
        }
        expect(snapshots.filter((snapshot) => snapshot.exchangeTimestamp === null).length === 0).toBe(
          name !== "binance"
        )
        const status = yield* stream.status
        expect(status.map((of) => of.state)).toEqual(streams.map(() => "live"))
        expect(status.map((of) => of.gaps)).toEqual(streams.map(() => 0))
        expect(eventsOf("StreamConnected").length).toBe(streams.length)
        expect(
          events.filter((event) => !/Connected|ConnectionOpened|ExchangeStatus/.test(event._tag))
        ).toEqual([])
        expect((yield* simulator.status).violations).toEqual({})
      })
    )

    it.scopedLive("reports what is refused, and records the rest", () =>
      Effect.gen(function* () {
        const missing = nowhere.get(name) ?? ""
        const known = symbolsOf(exchange).slice(0, 2)
        const streams = streamsOf(exchange, [missing, ...known])
        const { eventsOf, of, simulator, stream } = yield* simulate(exchange, streams, {
          silenceTimeout: Duration.seconds(4)
        })
        const good = streams.filter((id) => id.symbol !== missing)
        // A stream that can be silent for hours is not missed.
        const bad = streams.filter((id) => id.symbol === missing && !isSporadic(id.dataType))
        yield* eventually("messages of the others", () => good.every((id) => of(id).length >= 5))
        const problems = () => [...eventsOf("SubscriptionRefused"), ...eventsOf("StreamSilent")]
        yield* eventually("the refusals", () =>
          bad.every((id) => problems().some((event) => event.stream === id))
        )
        for (const event of problems()) expect(event.stream.symbol).toBe(missing)
        const status = yield* stream.status
        for (const { dataType, state, symbol } of status) {
          const wanted = isSporadic(dataType) ? ["refused", "subscribed"] : ["refused", "silent"]
          expect(symbol === missing ? wanted : ["live"]).toContain(state)
        }
        expect((yield* simulator.status).violations).toEqual({})
      })
    )

    if (variants.includes(name)) return

    it.scopedLive("pings on time, and ends a connection that does not answer", () =>
      Effect.gen(function* () {
        const streams = streamsOf(exchange, symbolsOf(exchange).slice(0, 1))
        const { eventsOf, simulator, snapshots, stream } = yield* simulate(hurried(exchange), streams, {
          ...(exchange.keepalive.ping._tag === "None" ? {} : { clientSilence: seconds(3) }),
          pingEvery: "500 millis",
          pongWithin: seconds(2)
        })
        yield* eventually("messages", () => snapshots.length > 5)
        yield* Effect.sleep(seconds(5))
        expect(eventsOf("ConnectionEnded")).toEqual([])
        if (exchange.keepalive.ping._tag === "None") {
          expect((yield* stream.connections)[0]?.pings).toBe(0)
          return
        }
        let connection: ConnectionStatus | undefined
        const look = Effect.map(stream.connections, ([first]) => {
          connection = first
        })
        yield* Effect.forkScoped(Effect.forever(Effect.delay(look, "20 millis")))
        yield* eventually("pings, and their answers", () => {
          const { pings = 0, pongs = 0 } = connection ?? {}
          return pings >= 3 && pongs >= pings - 1
        })
        expect(eventsOf("ConnectionEnded")).toEqual([])
        yield* simulator.inject({ _tag: "nopong" })
        yield* eventually("the end of the connection", () => eventsOf("ConnectionEnded").length > 0)
        expect(eventsOf("ConnectionEnded")[0]?.kind).toBe("pong")
        yield* simulator.heal
        const before = snapshots.length
        yield* eventually("messages of the next connection", () => snapshots.length > before + 10)
      })
    )

    it.scopedLive("ends a connection that says nothing at all", () =>
      Effect.gen(function* () {
        const streams = streamsOf(exchange, symbolsOf(exchange).slice(0, 1))
        const { eventsOf, simulator, snapshots } = yield* simulate(hurried(exchange), streams)
        yield* eventually("messages", () => snapshots.length > 5)
        yield* simulator.inject({ _tag: "silence" })
        yield* eventually("the end of the connection", () => eventsOf("ConnectionEnded").length > 0)
        expect(["idle", "pong"]).toContain(eventsOf("ConnectionEnded")[0]?.kind)
        const before = snapshots.length
        yield* eventually("messages of the next connection", () => snapshots.length > before + 10)
        expect(eventsOf("Discontinuity").map((event) => event.reason)).toContain("reconnect")
      })
    )

    it.scopedLive("notices a silent stream among others: asks again, then gives it another connection", () =>
      Effect.gen(function* () {
        const streams = streamsOf(exchange, symbolsOf(exchange).slice(0, 2))
        const { eventsOf, of, simulator } = yield* simulate(exchange, streams, {
          silenceTimeout: Duration.seconds(2),
          rate: 30
        })
        const silent = streams[0]
        if (silent === undefined) return
        yield* eventually("messages", () => streams.every((id) => of(id).length > 30))
        const stream = simulated((yield* simulator.status).streams, exchange, silent)
        yield* simulator.inject({ _tag: "silence", stream, sticky: true })
        yield* eventually("that it was asked for again", () => eventsOf("StreamSilent").length === 1)
        yield* eventually("that it was moved", () => eventsOf("StreamSilent").length === 2)
        const before = of(silent).length
        yield* eventually("its messages", () => of(silent).length > before + 5)
        expect(eventsOf("StreamSilent").map((event) => [event.stream, event.action])).toEqual([
          [silent, "resubscribed"],
          [silent, "moved"]
        ])
        yield* eventually(
          "that the old connection let it go",
          () => eventsOf("StreamDisconnected").length > 0
        )
        expect(eventsOf("StreamDisconnected")).toMatchObject([{ stream: silent, kind: "silent" }])
        expect(eventsOf("SubscriptionRefused")).toEqual([])
        const { accepted, connections, violations } = yield* simulator.status
        expect(accepted).toBe(connectionsOf(exchange) + 1)
        expect(connections.length).toBe(connectionsOf(exchange) + 1)
        expect(eventsOf("ConnectionEnded")).toEqual([])
        expect(violations).toEqual({})
      })
    )

    it.scopedLive("keeps garbage of every kind aside, and the connection", () =>
      Effect.gen(function* () {
        const streams = streamsOf(exchange, symbolsOf(exchange).slice(0, 2))
        const { eventsOf, simulator, snapshots } = yield* simulate(exchange, streams)
        yield* eventually("messages", () =>
          streams.every((id) => snapshots.some(({ stream }) => stream === id))
        )
        yield* simulator.inject({ _tag: "garbage", count: 15 })
        const before = snapshots.length
        yield* eventually("messages after garbage", () => snapshots.length > before + 50)
        const isAside = (snapshot: Snapshot) => snapshot.stream.dataType === "unreadable"
        expect(snapshots.filter(isAside).length).toBe(15 * connectionsOf(exchange))
        for (const snapshot of snapshots) {
          if (!isAside(snapshot)) expect(JSON.parse(textOf(snapshot))).toBeTypeOf("object")
        }
        expect(eventsOf("ConnectionEnded")).toEqual([])
        expect(eventsOf("GapDetected")).toEqual([])
        expect(new Set(eventsOf("StreamUnreadable").map(({ stream }) => stream))).toEqual(new Set(streams))
        expect(eventsOf("StreamUnreadable").length).toBe(streams.length)
        yield* eventually(
          "that all is well again",
          () => eventsOf("StreamReadable").length === streams.length
        )
      })
    )

    it.scopedLive.each(["retype", "drop", "swap", "gzip"] as const)(
      "reads every message in another format (%s), or is in doubt and keeps it as it came",
      (kind) =>
        Effect.gen(function* () {
          const streams = streamsOf(exchange, symbolsOf(exchange).slice(0, 2))
          const { events, eventsOf, of, simulator, snapshots } = yield* simulate(exchange, streams, {
            rate: 30
          })
          yield* eventually("messages", () => streams.every((id) => of(id).length > 5))
          yield* simulator.inject({ _tag: "mangle", kind })
          const before = snapshots.length
          yield* eventually("messages after it", () => snapshots.length > before + 30 * streams.length)
          if (kind === "retype") {
            expect(eventsOf("StreamUnreadable")).toEqual([])
            expect(snapshots.filter((snapshot) => snapshot.stream.dataType === "unreadable")).toEqual([])
            return
          }
          const aside = () => snapshots.filter(({ stream }) => stream.dataType === "unreadable")
          const told = () => new Set(eventsOf("StreamUnreadable").map((event) => event.stream))
          // What can be read without what has changed goes on.
          const goesOn = (id: MarketStream) =>
            (of(id).at(-1)?.timestamp ?? 0) > (snapshots[before + 20]?.timestamp ?? 0)
          yield* eventually("doubt", () => streams.every((id) => told().has(id) || goesOn(id)))
          expect(aside().length > 0 || streams.every(goesOn)).toBe(true)
          const now = (snapshots.at(-1)?.timestamp ?? 0) + 1
          const holes = holesIn(streams, events, { from: 0, to: now })
          for (const { stream, timestamp } of aside()) {
            const isHole = streams
              .filter(({ symbol }) => stream.symbol === "*" || stream.symbol === symbol)
              .map((id) =>
                holes.get(streamKey(id))?.some(({ from, to }) => from < timestamp && timestamp < to)
              )
            expect(stream.symbol === "*" ? isHole.every(Boolean) : isHole.some(Boolean)).toBe(true)
          }
        })
    )

    it.scopedLive("receives giant frames", () =>
      Effect.gen(function* () {
        const streams = streamsOf(exchange, symbolsOf(exchange).slice(0, 1))
        const { of, snapshots } = yield* simulate(exchange, streams, { bookBytes: 5_000_000, rate: 2 / pace })
        const book = streams.find((id) => id.dataType === "orderbook")
        yield* eventually("messages", () => streams.every((id) => of(id).length >= 2))
        if (book === undefined) return
        expect(Math.max(...of(book).map((snapshot) => snapshot.data.length))).toBeGreaterThan(1_000_000)
        expect(snapshots.every((snapshot) => JSON.parse(textOf(snapshot)) !== null)).toBe(true)
      })
    )

    it.scopedLive("keeps the close code and the reason", () =>
      Effect.gen(function* () {
        const streams = streamsOf(exchange, symbolsOf(exchange).slice(0, 1))
        const { eventsOf, simulator, snapshots, stream } = yield* simulate(exchange, streams)
        yield* eventually("messages", () => snapshots.length > 5)
        yield* simulator.inject({ _tag: "close", code: 4321, reason: "maintenance window" })
        yield* eventually("the end of the connection", () => eventsOf("ConnectionEnded").length > 0)
        const [end] = eventsOf("ConnectionEnded")
        expect([end?.kind, end?.code]).toEqual(["closed", 4321])
        expect(end?.reason).toContain("maintenance window")
        yield* eventually(
          "the end of all streams",
          () => eventsOf("StreamDisconnected").length === streams.length
        )
        expect(new Set(eventsOf("StreamDisconnected").map((event) => event.stream))).toEqual(new Set(streams))
        expect(eventsOf("StreamDisconnected").map((event) => event.code)).toEqual(streams.map(() => 4321))
        const before = snapshots.length
        yield* eventually("messages of the next connection", () => snapshots.length > before + 10)
        for (const { reconnects } of yield* stream.status) expect(reconnects.get("closed")).toBe(1)
      })
    )

    it.scopedLive("reconnects many connections at once within all limits", () =>
      Effect.gen(function* () {
        const count = ["coinbase", "deribit"].includes(name) ? 60 : Math.ceil(600 / exchange.dataTypes.length)
        const symbols = Array.from({ length: count }, (_, i) =>
          (symbolsOf(exchange)[0] ?? "").replace(/btc/i, (base) => (base === "btc" ? `btc${i}x` : `BTC${i}X`))
        )
        const streams = streamsOf(exchange, symbols)
        const small: Exchange = {
          ...exchange,
          limits: {
            ...exchange.limits,
            fits: (part, url) =>
              exchange.limits.fits(part, url) && part.length <= Math.ceil(streams.length / 7)
          }
        }
        const { eventsOf, of, simulator, snapshots } = yield* simulate(small, streams, {
          symbols,
          rate: 2
        })
        const live = () => new Set(snapshots.map((snapshot) => snapshot.stream)).size
        yield* eventually("messages of all streams", () => live() === streams.length)
        expect(of(streams[0] ?? streamOf(name, "", "trade")).length).toBeGreaterThan(0)
        const { connections } = yield* simulator.status
        expect(connections.length).toBeGreaterThanOrEqual(7)
        snapshots.length = 0
        yield* simulator.inject({ _tag: "terminate" })
        yield* eventually("messages of all streams again", () => live() === streams.length)
        expect(eventsOf("SubscriptionRefused")).toEqual([])
        expect((yield* simulator.status).violations).toEqual({})
      })
    )
  }
)
