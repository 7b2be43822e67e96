import { Clock, Context, Effect, Layer, Metric, Record, Ref, Schedule } from "effect"
import { EndKind, type ExchangeEvent } from "../domain/ExchangeEvent.ts"
import { type SaidStatus, saidBy, statusKey } from "../domain/ExchangeStatuses.ts"
import { type MetricFamily, samplesOfHistogram } from "../domain/MetricFamily.ts"
import { metricsOfThread } from "../domain/metricsOfThread.ts"
import type { StorageView } from "../domain/StorageView.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import { ExchangeStream, type StreamStatus } from "../exchange/ExchangeStream.ts"
import { latencyOf } from "../exchange/Latency.ts"
import { skippedOf } from "../exchange/skipped.ts"
import { Batcher } from "../ingest/Batcher.ts"
import { SnapshotQueue } from "../ingest/SnapshotQueue.ts"
import { Storage } from "../storage/Storage.ts"
import { measureLag } from "./Lag.ts"
import {
  type ExchangeReport,
  type ReloadReport,
  type Report,
  type StreamColumn,
  type StreamTable,
  streamColumns,
  streamStates
} from "./Report.ts"
import { type StreamFacts, streamCounters } from "./streamCounters.ts"

/** Reports how receiving and storing are doing. */
export class Reporter extends Context.Tag("collector/Reporter")<
  Reporter,
  {
    /** The report as of now, with columns of its own. Waits for nothing: storage is queried in the background. */
    readonly report: Effect.Effect<Report>
    /**
     * Counts what ended connections, what left a stream in doubt, and the status messages of exchanges. Never waits and never
     * fails; suitable for the call stack of a socket.
     */
    readonly unsafeCount: (event: ExchangeEvent) => void
    /** Notes what reading the settings file again has led to. */
    readonly setReload: (reload: ReloadReport) => Effect.Effect<void>
  }
>() {
  /** `streams` are those to be recorded that are known before anything was received. */
  static readonly layer = ({ streams }: { readonly streams: ReadonlyArray<StreamId> }) =>
    Layer.scoped(this, make(streams))
}

const make = (streams: ReadonlyArray<StreamId>) =>
  Effect.gen(function* () {
    const exchangeStream = yield* ExchangeStream
    const queue = yield* SnapshotQueue
    const batcher = yield* Batcher
    const storage = yield* Storage
    const lag = yield* measureLag
    const startedAt = (yield* Clock.currentTimeMillis) * 1000
    const stored = yield* Ref.make<StorageView | null>(null)
    const silentSince = yield* Ref.make<number | null>(null)
    const exchanges = makeExchangeCounts()
    const reload = yield* Ref.make<ReloadReport | null>(null)
    const doubts = new Map<string, number>()
    let ids = streams
    let version = 1

    const askStorage = storage.view.pipe(
      Effect.timeout("30 seconds"),
      Effect.matchEffect({
        onFailure: () =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Ref.update(silentSince, (since) => since ?? now * 1000)
          ),
        onSuccess: (view) => Effect.zipRight(Ref.set(silentSince, null), Ref.set(stored, view))
      })
    )
    yield* Effect.forkScoped(Effect.interruptible(Effect.repeat(askStorage, Schedule.spaced("2 seconds"))))
    /** All metrics of an exchange are there before anything is received from it. */
    const announce = Effect.fnUntraced(function* (exchange: string) {
      if (exchanges.announce(exchange)) return
      yield* Metric.value(latencyOf(exchange))
      yield* Effect.forEach(skippedOf(exchange).values(), (counter) => Metric.value(counter))
    })
    const recorded = Effect.map(
      exchangeStream.markets,
      ({ patterns, streams }) => new Set([...streams, ...patterns].map(({ exchange }) => exchange))
    )
    yield* Effect.flatMap(recorded, (names) => Effect.forEach(names, announce))

    const streamTable = Effect.gen(function* () {
      const statuses = yield* exchangeStream.status
      if (statuses.length > 0 && !areSame(ids, statuses)) {
        ids = statuses.map(({ dataType, exchange, symbol }) => ({ exchange, symbol, dataType }))
        version++
      }
      const offers = new Map((yield* queue.offers).map((offer) => [streamKey(offer.stream), offer]))
      const values = new Float64Array(ids.length * streamColumns.length)
      for (const [row, id] of ids.entries()) {
        const status = statuses[row]
        const offer = offers.get(streamKey(id))
        const facts: StreamFacts = {
          status,
          offers: offer,
          commits: offer === undefined ? undefined : batcher.tally.streams.get(offer.stream),
          doubts: doubts.get(streamKey(id)) ?? 0
        }
        const columns: Readonly<globalThis.Record<StreamColumn, number>> = {
          state: streamStates.indexOf(status?.state ?? "connecting"),
          lastMessageAt: status?.lastMessageAt ?? Number.NaN,
          patience: status?.patienceSeconds ?? Number.NaN,
          unverifiable: status?.unverifiable === true ? 1 : 0,
          ...Record.map(streamCounters, ({ read }) => read(facts))
        }
        values.set(
          streamColumns.map((column) => columns[column]),
          row * streamColumns.length
        )
      }
      return { version, ids, values } satisfies StreamTable
    })

    const report = Effect.gen(function* () {
      const { depth, dropped, received } = yield* queue.counts
      const { failing, last } = yield* batcher.state
      const names = yield* recorded
      yield* Effect.forEach(names, announce)
      return {
        at: (yield* Clock.currentTimeMillis) * 1000,
        startedAt,
        streams: yield* streamTable,
        exchanges: exchanges
          .report(yield* exchangeStream.connections)
          .filter(({ exchange }) => names.has(exchange)),
        queue: { received, dropped, depth, capacity: yield* queue.capacity },
        commits: {
          ...(yield* batcher.counts),
          lastAt: last?.at ?? null,
          lastSeconds: last?.seconds ?? null,
          failingSince: failing?.since ?? null,
          failure: failing?.reason ?? null
        },
        storage: yield* Ref.get(stored),
        storageSilentSince: yield* Ref.get(silentSince),
        reload: yield* Ref.get(reload),
        heapUsed: process.memoryUsage().heapUsed,
        lag: yield* lag,
        families: [
          ...(yield* metricsOfThread).map((family) => ofExchanges(family, names)),
          {
            name: "collector_commit_latency_seconds",
            type: "histogram" as const,
            help: "Time from receipt of a message to its commit.",
            samples: samplesOfHistogram(batcher.tally.latency, {})
          }
        ]
      } satisfies Report
    })

    const unsafeCount = (event: ExchangeEvent): void => {
      exchanges.count(event)
      if (!doubtful.has(event._tag) || !("stream" in event)) return
      const key = streamKey(event.stream)
      doubts.set(key, (doubts.get(key) ?? 0) + 1)
    }

    return Reporter.of({ report, unsafeCount, setReload: (state) => Ref.set(reload, state) })
  })

