import { Data, Duration, Effect, HashMap, Layer, Logger, LogLevel } from "effect"
import { endOfJournal } from "../../src/domain/Coverage/ending.ts"
import { noCoverage } from "../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../src/domain/Coverage.ts"
import { holesOf } from "../../src/domain/CoverageReport.ts"
import type { ExchangeEvent } from "../../src/domain/ExchangeEvent.ts"
import type { LastMessage } from "../../src/domain/LastMessage.ts"
import { microsPerHour } from "../../src/domain/micros.ts"
import type { Snapshot } from "../../src/domain/Snapshot.ts"
import { type MarketStream, type MarketType, streamKey } from "../../src/domain/StreamId.ts"
import type { Window } from "../../src/domain/Window.ts"
import type { Exchange } from "../../src/exchange/Exchange.ts"
import { ExchangeStream, type ExchangeStreamOptions } from "../../src/exchange/ExchangeStream.ts"
import { ReceiveClock } from "../../src/exchange/ReceiveClock.ts"
import { exchanges } from "../../src/exchange/registry.ts"
import * as Simulator from "../../src/simulator/Simulator.ts"
import type { SimulatorStatus } from "../../src/simulator/SimulatorStatus.ts"
import { pace, patience } from "../support/pace.ts"

/** A stream of an exchange. */
export const streamOf = (exchange: string, symbol: string, dataType: MarketType): MarketStream => ({
  exchange,
  symbol,
  dataType
})

/** What a test sees of a running ExchangeStream. */
export interface Received {
  /** With payloads of their own. */
  readonly snapshots: Array<Snapshot>
  readonly events: Array<ExchangeEvent>
  readonly stream: ExchangeStream["Type"]
  readonly of: (stream: MarketStream) => ReadonlyArray<Snapshot>
  readonly eventsOf: <Tag extends ExchangeEvent["_tag"]>(
    tag: Tag
  ) => ReadonlyArray<Extract<ExchangeEvent, { readonly _tag: Tag }>>
}

/** Without what would come after a minute, in the middle of a test on a slow machine. */
const withoutLateConnections = (exchanges: ReadonlyMap<string, Exchange>): ReadonlyMap<string, Exchange> =>
  new Map(
    Array.from(exchanges, ([name, exchange]) => {
      const { statusFeed, ...rest } = exchange
      const isSoon = statusFeed !== undefined && Duration.lessThan(statusFeed.after, "1 minute")
      return [name, isSoon ? exchange : rest]
    })
  )

/** Receives while the scope is open. */
export const receive = (
  options: Partial<ExchangeStreamOptions> & Pick<ExchangeStreamOptions, "streams" | "endpoints">,
  clock: Layer.Layer<ReceiveClock> = ReceiveClock.layer,
  before?: Effect.Effect<ReadonlyArray<LastMessage>>
) =>
  Effect.gen(function* () {
    const snapshots: Array<Snapshot> = []
    const events: Array<ExchangeEvent> = []
    const stream = yield* ExchangeStream.pipe(
      Effect.provide(
        ExchangeStream.layer({
          silenceTimeout: Duration.seconds(60),
          ...options,
          exchanges: withoutLateConnections(options.exchanges ?? exchanges)
        }).pipe(Layer.provide(clock))
      )
    )
    yield* Effect.forkScoped(
      stream
        .runForEach(
          (snapshot) => snapshots.push({ ...snapshot, data: Buffer.from(snapshot.data) }),
          (event) => events.push(event),
          before
        )
        .pipe(Logger.withMinimumLogLevel(LogLevel.None))
    )
    const received: Received = {
      snapshots,
      events,
      stream,
      of: (of) => snapshots.filter((snapshot) => streamKey(snapshot.stream) === streamKey(of)),
      eventsOf: (tag) =>
        events.filter(
          (event): event is Extract<ExchangeEvent, { readonly _tag: typeof tag }> => event._tag === tag
        )
    }
    return received
  })

/** A simulated exchange, and what is received from it. */
export const simulate = (
  exchange: Exchange,
  streams: ReadonlyArray<MarketStream>,
  options: Partial<Simulator.SimulatorOptions> & Partial<Pick<ExchangeStreamOptions, "silenceTimeout">> = {}
) =>
  Effect.gen(function* () {
    const { silenceTimeout, ...simulated } = options
    const simulator = yield* Simulator.make({ exchange: exchange.name, rate: 20, ...simulated })
    const received = yield* receive({
      exchanges: new Map([[exchange.name, exchange]]),
      streams,
      endpoints: new Map([[exchange.name, new URL(simulator.url())]]),
      ...(silenceTimeout === undefined ? {} : { silenceTimeout })
    })
    return { simulator, ...received }
  })

class NeverSeen extends Data.TaggedError("NeverSeen")<{ readonly message: string }> {}

/** Waits until it holds; fails after `patience`, or so many seconds of a machine that is not slow. */
export const eventually = (what: string, condition: () => boolean, seconds?: number) =>
  Effect.repeat(Effect.sleep("20 millis"), { until: condition }).pipe(
    Effect.timeoutFail({
      duration: seconds === undefined ? patience : 1000 * seconds * pace,
      onTimeout: () => new NeverSeen({ message: `never saw ${what}` })
    })
  )

/** Waits until the simulator is in such a state, which the collector's own events are ahead of. */
export const settled = (
  what: string,
  simulator: Simulator.Simulator,
  wanted: (status: SimulatorStatus) => boolean
) =>
  simulator.status.pipe(
    Effect.delay("20 millis"),
    Effect.repeat({ until: wanted }),
    Effect.timeoutFail({
      duration: patience,
      onTimeout: () => new NeverSeen({ message: `never saw ${what}` })
    })
  )

/** A payload as text. */
export const textOf = (snapshot: Snapshot): string => Buffer.from(snapshot.data).toString()

/** The times that the journal leaves out of a stream, if it was to be recorded from `from` to `to`, and had messages until then. */
export const holesIn = (
  streams: ReadonlyArray<MarketStream>,
  events: ReadonlyArray<ExchangeEvent>,
  { from, to }: Window
) => {
  const entries = [
    { _tag: "RecordingStarted" as const, at: from, streams },
    ...events,
    ...streams.map((stream) => ({
      _tag: "MessagesCommitted" as const,
      stream,
      hour: Math.floor(from / microsPerHour),
      messages: 1,
      first: from,
      last: to
    })),
    { _tag: "ProcessStopped" as const, process: "p", lastSeen: to }
  ]
  const coverage = endOfJournal(
    entries.reduce(
      (state, event, id) => applyToCoverage(state, { id, at: "at" in event ? event.at : to, event }),
      noCoverage
    )
  )
  return new Map(
    Array.from(HashMap.values(coverage.streams), (of) => [streamKey(of.stream), holesOf(of, { from, to })])
  )
}
