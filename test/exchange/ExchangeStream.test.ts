import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, LogLevel, Stream } from "effect"
import type { Snapshot } from "../../src/domain/Snapshot.ts"
import type { MarketStream } from "../../src/domain/StreamId.ts"
import { ExchangeStream } from "../../src/exchange/ExchangeStream.ts"
import { ReceiveClock } from "../../src/exchange/ReceiveClock.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, settled } from "./harness.ts"

const streams: ReadonlyArray<MarketStream> = ["btcusdt", "ethusdt"].flatMap((symbol) => [
  { exchange: "binance", symbol, dataType: "orderbook" },
  { exchange: "binance", symbol, dataType: "trade" }
])

/** Receives from a simulator while a test runs. */
const receiving = (
  options: Partial<Simulator.SimulatorOptions> & {
    readonly path?: string
    readonly silenceTimeout?: Duration.Duration
  } = {}
) =>
  Effect.gen(function* () {
    const simulator = yield* Simulator.make({ rate: 50, ...options })
    const received: Array<Snapshot> = []
    const stream = yield* ExchangeStream.pipe(
      Effect.provide(
        ExchangeStream.layer({
          exchanges,
          streams,
          endpoints: new Map([["binance", new URL(simulator.url(options.path))]]),
          silenceTimeout: options.silenceTimeout ?? Duration.seconds(60)
        }).pipe(Layer.provide(ReceiveClock.layer))
      )
    )
    yield* Effect.forkScoped(
      stream
        .runForEach((snapshot) => received.push({ ...snapshot, data: Buffer.from(snapshot.data) }))
        .pipe(Logger.withMinimumLogLevel(LogLevel.None))
    )
    return { simulator, received }
  })

/** An ExchangeStream of a simulator, for its Snapshots to be read as a Stream. */
const streaming = (rate: number) =>
  Effect.gen(function* () {
    const simulator = yield* Simulator.make({ rate })
    return yield* ExchangeStream.pipe(
      Effect.provide(
        ExchangeStream.layer({
          exchanges,
          streams,
          endpoints: new Map([["binance", new URL(simulator.url())]]),
          silenceTimeout: Duration.seconds(60)
        }).pipe(Layer.provide(ReceiveClock.layer))
      )
    )
  })

const of = (received: ReadonlyArray<Snapshot>, stream: MarketStream) =>
  received.filter((snapshot) => snapshot.stream === stream)

