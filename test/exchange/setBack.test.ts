import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { exchanges } from "../../src/exchange/registry.ts"
import { binance } from "../../src/exchange/venues/binance.ts"
import { protocols } from "../../src/simulator/protocols.ts"
import { eventually, receive, simulate, streamOf } from "./harness.ts"
import { type Peer, scripted } from "./scripted.ts"

describe.concurrent("ids that are set back on a living connection", () => {
  it.scopedLive.each([
    ["binance", "trade", "btcusdt@trade", 50],
    ["binance", "orderbook_diff", "btcusdt@depth@100ms", 200],
    ["bybit", "orderbook", "orderbook.50.BTCUSDT", 50],
    ["okx", "trade", "trades:BTC-USDT", 50],
    ["okx", "orderbook", "books:BTC-USDT", 50],
    ["kraken", "trade", "trade:BTC/USD", 50],
    ["coinbase", "trade", "market_trades:BTC-USD", 50],
    ["coinbase", "orderbook", "level2:BTC-USD", 50]
  ] as const)(
    "%s %s: are told at once, with what is lost just then and among them",
    ([name, dataType, simulated, count]) =>
      Effect.gen(function* () {
        const exchange = exchanges.get(name) ?? binance
        const id = streamOf(name, protocols.get(name)?.symbols[0] ?? "", dataType)
        const { eventsOf, of, simulator } = yield* simulate(exchange, [id], { rate: 40 })
        yield* eventually("messages", () => of(id).length > 60)
        const last = of(id).at(-1)?.timestamp ?? 0
        yield* simulator.inject({ _tag: "rewind", count })
        yield* simulator.inject({ _tag: "skip", stream: simulated, count: 3 })
        yield* eventually("the set back", () => eventsOf("Discontinuity").length > 0, 5)
        const [doubt] = eventsOf("Discontinuity")
        expect(doubt).toMatchObject({ stream: id, reason: "set back" })
        expect(doubt?.after).toBeGreaterThanOrEqual(last)
        const stamps = of(id).map(({ timestamp }) => timestamp)
        // From the last message before them to the first of them.
        if (name !== "coinbase")
          expect(stamps.indexOf(doubt?.before ?? 0)).toBe(stamps.indexOf(doubt?.after ?? 0) + 1)

        const before = of(id).length
        yield* eventually("some more", () => of(id).length > before + 5)
        const gaps = eventsOf("GapDetected").length
        yield* simulator.inject({ _tag: "skip", stream: simulated, count: 1 })
        yield* eventually("the gap among them", () => eventsOf("GapDetected").length > gaps, 5)
        const later = of(id).length
        yield* eventually("all of them again, and more", () => of(id).length > later + 80)
        expect(eventsOf("GapDetected")).toHaveLength(gaps + 1)
        expect(eventsOf("Discontinuity")).toHaveLength(1)
        expect(eventsOf("ConnectionEnded")).toEqual([])
      })
  )

  it.scopedLive("are told where they fall into a hole that was told", () =>
    Effect.gen(function* () {
      const id = streamOf("binance", "btcusdt", "trade")
      const { eventsOf, of, simulator } = yield* simulate(binance, [id], { rate: 40 })
      yield* eventually("messages", () => of(id).length > 20)
      yield* simulator.inject({ _tag: "skip", stream: "btcusdt@trade", count: 40 })
      yield* eventually("the gap", () => eventsOf("GapDetected").length > 0)
      yield* simulator.inject({ _tag: "rewind", count: 30 })
      yield* eventually("the set back", () => eventsOf("Discontinuity").length > 0, 5)
      const before = of(id).length
      yield* eventually("more", () => of(id).length > before + 60)
      expect(eventsOf("Discontinuity")).toMatchObject([{ reason: "set back" }])
      expect(eventsOf("OutOfOrder")).toEqual([])
    })
  )
})

