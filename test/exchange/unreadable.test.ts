import { gunzipSync, gzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, FastCheck, Option } from "effect"
import type { ExchangeEvent } from "../../src/domain/ExchangeEvent.ts"
import type { Snapshot } from "../../src/domain/Snapshot.ts"
import { type MarketStream, streamKey } from "../../src/domain/StreamId.ts"
import { makeAllowance } from "../../src/exchange/Allowance.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import { trackStream } from "../../src/exchange/TrackedStream.ts"
import { makeUnreadable } from "../../src/exchange/Unreadable.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { eventually, holesIn, type Received, receive, streamOf, textOf } from "./harness.ts"
import { type Peer, scripted } from "./scripted.ts"

const book = streamOf("bybit", "BTCUSDT", "orderbook")
const trade = streamOf("bybit", "BTCUSDT", "trade")

const bookFrame = (u: number) =>
  `{"topic":"orderbook.50.BTCUSDT","ts":1787612486116,"type":"${u === 2 ? "snapshot" : "delta"}","data":{"s":"BTCUSDT","b":[],"a":[],"u":${u},"seq":${u}}}`
const tradeFrame = (i: number) =>
  `{"topic":"publicTrade.BTCUSDT","ts":1787612486116,"type":"snapshot","data":[{"i":"${i}","T":1787612486116}]}`

/** An exchange that takes whatever is asked for, and then what `act` makes it send. */
const bybitThat = (act: (peer: Peer) => void) =>
  scripted({
    onMessage: (peer, text) => {
      const { op, req_id } = JSON.parse(text)
      if (op === "ping") return peer.send({ success: true, ret_msg: "pong", op })
      peer.send({ success: true, ret_msg: op, req_id, op })
      if (op === "subscribe") act(peer)
    }
  })

const record = (streams: ReadonlyArray<MarketStream>, url: URL) =>
  receive({ streams, endpoints: new Map([["bybit", url]]) })

/** What is kept as it came. */
const kept = ({ snapshots }: Received) => snapshots.filter(({ stream }) => stream.dataType === "unreadable")

/** The bytes of a frame that is kept. */
const bytesOf = ({ data, exchangeSequenceId }: Snapshot): Buffer =>
  exchangeSequenceId.endsWith("-base64")
    ? Buffer.from(Buffer.from(data).toString(), "base64")
    : Buffer.from(data)

const everything = { from: 0, to: Number.MAX_SAFE_INTEGER }