describe("ExchangeStream", () => {
  it.scopedLive.each(["/stream", "/ws"])("receives every stream on %s, each under its own symbol", (path) =>
    Effect.gen(function* () {
      const { received, simulator } = yield* receiving({ path })
      yield* eventually("ten messages of each stream", () =>
        streams.every((stream) => of(received, stream).length >= 10)
      )
      const { connections, streams: sent } = yield* simulator.status
      expect(connections).toHaveLength(path === "/ws" ? 2 : 1)
      for (const stream of streams) {
        const name = `${stream.symbol}${stream.dataType === "trade" ? "@trade" : "@depth20@100ms"}`
        const ids = of(received, stream).map((snapshot) => Number(snapshot.exchangeSequenceId))
        expect(ids).toEqual([...ids].sort((a, b) => a - b))
        expect(new Set(ids).size).toBe(ids.length)
        expect(ids[0]).toBeGreaterThanOrEqual(Number(sent[name]?.firstId))
        expect(ids.at(-1)).toBeLessThanOrEqual(Number(sent[name]?.lastId))
        for (const snapshot of of(received, stream)) {
          const data: Record<string, unknown> = JSON.parse(Buffer.from(snapshot.data).toString())
          if (stream.dataType === "trade") {
            expect(data.s).toBe(stream.symbol.toUpperCase())
            expect(String(data.t)).toBe(snapshot.exchangeSequenceId)
            expect(Number(data.T) * 1000).toBe(snapshot.exchangeTimestamp)
          } else {
            expect(Object.keys(data)).toEqual(["lastUpdateId", "bids", "asks"])
            expect(snapshot.exchangeTimestamp).toBeNull()
          }
          expect(Math.abs(snapshot.timestamp / 1000 - Date.now())).toBeLessThan(60_000)
        }
      }
      const stamps = received.map((snapshot) => snapshot.timestamp)
      expect(stamps).toEqual([...stamps].sort((a, b) => a - b))
    })
  )

  it.scopedLive("has its Snapshots as a Stream, too", () =>
    Effect.gen(function* () {
      const stream = yield* streaming(50)
      const events: Array<string> = []
      const received = yield* stream
        .snapshots({ onEvent: ({ _tag }) => void events.push(_tag) })
        .pipe(Stream.take(200), Stream.runCollect, Logger.withMinimumLogLevel(LogLevel.None))
      const trades = Array.from(received).filter(({ stream }) => stream.dataType === "trade")
      expect(trades.length).toBeGreaterThan(10)
      for (const { data, exchangeSequenceId } of trades) {
        expect(JSON.parse(Buffer.from(data).toString())).toMatchObject({ t: Number(exchangeSequenceId) })
      }
      expect(events).toContain("StreamConnected")
    })
  )

  it.scopedLive("tells a reader of that Stream that it is too slow, before anything is lost", () =>
    Effect.gen(function* () {
      const stream = yield* streaming(100)
      const received: Array<Snapshot> = []
      const error = yield* stream.snapshots({ capacity: 20 }).pipe(
        Stream.runForEach((snapshot) =>
          Effect.delay(
            Effect.sync(() => void received.push(snapshot)),
            "100 millis"
          )
        ),
        Effect.flip,
        Logger.withMinimumLogLevel(LogLevel.None)
      )
      expect(error).toMatchObject({ _tag: "ReaderTooSlow", waiting: 20 })
      const ids = received
        .filter(({ stream }) => stream === streams[1])
        .map((snapshot) => Number(snapshot.exchangeSequenceId))
      expect(ids).toEqual(ids.map((_, n) => (ids[0] ?? 0) + n))
      expect(received.length).toBeGreaterThanOrEqual(20)
    })
  )

  it.scopedLive.each([
    { _tag: "terminate" },
    { _tag: "close", code: 1001, reason: "going away" },
    { _tag: "shutdown" }
  ] as const)("connects again after $_tag", (fault) =>
    Effect.gen(function* () {
      const { received, simulator } = yield* receiving()
      yield* eventually("data", () => received.length > 20)
      yield* simulator.inject(fault)
      yield* settled("a reconnect", simulator, ({ accepted }) => accepted === 2)
      const before = received.length
      yield* eventually("data after a reconnect", () => received.length > before + 20)
      expect((yield* simulator.status).accepted).toBe(2)
    })
  )

  it.scopedLive("waits longer and longer while it is refused, and then goes on", () =>
    Effect.gen(function* () {
      const { received, simulator } = yield* receiving()
      yield* eventually("data", () => received.length > 20)
      yield* simulator.inject({ _tag: "refuse", for: 2000, status: 503 })
      yield* simulator.inject({ _tag: "terminate" })
      yield* Effect.sleep("1 seconds")
      const before = received.length
      yield* eventually("data after a refusal", () => received.length > before + 20)
      expect((yield* simulator.status).refused).toBeLessThanOrEqual(3)
    })
  )

  it.scopedLive(
    "asks again for a lively stream that fell silent, and then moves it to a connection of its own",
    () =>
      Effect.gen(function* () {
        const { received, simulator } = yield* receiving({ silenceTimeout: Duration.seconds(2) })
        const silent = streams[0]
        if (silent === undefined) return
        yield* eventually("data", () => of(received, silent).length > 60)
        yield* simulator.inject({ _tag: "silence", stream: "btcusdt@depth20@100ms" })
        yield* Effect.sleep("500 millis")
        const before = of(received, silent).length
        yield* eventually("data of the silent stream", () => of(received, silent).length > before + 10)
        expect((yield* simulator.status).accepted).toBe(1)

        yield* simulator.inject({ _tag: "silence", stream: "btcusdt@depth20@100ms", sticky: true })
        yield* Effect.sleep("500 millis")
        const later = of(received, silent).length
        yield* eventually("data of the moved stream", () => of(received, silent).length > later + 10)
        const { accepted } = yield* settled(
          "one stream on a connection of its own",
          simulator,
          ({ connections }) =>
            connections
              .map(({ subscriptions }) => subscriptions.length)
              .sort()
              .join() === "1,3"
        )
        expect(accepted).toBe(2)
      })
  )

  it.scopedLive("keeps garbage aside, and the connection", () =>
    Effect.gen(function* () {
      const { received, simulator } = yield* receiving()
      yield* eventually("data", () => received.length > 20)
      for (const kind of ["text", "truncated", "shape", "binary", "noid"] as const) {
        yield* simulator.inject({ _tag: "garbage", count: 5, kind })
      }
      const before = received.length
      yield* eventually("data after garbage", () => received.length > before + 20)
      expect((yield* simulator.status).accepted).toBe(1)
      const isAside = ({ stream }: Snapshot) => stream.dataType === "unreadable"
      expect(received.filter(isAside).length).toBe(25)
      for (const snapshot of received) {
        if (!isAside(snapshot)) JSON.parse(Buffer.from(snapshot.data).toString())
      }
    })
  )

  it.scopedLive("connects again when most of what it receives is garbage", () =>
    Effect.gen(function* () {
      const { received, simulator } = yield* receiving({ rate: 10 })
      yield* eventually("data", () => received.length > 10)
      yield* simulator.inject({ _tag: "garbage", count: 1000, kind: "text" })
      const before = received.length
      yield* eventually("data", () => received.length > before + 20)
      yield* Effect.sleep("2 seconds")
      expect((yield* simulator.status).accepted).toBe(2)
    })
  )
})
