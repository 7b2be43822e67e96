import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, TestClock } from "effect"
import type { ExchangeEvent } from "../../src/domain/ExchangeEvent.ts"
import type { MarketStream } from "../../src/domain/StreamId.ts"
import { makeAllowance } from "../../src/exchange/Allowance.ts"
import { makeAttemptLimiter } from "../../src/exchange/AttemptLimiter.ts"
import { openConnection } from "../../src/exchange/Connection.ts"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { latencyOf } from "../../src/exchange/Latency.ts"
import { makePauseHabit } from "../../src/exchange/PauseHabit.ts"
import { makeReceiveClock } from "../../src/exchange/ReceiveClock.ts"
import { makeSilenceWatch } from "../../src/exchange/SilenceWatch.ts"
import { makeStatusWatch } from "../../src/exchange/StatusWatch.ts"
import { skippedOf } from "../../src/exchange/skipped.ts"
import { trackStream } from "../../src/exchange/TrackedStream.ts"
import { binance } from "../../src/exchange/venues/binance.ts"
import { kraken } from "../../src/exchange/venues/kraken.ts"
import type { WebSocketHandlers } from "../../src/exchange/WebSocket.ts"

/**
 * A connection on the test's clock, whose socket is the test: what it sends is in `sent`, what it hears is what `hear` says.
 * That real sockets behave is what the conformance suite tests.
 */
const open = (exchange: Exchange, symbol: string) =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const receiveClock = makeReceiveClock({
      wall: () => clock.unsafeCurrentTimeMillis() * 1000,
      monotonic: () => clock.unsafeCurrentTimeMillis() * 1000
    })
    const events: Array<ExchangeEvent> = []
    const emit = (event: ExchangeEvent) => void events.push(event)
    const sent: Array<string> = []
    let pings = 0
    let handlers: WebSocketHandlers | undefined
    const stream: MarketStream = { exchange: exchange.name, symbol, dataType: "trade" }
    const tracked = trackStream(exchange, stream)
    const connection = yield* openConnection(
      {
        exchange,
        url: exchange.url,
        connect: (_, given) =>
          Effect.sync(() => {
            handlers = given
            return {
              send: (text) => Effect.sync(() => void sent.push(text)),
              unsafeSend: (text) => void sent.push(text),
              unsafePing: () => void pings++,
              ended: Effect.never
            }
          }),
        silenceTimeout: Duration.seconds(60),
        habit: makePauseHabit(),
        clock: receiveClock,
        offer: () => {},
        emit,
        onListing: () => {},
        onFirst: () => {},
        latency: latencyOf(exchange.name),
        skipped: skippedOf(exchange.name),
        unreadableOf: (symbol) => ({ exchange: exchange.name, symbol, dataType: "unreadable" }),
        statuses: makeStatusWatch(exchange.name, emit),
        signer: undefined,
        attempts: yield* makeAttemptLimiter([]),
        messages: undefined,
        nextConnection: () => "c"
      },
      {
        id: "c",
        streams: [tracked],
        primary: true,
        guests: new Set(),
        allowance: makeAllowance({
          perSecond: 1,
          burst: 1,
          bytesPerSecond: 1000,
          burstBytes: 1000,
          maxBytes: 1000
        }),
        silence: makeSilenceWatch(60, makePauseHabit()),
        onMove: () => false
      }
    )
    const ended = yield* Effect.fork(connection.ended)
    const handover = yield* Effect.fork(connection.handover)
    const nowIn = <A>(fiber: Fiber.RuntimeFiber<A>) =>
      Effect.map(
        Fiber.poll(fiber),
        Option.flatMap((exit) => Option.liftThrowable(() => exit)())
      )
    return {
      connection,
      tracked,
      events,
      sent,
      pings: () => pings,
      hear: (frame: unknown) => handlers?.onMessage(Buffer.from(JSON.stringify(frame))),
      pong: () => handlers?.onPong(),
      ended: nowIn(ended),
      handover: nowIn(handover),
      /** Each of these seconds, then the next. */
      pass: (seconds: number, each: () => void = () => {}) =>
        Effect.repeatN(Effect.zipRight(Effect.sync(each), TestClock.adjust("1 second")), seconds - 1)
    }
  })

