import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { deribit } from "../../src/exchange/venues/deribit.ts"
import { eventually, settled, simulate, streamOf } from "./harness.ts"

describe.concurrent("deribit", () => {
  it.scopedLive("answers test requests, without which the exchange closes the connection", () =>
    Effect.gen(function* () {
      const [heartbeats = ""] = deribit.opening
      const hurried = { ...deribit, opening: [heartbeats.replace('"interval":10', '"interval":1')] }
      const streams = [streamOf("deribit", "BTC-PERPETUAL", "trade")]
      const { eventsOf, simulator, stream } = yield* simulate(hurried, streams)
      // The request for heartbeats, the one for the stream, and two answers.
      yield* settled("the answers", simulator, ({ connections }) => (connections[0]?.received ?? 0) >= 4)
      const [connection] = yield* stream.connections
      expect(connection?.pingsAnswered).toBeGreaterThanOrEqual(2)
      expect(eventsOf("ConnectionEnded")).toEqual([])
    })
  )

  it.scopedLive("takes channels that an answer leaves out for refused, and only those", () =>
    Effect.gen(function* () {
      const good = [
        streamOf("deribit", "BTC-PERPETUAL", "orderbook"),
        streamOf("deribit", "XRP_USDC", "ticker")
      ]
      const bad = streamOf("deribit", "BTC-1JAN20", "orderbook")
      const { events, eventsOf, of } = yield* simulate(deribit, [...good, bad])
      yield* eventually("the refusal", () => eventsOf("SubscriptionRefused").length > 0)
      yield* eventually("messages of the others", () => good.every((id) => of(id).length >= 3))
      expect(eventsOf("SubscriptionRefused")).toMatchObject([
        { stream: bad, reason: "the exchange leaves it out of its answer" }
      ])
      expect(eventsOf("StreamConnected").map(({ stream }) => stream)).toEqual(good)
      expect(
        events.filter(
          ({ _tag }) =>
            !["ConnectionOpened", "StreamConnected", "SubscriptionRefused", "StreamDisconnected"].includes(
              _tag
            )
        )
      ).toEqual([])
    })
  )
})
