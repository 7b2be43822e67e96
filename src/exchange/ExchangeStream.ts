import type { Duration } from "effect"
import { Context, Effect, Layer, RateLimiter } from "effect"
import type { Snapshot } from "../domain/Snapshot.ts"
import type { StreamId } from "../domain/StreamId.ts"
import { runConnection } from "./Connection.ts"
import type { Exchange } from "./Exchange.ts"
import { ReceiveClock } from "./ReceiveClock.ts"

/** The merged Snapshots of all configured markets. */
export class ExchangeStream extends Context.Tag("collector/ExchangeStream")<
  ExchangeStream,
  {
    /**
     * Receives for ever and hands every Snapshot to `offer` on the call stack of its socket: no fiber and no buffer lie
     * between, because an Effect Stream costs tens of microseconds for a message that arrives by itself.
     */
    readonly runForEach: (offer: (snapshot: Snapshot) => void) => Effect.Effect<never>
  }
>() {
  /** Connections to the exchanges of these streams, as few as their limits allow. `endpoints` replace their URLs. */
  static readonly layer = (options: {
    readonly exchanges: ReadonlyMap<string, Exchange>
    readonly streams: ReadonlyArray<StreamId>
    readonly endpoints: ReadonlyMap<string, URL>
    readonly silenceTimeout: Duration.Duration
  }) =>
    Layer.effect(
      this,
      Effect.map(ReceiveClock, (clock) =>
        ExchangeStream.of({
          runForEach: (offer) =>
            Effect.forEach(
              options.exchanges.values(),
              (exchange) => {
                const url = options.endpoints.get(exchange.name)?.href ?? exchange.url
                const streams = options.streams.filter((stream) => stream.exchange === exchange.name)
                return runExchange(exchange, (limitAttempts) =>
                  exchange.partition(streams, url).map((part) =>
                    runConnection({
                      exchange,
                      url,
                      streams: part,
                      silenceTimeout: options.silenceTimeout,
                      clock,
                      limitAttempts,
                      offer
                    })
                  )
                )
              },
              { concurrency: "unbounded", discard: true }
            ).pipe(Effect.zipRight(Effect.never))
        })
      )
    )
}

const runExchange = (
  exchange: Exchange,
  connections: (limitAttempts: RateLimiter.RateLimiter) => ReadonlyArray<Effect.Effect<never>>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { attempts, per } = exchange.limits.connections
      const limitAttempts = yield* RateLimiter.make({ limit: attempts, interval: per })
      yield* Effect.all(connections(limitAttempts), { concurrency: "unbounded", discard: true })
    })
  )