describe.concurrent("a frame that cannot be read", () => {
  it.scopedLive(
    "is kept as it came, and its stream is in doubt from the message before to the one after",
    () =>
      Effect.gen(function* () {
        const bad = bookFrame(4).replace('"u":4,', "")
        const { url } = yield* bybitThat((peer) => {
          for (const frame of [bookFrame(2), tradeFrame(1), bookFrame(3), bad, tradeFrame(2)])
            peer.send(frame)
          setTimeout(() => peer.send(bookFrame(5)), 300)
        })
        const received = yield* record([book, trade], url)
        const { eventsOf, of } = received
        yield* eventually("the message after", () => of(book).length === 3)
        expect(kept(received).map(textOf)).toEqual([bad])
        expect(kept(received)[0]?.stream).toEqual({
          exchange: "bybit",
          symbol: "BTCUSDT",
          dataType: "unreadable"
        })
        expect(eventsOf("StreamUnreadable")).toMatchObject([
          { stream: book, reason: "without a sequence id", after: of(book)[1]?.timestamp }
        ])
        yield* eventually("that it can be read again", () => eventsOf("StreamReadable").length > 0)
        expect(eventsOf("StreamReadable")).toMatchObject([
          { stream: book, at: of(book)[2]?.timestamp, frames: 1, kept: 1 }
        ])
        const [before, , after] = of(book)
        const ends = holesIn([book, trade], received.events, everything)
          .get(streamKey(book))
          ?.filter(({ reasons }) => reasons.includes("unreadable"))
        expect(ends?.[0]?.from).toBeGreaterThan(before?.timestamp ?? 0)
        expect(ends?.[0]?.to).toBe(after?.timestamp)
      })
  )

  it.scopedLive("may be of any stream of its connection where it names none: all are in doubt", () =>
    Effect.gen(function* () {
      const zipped = gzipSync(bookFrame(4))
      const { url } = yield* bybitThat((peer) => {
        for (const frame of [bookFrame(2), tradeFrame(1), zipped, "\u0000", bookFrame(5), tradeFrame(2)]) {
          peer.send(frame)
        }
      })
      const received = yield* record([book, trade], url)
      const { eventsOf, of, stream } = received
      yield* eventually("the messages after", () => of(trade).length === 2)
      expect(kept(received).map(bytesOf)).toEqual([zipped, Buffer.from("\u0000")])
      expect(gunzipSync(kept(received).map(bytesOf)[0] ?? "").toString()).toBe(bookFrame(4))
      expect(kept(received).map(({ stream }) => stream.symbol)).toEqual(["*", "*"])
      expect(new Set(kept(received).map(({ exchangeSequenceId }) => exchangeSequenceId)).size).toBe(2)
      expect(eventsOf("StreamUnreadable")).toMatchObject(
        [book, trade].map((id) => ({ stream: id, reason: "compressed", after: of(id)[0]?.timestamp }))
      )
      expect((yield* stream.status).map(({ state }) => state)).toEqual(["unreadable", "unreadable"])
      yield* eventually("that they can be read again", () => eventsOf("StreamReadable").length === 2)
      expect(eventsOf("StreamReadable")).toMatchObject(
        [book, trade].map((id) => ({ stream: id, at: of(id)[1]?.timestamp, frames: 2 }))
      )
      expect((yield* stream.status).map(({ state }) => state)).toEqual(["live", "live"])
    })
  )

  it.scopedLive("is one time with those that follow, however many, and only so many are kept", () =>
    Effect.gen(function* () {
      const count = 20_000
      const { url } = yield* bybitThat((peer) => {
        peer.send(bookFrame(2))
        for (let i = 0; i < count; i++) {
          peer.send(bookFrame(3 + i))
          peer.send(i % 2 === 0 ? "garbage" : '{"topic":"publicTrade.BTCUSDT"}')
        }
        peer.send(tradeFrame(1))
      })
      const startedAt = Date.now()
      const received = yield* record([book, trade], url)
      const { eventsOf, of } = received
      yield* eventually("all messages", () => of(book).length === count + 1 && of(trade).length === 1)
      yield* eventually("that they can be read again", () => eventsOf("StreamReadable").length === 2)
      expect(eventsOf("StreamUnreadable").length).toBe(2)
      const [first] = eventsOf("StreamReadable")
      expect(first?.frames).toBe(count / 2)
      const seconds = (Date.now() - startedAt) / 1000
      expect(kept(received).length).toBeLessThan(2_100 + 110 * seconds)
      expect(kept(received).length).toBeGreaterThan(1000)
    })
  )

  it.scopedLive("is none if it is known and harmless, or of a stream that was ended", () =>
    Effect.gen(function* () {
      const market = streamOf("okx", "ETH-USDT", "trade")
      let send: (frame: unknown) => void = () => {}
      const okxTrade = (instId: string) => ({
        arg: { channel: "trades", instId },
        data: [{ instId, tradeId: "1", ts: "1787612486116", count: "1" }]
      })
      const { url } = yield* scripted({
        onMessage: (peer, text) => {
          if (text === "ping") return peer.send("pong")
          const { args, id, op } = JSON.parse(text)
          send = peer.send
          for (const arg of args) {
            peer.send({ event: op, arg, id })
            if (op === "subscribe") peer.send(okxTrade(arg.instId))
          }
        }
      })
      const list = yield* Simulator.make({ exchange: "okx", symbols: ["ETH-USDT", "SOL-USDT"] })
      const received = yield* receive({
        streams: [],
        patterns: [{ exchange: "okx", pattern: "*", dataTypes: ["trade"] }],
        endpoints: new Map([["okx", url]]),
        restEndpoints: new Map([["okx", new URL(list.httpUrl("/"))]]),
        refreshEvery: Duration.millis(300)
      })
      const { eventsOf, of } = received
      yield* eventually("messages", () => received.snapshots.length === 2)
      yield* list.inject({ _tag: "delist", symbol: "SOL-USDT" })
      yield* eventually("its end", () => eventsOf("SymbolDelisted").length === 1)
      send(okxTrade("SOL-USDT"))
      send({ arg: { channel: "trades", instId: "SOL-USDT" }, data: "of another kind" })
      send({ event: "channel-conn-count", channel: "trades", connCount: "2" })
      send({ event: "subscribe", arg: { channel: "trades", instId: "ETH-USDT" }, id: 1 })
      send(okxTrade("ETH-USDT"))
      yield* eventually("the message after", () => of(market).length === 2)
      expect(eventsOf("StreamUnreadable")).toEqual([])
      expect(kept(received)).toEqual([])
    })
  )
})