/** Leaves out the samples of exchanges of which nothing is recorded any more. */
const ofExchanges = (family: MetricFamily, names: ReadonlySet<string>): MetricFamily => ({
  ...family,
  samples: family.samples.filter(({ labels: { exchange } }) => exchange === undefined || names.has(exchange))
})

/** Events that leave a stream in doubt. */
const doubtful: ReadonlySet<ExchangeEvent["_tag"]> = new Set([
  "Discontinuity",
  "StreamSilent",
  "StreamUnreadable"
])

const areSame = (ids: ReadonlyArray<StreamId>, statuses: ReadonlyArray<StreamStatus>): boolean =>
  ids.length === statuses.length &&
  statuses.every((status, i) => {
    const id = ids[i]
    return (
      id !== undefined &&
      id.symbol === status.symbol &&
      id.dataType === status.dataType &&
      id.exchange === status.exchange
    )
  })

/** An open connection, with its counts since it was opened. */
type Open = Effect.Effect.Success<ExchangeStream["Type"]["connections"]>[number]

const alive = (open: ReadonlyArray<Open>) => ({
  connections: open.length,
  heardAt: open.length === 0 ? null : open.reduce((newest, { heardAt }) => Math.max(newest, heardAt), 0)
})

/** How many of an exchange's latest status messages are kept. */
const maxStatuses = 20

/** Sums the counts of all connections there ever were, and keeps the status messages of exchanges. */
const makeExchangeCounts = () => {
  const totals = new Map<
    string,
    {
      pings: number
      pongs: number
      answered: number
      ends: Map<string, number>
      statuses: Map<string, SaidStatus>
    }
  >()
  let seen = new Map<string, Open>()

  const totalOf = (exchange: string) => {
    const known = totals.get(exchange)
    if (known !== undefined) return known
    const fresh = {
      pings: 0,
      pongs: 0,
      answered: 0,
      ends: new Map(EndKind.literals.map((kind): [string, number] => [kind, 0])),
      statuses: new Map<string, SaidStatus>()
    }
    totals.set(exchange, fresh)
    return fresh
  }

  return {
    /** Returns whether it was known. */
    announce: (exchange: string): boolean => {
      const isKnown = totals.has(exchange)
      totalOf(exchange)
      return isKnown
    },
    count: (event: ExchangeEvent): void => {
      if (event._tag === "ExchangeStatus" && event.isPassing !== true) {
        const { statuses } = totalOf(event.exchange)
        const key = statusKey(event)
        statuses.delete(key)
        statuses.set(key, saidBy(event))
        const [oldest] = statuses.keys()
        if (statuses.size > maxStatuses && oldest !== undefined) statuses.delete(oldest)
      }
      if (event._tag !== "ConnectionEnded") return
      const { ends } = totalOf(event.exchange)
      ends.set(event.kind, (ends.get(event.kind) ?? 0) + 1)
    },
    report: (open: ReadonlyArray<Open>): ReadonlyArray<ExchangeReport> => {
      for (const now of open) {
        const before = seen.get(now.connection)
        const total = totalOf(now.exchange)
        total.pings += now.pings - (before?.pings ?? 0)
        total.pongs += now.pongs - (before?.pongs ?? 0)
        total.answered += now.pingsAnswered - (before?.pingsAnswered ?? 0)
      }
      seen = new Map(open.map((connection) => [connection.connection, connection]))
      return Array.from(totals, ([exchange, { answered, ends, pings, pongs, statuses }]) => ({
        exchange,
        ...alive(open.filter((connection) => connection.exchange === exchange)),
        pings,
        pongs,
        pingsAnswered: answered,
        reconnects: Array.from(ends),
        statuses: Array.from(statuses.values())
      }))
    }
  }
}