describe.concurrent("messages that come twice", () => {
  it.scopedLive.each(["binance", "bybit", "okx", "kraken", "coinbase"])(
    "%s: are no numbers that were set back",
    (name) =>
      Effect.gen(function* () {
        const exchange = exchanges.get(name) ?? binance
        const streams = exchange.dataTypes.map((type) =>
          streamOf(name, protocols.get(name)?.symbols[0] ?? "", type)
        )
        const { eventsOf, of, simulator } = yield* simulate(exchange, streams, { rate: 60 })
        yield* eventually("messages", () => streams.every((id) => of(id).length > 100))
        yield* simulator.inject({ _tag: "duplicates", count: 90 })
        yield* Effect.sleep("300 millis")
        yield* simulator.inject({ _tag: "duplicates", count: 5 })
        const before = streams.map((id) => of(id).length)
        yield* eventually("more", () => streams.every((id, i) => of(id).length > (before[i] ?? 0) + 60))
        expect(eventsOf("Discontinuity")).toEqual([])
        expect(eventsOf("GapDetected")).toEqual([])
      })
  )

  const id = streamOf("binance", "btcusdt", "trade")

  /** Receives these trades of Binance, one after the other. */
  const receiveTrades = (trades: ReadonlyArray<readonly [id: number, time: number | undefined]>) =>
    Effect.gen(function* () {
      const { url } = yield* scripted({
        onMessage: (peer: Peer, text) => {
          peer.send({ result: null, id: JSON.parse(text).id })
          const left = [...trades]
          peer.every(30, () => {
            const [t, T] = left.shift() ?? []
            if (t !== undefined) {
              peer.send({
                stream: "btcusdt@trade",
                data: {
                  e: "trade",
                  s: "BTCUSDT",
                  t,
                  ...(T === undefined ? {} : { T: 1_789_295_134_000 + T })
                }
              })
            }
          })
        }
      })
      const received = yield* receive({ streams: [id], endpoints: new Map([["binance", url]]) })
      yield* eventually("all trades", () => received.of(id).length === trades.length)
      return { ...received, timeOf: (n: number) => received.of(id)[n]?.timestamp }
    })

  it.scopedLive("a gap behind them begins with the last one that was new", () =>
    Effect.gen(function* () {
      const { eventsOf, timeOf } = yield* receiveTrades([
        [10, 0],
        [11, 1],
        [12, 2],
        [11, 1],
        [12, 2],
        [15, 9]
      ])
      expect(eventsOf("GapDetected")).toMatchObject([{ size: 2, after: timeOf(2), before: timeOf(5) }])
      expect(eventsOf("Discontinuity")).toEqual([])
    })
  )

  it.scopedLive.each([
    ["at the very moment of the last message", 0],
    ["and the clock by a moment", -2],
    ["and the clock by an hour", -3_600_000]
  ] as const)(
    "ids that are set back %s are told with the first one, and what is lost among them",
    ([, back]) =>
      Effect.gen(function* () {
        const { eventsOf, timeOf } = yield* receiveTrades([
          [10, 0],
          [11, 1],
          [12, 2],
          [11, 2 + back],
          [13, 3 + back],
          [14, 4 + back],
          [17, 5 + back]
        ])
        expect(eventsOf("Discontinuity")).toMatchObject([
          { reason: "set back", after: timeOf(2), before: timeOf(3) }
        ])
        expect(eventsOf("GapDetected")).toMatchObject([
          { size: 1, after: timeOf(3), before: timeOf(4) },
          { size: 2, after: timeOf(5), before: timeOf(6) }
        ])
        expect(eventsOf("OutOfOrder")).toEqual([])
      })
  )

  it.scopedLive("ids that fall into a hole that was told are told where the clock was set back, too", () =>
    Effect.gen(function* () {
      const { eventsOf, timeOf } = yield* receiveTrades([
        [10, 0],
        [30, 10],
        [12, 5 - 3_600_000],
        [14, 6 - 3_600_000]
      ])
      expect(eventsOf("Discontinuity")).toMatchObject([
        { reason: "set back", after: timeOf(1), before: timeOf(2) }
      ])
      expect(eventsOf("GapDetected")).toMatchObject([{ size: 19 }, { size: 1, after: timeOf(2) }])
    })
  )

  it.scopedLive(
    "ids below the first one of the connection are others, however little the clock was set back",
    () =>
      Effect.gen(function* () {
        const { eventsOf, timeOf } = yield* receiveTrades([
          [10, 0],
          [11, 10_000],
          [12, 20_000],
          [8, -10_000],
          [9, -9000],
          [13, -8000]
        ])
        expect(eventsOf("Discontinuity")).toMatchObject([
          { reason: "set back", after: timeOf(2), before: timeOf(3) }
        ])
        expect(eventsOf("GapDetected")).toMatchObject([{ size: 3, after: timeOf(4), before: timeOf(5) }])
      })
  )

  it.scopedLive("without a time they may be others", () =>
    Effect.gen(function* () {
      const { eventsOf, timeOf } = yield* receiveTrades([
        [10, undefined],
        [11, undefined],
        [3, undefined],
        [6, undefined]
      ])
      expect(eventsOf("Discontinuity")).toMatchObject([
        { reason: "set back", after: timeOf(1), before: timeOf(2) }
      ])
      expect(eventsOf("GapDetected")).toMatchObject([{ size: 2, after: timeOf(2), before: timeOf(3) }])
    })
  )
})