describe.concurrent("a stream of which no message can be read", () => {
  it.scopedLive("is not connected, though the exchange has taken it", () =>
    Effect.gen(function* () {
      const { url } = yield* bybitThat((peer) => {
        for (let i = 2; i < 12; i++) peer.send(bookFrame(i))
        for (let i = 0; i < 5; i++) peer.send('{"topic":"publicTrade.BTCUSDT","data":{}}')
      })
      const received = yield* record([book, trade], url)
      yield* eventually("its frames", () => kept(received).length === 5)
      expect(received.eventsOf("StreamConnected").map(({ stream }) => stream)).toEqual([book])
      const now = Date.now() * 1000
      const span = { from: now - 60e6, to: now + 60e6 }
      const holes = holesIn([book, trade], received.events, span)
      expect(holes.get(streamKey(trade))).toMatchObject([span])
      expect((yield* received.stream.status).map(({ state }) => state)).toEqual(["live", "unreadable"])
    })
  )

  it.scopedLive("is connected from the answer on, once its first message came", () =>
    Effect.gen(function* () {
      let send: Peer["send"] | undefined
      const { url } = yield* bybitThat((peer) => {
        send = peer.send
      })
      const { eventsOf, of, stream } = yield* record([trade], url)
      yield* Effect.repeat(Effect.delay(stream.status, "20 millis"), {
        until: ([first]) => first?.state === "subscribed"
      })
      yield* Effect.sleep("500 millis")
      expect(eventsOf("StreamConnected")).toEqual([])
      send?.(tradeFrame(1))
      yield* eventually("the message", () => of(trade).length === 1)
      const [connected] = eventsOf("StreamConnected")
      expect(connected?.at).toBe(of(trade)[0]?.timestamp)
      expect(connected?.since ?? 0).toBeLessThanOrEqual((connected?.at ?? 0) - 400_000)
    })
  )

  it.scopedLive("is in doubt from its silence on until it says something", () =>
    Effect.gen(function* () {
      const id = streamOf("bybit", "BTCUSDT", "trade")
      let asked = 0
      const { url } = yield* bybitThat((peer) => {
        if (++asked === 1) for (let i = 0; i < 20; i++) peer.send(tradeFrame(i))
        else if (asked === 2) setTimeout(() => peer.send(tradeFrame(100)), 1000)
      })
      const received = yield* receive({
        streams: [id],
        endpoints: new Map([["bybit", url]]),
        silenceTimeout: Duration.seconds(2)
      })
      const { eventsOf, of } = received
      yield* eventually("the message after its silence", () => of(id).length > 20)
      expect(eventsOf("StreamHeard")).toMatchObject([{ stream: id, at: of(id)[20]?.timestamp }])
      const last = of(id)[19]?.timestamp ?? 0
      const span = { from: last + 1, to: of(id)[20]?.timestamp ?? 0 }
      const holes = holesIn([id], received.events, span)
      expect(holes.get(streamKey(id))).toMatchObject([{ ...span, reasons: ["silent"] }])
    })
  )
})

