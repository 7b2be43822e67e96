import { Context, Duration, Effect, FiberSet, Layer, type Stream } from "effect"
import type { EndKind, ExchangeEvent } from "../domain/ExchangeEvent.ts"
import type { Heard } from "../domain/JournalEvent.ts"
import type { LastMessage } from "../domain/LastMessage.ts"
import type { MarketPattern } from "../domain/MarketPattern.ts"
import { changeOf, type Markets, type MarketsChange } from "../domain/Markets.ts"
import type { Snapshot } from "../domain/Snapshot.ts"
import { type MarketStream, type StreamId, streamKey } from "../domain/StreamId.ts"
import { makeAttemptLimiter } from "./AttemptLimiter.ts"
import type { ConnectionStatus } from "./Connection.ts"
import type { Exchange, Signer } from "./Exchange.ts"
import { type ExchangeRunner, makeExchangeRunner } from "./ExchangeRunner.ts"
import { makeEventLog } from "./eventLog.ts"
import { isMatchedBy } from "./instruments.ts"
import { latencyOf } from "./Latency.ts"
import { makePacer } from "./Pacer.ts"
import { makePauseHabit, type PauseHabit } from "./PauseHabit.ts"
import { ReceiveClock } from "./ReceiveClock.ts"
import { patience } from "./StreamWatch.ts"
import { skippedOf } from "./skipped.ts"
import { type ReaderTooSlow, streamOf } from "./snapshots.ts"
import { type StreamState, type TrackedStream, timeOf } from "./TrackedStream.ts"
import { connect } from "./WebSocket.ts"

/** The current status of a stream. */
export interface StreamStatus extends MarketStream {
  readonly state: StreamState
  /** Receive time of the newest message, microseconds since the epoch; null before the first one. */
  readonly lastMessageAt: number | null
  /** After how many seconds without a message it counts as silent, based on what is usual for it. */
  readonly patienceSeconds: number
  /** Messages received since the start; messages received twice count twice. */
  readonly messages: number
  /** Gaps proven since the start. */
  readonly gaps: number
  /** Whether nothing on the wire could prove a gap. */
  readonly unverifiable: boolean
  /** The connection that its messages come from; null before the first one. */
  readonly connection: string | null
  /** How often its connection ended, by kind of end. */
  readonly reconnects: ReadonlyMap<EndKind, number>
}

/** The merged Snapshots of all configured markets. */
export class ExchangeStream extends Context.Tag("collector/ExchangeStream")<
  ExchangeStream,
  {
    /**
     * Receives forever and passes every Snapshot to `offer` and every event to `onEvent`, on the call stack of the socket.
     * There is no fiber and no buffer in between, because an Effect Stream costs tens of microseconds for a message that
     * arrives alone. Neither callback may throw or block. Events are logged in any case. To be run once. `before` provides the
     * last message of each stream that an earlier process committed: whatever is missing since then, by the exchange's numbers,
     * is a gap.
     */
    readonly runForEach: (
      offer: (snapshot: Snapshot) => void,
      onEvent?: (event: ExchangeEvent) => void,
      before?: Effect.Effect<ReadonlyArray<LastMessage>>
    ) => Effect.Effect<never>
    /**
     * The same for programs that embed the collector, and for tests: a Stream of copies, in chunks of what arrived in the
     * meantime. It fails before any message is lost if the reader is slower than the messages, once `capacity` of them wait
     * (16,384 by default).
     */
    readonly snapshots: (options?: {
      readonly onEvent?: (event: ExchangeEvent) => void
      readonly capacity?: number
    }) => Stream.Stream<Snapshot, ReaderTooSlow>
    /** The status of every stream. */
    readonly status: Effect.Effect<ReadonlyArray<StreamStatus>>
    /** The status of every open connection. */
    readonly connections: Effect.Effect<ReadonlyArray<ConnectionStatus>>
    /** What is to be recorded now. */
    readonly markets: Effect.Effect<Markets>
    /**
     * Records other markets from now on. Streams that stay are left alone: neither they nor their connections notice. What is
     * added is requested and what is ended is released when this returns.
     */
    readonly change: (markets: Markets) => Effect.Effect<MarketsChange>
    /** When anything was last heard on each connection, those of polled streams included. */
    readonly heard: Effect.Effect<Heard>
  }