describe.concurrent("ids that begin anew with another connection", () => {
  const id = streamOf("binance", "btcusdt", "trade")
  const tradeOf = (t: number, seconds: number) => ({
    stream: "btcusdt@trade",
    data: { e: "trade", s: "BTCUSDT", t, T: 1_789_295_134_000 + 1000 * seconds }
  })

  /**
   * Ten trades on the first connection, then on the second one others under low ids, of which 40 to 42 are missing, and by a
   * clock that was set back by so many seconds.
   */
  const receiveAnew = (endFirst: (peer: Peer) => void, back = 0) =>
    Effect.gen(function* () {
      const { url } = yield* scripted({
        onMessage: (peer: Peer, text) => {
          peer.send({ result: null, id: JSON.parse(text).id })
          if (!text.includes('"SUBSCRIBE"')) return
          let sent = 0
          peer.every(20, () => {
            sent++
            if (peer.id > 1) peer.send(tradeOf(sent < 40 ? sent : sent + 3, 10 + sent - back))
            else if (sent <= 10) peer.send(tradeOf(5000 + sent, 0))
            else if (sent === 20) endFirst(peer)
          })
        }
      })
      const received = yield* receive({ streams: [id], endpoints: new Map([["binance", url]]) })
      yield* eventually("all of them", () => received.of(id).length > 100)
      return received
    })

  it.scopedLive.each([
    ["", 0],
    [", also if the clock was set back", 3600]
  ] as const)("that takes over: are told, with what is missing among them%s", ([, back]) =>
    Effect.gen(function* () {
      const notice = { stream: "!serverShutdown", data: { e: "serverShutdown", E: 1 } }
      const { eventsOf, of } = yield* receiveAnew((peer) => peer.send(notice), back)
      expect(eventsOf("ConnectionEnded").map(({ kind }) => kind)).toEqual(["replaced"])
      const [doubt, ...more] = eventsOf("Discontinuity")
      expect(doubt).toMatchObject({ reason: "set back", after: of(id)[9]?.timestamp })
      expect(more).toEqual([])
      const at = of(id).findIndex(({ exchangeSequenceId }) => exchangeSequenceId === "43")
      const missing = [of(id)[at - 1]?.timestamp ?? 0, of(id)[at]?.timestamp ?? 0] as const
      const windows = [...eventsOf("GapDetected"), ...eventsOf("Discontinuity")]
      expect(
        windows.some(({ after, before }) => (after ?? 0) <= missing[0] && (before ?? 0) >= missing[1])
      ).toBe(true)
    })
  )

  it.scopedLive.each(["4999", "5004"])(
    "and a clock that was set back by a little: are told, from %s on",
    (first) =>
      Effect.gen(function* () {
        const { url } = yield* scripted({
          onMessage: (peer: Peer, text) => {
            peer.send({ result: null, id: JSON.parse(text).id })
            if (!text.includes('"SUBSCRIBE"')) return
            const trades: Array<readonly [number, number]> =
              peer.id === 1
                ? Array.from({ length: 10 }, (_, i) => [5001 + i, 3 * i] as const)
                : [
                    [Number(first), 5],
                    [Number(first) + 1, 6],
                    [5011, 7]
                  ]
            peer.every(30, () => {
              const [t, seconds] = trades.shift() ?? []
              if (t !== undefined && seconds !== undefined) peer.send(tradeOf(t, seconds))
              else if (peer.id === 1) peer.reset()
            })
          }
        })
        const { eventsOf, of } = yield* receive({ streams: [id], endpoints: new Map([["binance", url]]) })
        yield* eventually("all of them", () => of(id).length === 13)
        const [before, last] = [of(id)[11]?.timestamp ?? 0, of(id)[12]?.timestamp ?? 0]
        yield* eventually(
          "the gap",
          () =>
            [...eventsOf("GapDetected"), ...eventsOf("Discontinuity")].some(
              ({ after, before: until }) => (after ?? 0) <= before && (until ?? 0) >= last
            ),
          5
        )
      })
  )

  it.scopedLive.each([
    ["", 0],
    [" also if the clock was set back", 3600]
  ] as const)("after the one before was lost: what is missing among them is told%s", ([, back]) =>
    Effect.gen(function* () {
      const { eventsOf } = yield* receiveAnew((peer) => peer.reset(), back)
      expect(eventsOf("Discontinuity")).toMatchObject([{ reason: "reconnect" }])
      expect(eventsOf("GapDetected")).toMatchObject([{ expected: 40, received: 43, size: 3 }])
    })
  )
})