describe("a time in which a stream cannot be read", () => {
  const bybit = Option.getOrThrow(Option.fromNullable(exchanges.get("bybit")))
  const tracked = () => [trackStream(bybit, book), trackStream(bybit, trade)] as const
  const generous = { perSecond: 1e6, burst: 1e6, bytesPerSecond: 1e9, burstBytes: 1e9, maxBytes: 1e9 }

  it("ends also where the clock is set back meanwhile, and lasts longer the next time", () => {
    const [one, other] = tracked()
    const events: Array<ExchangeEvent> = []
    let millis = 0
    const unreadable = makeUnreadable({
      context: {
        emit: (event) => events.push(event),
        offer: () => {},
        unreadableOf: (symbol) => ({ exchange: "bybit", symbol, dataType: "unreadable" })
      },
      connection: "c",
      allowance: makeAllowance(generous),
      monotonicMillis: () => millis,
      streams: () => [one, other]
    })
    const pass = (seconds: number) => {
      for (let i = 0; i < seconds; i++) {
        millis += 1000
        unreadable.tick()
      }
    }
    const tags = () => events.map((event) => ("stream" in event ? `${event._tag} ${event.at}` : ""))
    one.lastMessageAt = 900
    other.lastMessageAt = 900
    const bytes = Buffer.from("?")
    unreadable.add({ _tag: "Malformed", reason: "not a JSON object" }, undefined, bytes, 1000, 950)
    pass(100)
    expect(tags()).toEqual(["StreamUnreadable 1000", "StreamUnreadable 1000"])
    // An hour back.
    unreadable.onRead(10)
    unreadable.onMessage(one, 10)
    pass(1)
    expect(tags().slice(2)).toEqual(["StreamReadable 10", "StreamReadable 10"])
    unreadable.add({ _tag: "Malformed", reason: "without a sequence id", stream: book }, one, bytes, 20, 15)
    unreadable.onRead(30)
    unreadable.onMessage(one, 30)
    pass(4)
    unreadable.add({ _tag: "Malformed", reason: "without a sequence id", stream: book }, one, bytes, 40, 35)
    pass(20)
    expect(tags().slice(4)).toEqual(["StreamUnreadable 20"])
    unreadable.onMessage(one, 50)
    pass(1)
    expect(tags().slice(5)).toEqual(["StreamReadable 50"])
    // The next one has to be over for longer.
    unreadable.add({ _tag: "Malformed", reason: "without a sequence id", stream: book }, one, bytes, 60, 55)
    unreadable.onMessage(one, 70)
    pass(8)
    expect(tags().slice(6)).toEqual(["StreamUnreadable 60"])
    pass(3)
    expect(events.at(-1)).toMatchObject({ _tag: "StreamReadable", at: 70, frames: 1, kept: 1, after: 900 })
    expect(other.unreadable).toBeNull()
  })
})

describe("how much is kept", () => {
  it("is bounded in any time, whatever comes", () => {
    const limits = { perSecond: 10, burst: 50, bytesPerSecond: 1000, burstBytes: 8000, maxBytes: 4000 }
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.tuple(FastCheck.nat(6000), FastCheck.nat(500)), { maxLength: 300 }),
        (offers) => {
          const allowance = makeAllowance(limits)
          const taken: Array<readonly [at: number, size: number]> = []
          let now = 0
          for (const [size, pause] of offers) {
            now += pause
            if (allowance.take(size, now)) taken.push([now, size])
          }
          for (const [i, [from]] of taken.entries()) {
            const later = taken.slice(i)
            const seconds = (now - from) / 1000
            expect(later.length).toBeLessThanOrEqual(limits.burst + seconds * limits.perSecond)
            const bytes = later.reduce((sum, [, size]) => sum + size, 0)
            expect(bytes).toBeLessThanOrEqual(limits.burstBytes + seconds * limits.bytesPerSecond)
          }
          expect(taken.every(([, size]) => size <= limits.maxBytes)).toBe(true)
        }
      )
    )
  })
})