>() {
  /**
   * Connects to the exchanges of these streams, with as few connections as their limits allow. `endpoints` replaces their
   * WebSocket URLs, `restEndpoints` the URLs of their REST interfaces, where the symbols of `patterns` are looked up hourly,
   * and those of `streams` once.
   */
  static readonly layer = (options: ExchangeStreamOptions) =>
    Layer.effect(
      this,
      Effect.map(ReceiveClock, (clock) => {
        let markets: Markets = { streams: options.streams, patterns: options.patterns ?? [] }
        const runners = new Map<string, ExchangeRunner>()
        /** Records the markets of an exchange that has no runner; undefined before receiving began. */
        let begin: ((exchange: Exchange, markets: Markets) => Effect.Effect<void>) | undefined
        const habits = new Map(Array.from(options.exchanges.keys(), (name) => [name, makePauseHabit()]))
        const habitOf = (exchange: string) => habits.get(exchange) ?? makePauseHabit()
        const silenceSeconds = Duration.toSeconds(options.silenceTimeout)
        const patienceFor = ({ id, watch }: TrackedStream) =>
          patience(watch, silenceSeconds, habitOf(id.exchange))
        const runForEach: ExchangeStream["Type"]["runForEach"] = (
          offer,
          onEvent,
          before = Effect.succeed([])
        ) =>
          Effect.gen(function* () {
            const log = yield* makeEventLog
            const emit = (event: ExchangeEvent) => {
              onEvent?.(event)
              log.offer(event)
            }
            const runnerOf = makeRunnerOf(options, clock, offer, emit, habitOf)
            const running = yield* FiberSet.make<never, never>()
            runners.clear()
            let last: ReadonlyMap<string, LastMessage> = new Map()
            begin = (exchange, markets) =>
              Effect.gen(function* () {
                const runner = yield* runnerOf(exchange, markets)
                runners.set(exchange.name, runner)
                runner.resume(last)
                yield* FiberSet.run(running, Effect.interruptible(runner.run))
              })
            for (const exchange of options.exchanges.values()) {
              const own = marketsOf(markets, exchange.name)
              if (own.streams.length + own.patterns.length > 0) yield* begin(exchange, own)
            }
            const resume = Effect.map(before, (messages) => {
              last = new Map(messages.map((message) => [streamKey(message.stream), message]))
              for (const runner of runners.values()) runner.resume(last)
            })
            yield* Effect.all([log.run, resume, FiberSet.join(running)], {
              concurrency: "unbounded",
              discard: true
            })
            return yield* Effect.never
          }).pipe(Effect.scoped)
        const connections = () =>
          Array.from(runners.values()).flatMap((runner) =>
            runner.groups().flatMap((group) => group.connections().map((connection) => connection.status()))
          )
        return ExchangeStream.of({
          runForEach,
          snapshots: ({ capacity, onEvent } = {}) =>
            streamOf((offer) => runForEach(offer, onEvent), capacity ?? 16_384),
          status: Effect.sync(() =>
            Array.from(runners.values()).flatMap((runner) =>
              runner.streams().map((stream) => statusOf(stream, patienceFor(stream)))
            )
          ),
          markets: Effect.sync(() => markets),
          change: (next) =>
            Effect.gen(function* () {
              const before = markets
              markets = next
              const changes = yield* Effect.forEach(options.exchanges.values(), (exchange) => {
                const own = marketsOf(next, exchange.name)
                const runner = runners.get(exchange.name)
                if (runner !== undefined) return Effect.sync(() => runner.change(own))
                const change = changeOf(
                  marketsOf(before, exchange.name).streams,
                  own.streams,
                  [],
                  isMatchedBy(own.patterns)
                )
                return own.streams.length + own.patterns.length === 0 || begin === undefined
                  ? Effect.succeed(change)
                  : Effect.as(begin(exchange, own), change)
              })
              return {
                added: changes.flatMap(({ added }) => added),
                named: changes.flatMap(({ named }) => named),
                matched: changes.flatMap(({ matched }) => matched),
                ended: changes.flatMap(({ ended }) => ended)
              }
            }).pipe(Effect.uninterruptible),
          connections: Effect.sync(connections),
          heard: Effect.sync(() =>
            Object.fromEntries([
              ...connections().map(({ connection, heardAt }) => [connection, heardAt] as const),
              ...Array.from(runners.values()).flatMap((runner) => runner.polled())
            ])
          )
        })
      })
    )
}