const acknowledgement = {
  method: "subscribe",
  success: true,
  result: { channel: "trade", symbol: "BTC/USD" },
  req_id: 1
}
const heartbeat = { channel: "heartbeat" }

describe("the life of a connection", () => {
  it.scoped("ends it when no subscription is answered within 10 s", () =>
    Effect.gen(function* () {
      const { ended, hear, pass } = yield* open(kraken, "BTC/USD")
      yield* pass(9, () => hear(heartbeat))
      expect(Option.isNone(yield* ended)).toBe(true)
      yield* pass(3, () => hear(heartbeat))
      expect(yield* ended).toMatchObject({ value: { value: { kind: "unanswered" } } })
    })
  )

  it.scoped("ends it when nothing is heard for as long as the exchange is never quiet", () =>
    Effect.gen(function* () {
      const { ended, hear, pass } = yield* open(kraken, "BTC/USD")
      yield* TestClock.adjust("1 second")
      hear(acknowledgement)
      yield* pass(18)
      hear({ method: "pong" })
      expect(Option.isNone(yield* ended)).toBe(true)
      yield* pass(31)
      expect(yield* ended).toMatchObject({
        value: { value: { kind: expect.stringMatching(/idle|pong/) } }
      })
    })
  )

  it.scoped("ends it when a ping is not answered, whatever else comes", () =>
    Effect.gen(function* () {
      const { ended, hear, pass, sent } = yield* open(kraken, "BTC/USD")
      yield* TestClock.adjust("1 second")
      hear(acknowledgement)
      yield* pass(18, () => hear(heartbeat))
      expect(sent.filter((frame) => frame.includes("ping"))).toHaveLength(0)
      yield* pass(2, () => hear(heartbeat))
      expect(sent.filter((frame) => frame.includes("ping"))).toHaveLength(1)
      yield* pass(7, () => hear(heartbeat))
      expect(Option.isNone(yield* ended)).toBe(true)
      yield* pass(3, () => hear(heartbeat))
      expect(yield* ended).toMatchObject({ value: { value: { kind: "pong" } } })
    })
  )

  it.scoped("has another one take over before the exchange ends it for its age", () =>
    Effect.gen(function* () {
      const shortLived = { ...binance, lifetime: Duration.minutes(10) }
      const { ended, handover, hear, pass, pong, sent } = yield* open(shortLived, "btcusdt")
      yield* TestClock.adjust("1 second")
      hear({ result: null, id: 1 })
      yield* pass(0.84 * 600, pong)
      expect(sent).toHaveLength(1)
      expect(Option.isNone(yield* handover)).toBe(true)
      yield* pass(0.14 * 600, pong)
      expect(yield* handover).toMatchObject({ value: { value: { kind: "replaced" } } })
      expect(Option.isNone(yield* ended)).toBe(true)
    })
  )

  it.scoped("asks once more for a stream that fell silent, and then has another connection take over", () =>
    Effect.gen(function* () {
      const { events, handover, hear, pass, sent, tracked } = yield* open(kraken, "BTC/USD")
      yield* TestClock.adjust("1 second")
      hear(acknowledgement)
      let id = 0
      const trade = () =>
        hear({
          channel: "trade",
          type: "update",
          data: [
            {
              symbol: "BTC/USD",
              side: "buy",
              price: 1,
              qty: 1,
              ord_type: "limit",
              trade_id: ++id,
              timestamp: new Date(id * 1000).toISOString().replace("Z", "000Z")
            }
          ]
        })
      const alive = () => {
        hear(heartbeat)
        hear({ method: "pong" })
      }
      yield* pass(30, () => {
        alive()
        trade()
      })
      expect(tracked.state).toBe("live")
      yield* pass(59, alive)
      expect(sent.filter((frame) => frame.includes('"subscribe"'))).toHaveLength(1)
      yield* pass(3, alive)
      expect(sent.filter((frame) => frame.includes('"subscribe"'))).toHaveLength(2)
      expect(Option.isNone(yield* handover)).toBe(true)
      yield* pass(62, alive)
      expect(yield* handover).toMatchObject({ value: { value: { kind: "silent" } } })
      expect(events.filter(({ _tag }) => _tag === "StreamSilent")).toMatchObject([
        { action: "resubscribed" },
        { action: "moved" }
      ])
    })
  )
})