export interface ExchangeStreamOptions {
  readonly exchanges: ReadonlyMap<string, Exchange>
  readonly streams: ReadonlyArray<MarketStream>
  readonly patterns?: ReadonlyArray<MarketPattern>
  readonly endpoints: ReadonlyMap<string, URL>
  readonly restEndpoints?: ReadonlyMap<string, URL>
  /** Signers by exchange, for those whose messages are signed. */
  readonly signers?: ReadonlyMap<string, Signer>
  readonly silenceTimeout: Duration.Duration
  /** How often the lists of instruments are fetched: every hour by default. */
  readonly refreshEvery?: Duration.Duration
}

/** The part of the markets that an exchange has. */
const marketsOf = ({ patterns, streams }: Markets, exchange: string): Markets => ({
  streams: streams.filter((stream) => stream.exchange === exchange),
  patterns: patterns.filter((pattern) => pattern.exchange === exchange)
})

const makeRunnerOf = (
  options: ExchangeStreamOptions,
  clock: ReceiveClock["Type"],
  offer: (snapshot: Snapshot) => void,
  emit: (event: ExchangeEvent) => void,
  habitOf: (exchange: string) => PauseHabit
) => {
  let lastConnection = 0
  /** The microsecond of its creation, or the next unused one: no other connection of this or another run has the same id. */
  const nextConnection = () => {
    lastConnection = Math.max(clock.unsafeNow(), lastConnection + 1)
    return lastConnection.toString(36)
  }
  /**
   * An endpoint other than the exchange's own may have other symbols: unless its list is given, only patterns are looked up, and
   * symbols that can only be subscribed to if they are listed.
   */
  const restUrlOf = (exchange: Exchange, patterns: ReadonlyArray<MarketPattern>): string | undefined => {
    const url = options.endpoints.get(exchange.name)
    const isOwn = url === undefined || url.href === new URL(exchange.url).href
    return (
      options.restEndpoints?.get(exchange.name)?.href ??
      (isOwn || patterns.length > 0 || exchange.closesOnUnknown === true
        ? exchange.instruments.url
        : undefined)
    )
  }
  return (exchange: Exchange, { patterns, streams }: Markets): Effect.Effect<ExchangeRunner> =>
    Effect.map(makeAttemptLimiter(exchange.limits.connections), (attempts) =>
      makeExchangeRunner({
        context: {
          exchange,
          url: options.endpoints.get(exchange.name)?.href ?? exchange.url,
          silenceTimeout: options.silenceTimeout,
          habit: habitOf(exchange.name),
          clock,
          offer,
          emit,
          latency: latencyOf(exchange.name),
          skipped: skippedOf(exchange.name),
          unreadableOf: unreadableOf(exchange.name),
          connect,
          signer: options.signers?.get(exchange.name),
          attempts,
          messages:
            exchange.limits.messagesOf === "address" ? makePacer(exchange.limits.messages) : undefined,
          nextConnection
        },
        streams,
        patterns,
        restUrl: (patterns) => restUrlOf(exchange, patterns),
        refreshEvery: options.refreshEvery ?? Duration.hours(1)
      })
    )
}

/** Returns the same object for the same symbol. */
const unreadableOf = (exchange: string) => {
  const known = new Map<string, StreamId>()
  return (symbol: string): StreamId => {
    const stream = known.get(symbol) ?? { exchange, symbol, dataType: "unreadable" }
    known.set(symbol, stream)
    return stream
  }
}

const statusOf = (stream: TrackedStream, patienceSeconds: number): StreamStatus => ({
  ...stream.id,
  state: stream.state,
  lastMessageAt: timeOf(stream.lastMessageAt),
  patienceSeconds,
  messages: stream.messages,
  gaps: stream.gaps,
  unverifiable: stream.rule.kind === "none",
  connection: stream.connection,
  reconnects: stream.reconnects
})
