import { Array as Arr, Cause, type Duration, Effect, FiberSet, Mailbox, Schedule } from "effect"
import type { LastMessage } from "../domain/LastMessage.ts"
import type { MarketPattern } from "../domain/MarketPattern.ts"
import { type MarketStream, streamKey } from "../domain/StreamId.ts"
import type { ConnectionContext } from "./Connection/ConnectionContext.ts"
import { partition } from "./chunk.ts"
import type { Instrument } from "./Exchange.ts"
import { makeInstrumentRecords } from "./rest/instrumentRecords.ts"
import { makePolledStreams } from "./rest/polledStreams.ts"
import { makePolling } from "./rest/polling.ts"
import { doubtOverRestart } from "./resumption.ts"
import { makeStatusWatch } from "./StatusWatch.ts"
import { makeStreamGroup, type StreamGroup } from "./StreamGroup.ts"
import { listen } from "./statusFeed.ts"
import { type TrackedStream, trackStream } from "./TrackedStream.ts"
import { ConnectionLost } from "./WebSocket.ts"
import { watchList } from "./watchList.ts"

/** Records the streams of one exchange. */
export interface ExchangeRunner {
  readonly run: Effect.Effect<never>
  /** Compares the first message of each stream with the last one of an earlier process. */
  readonly resume: (lastMessages: ReadonlyMap<string, LastMessage>) => void
  readonly streams: () => ReadonlyArray<TrackedStream>
  readonly groups: () => ReadonlyArray<StreamGroup>
}

/**
 * Divides streams into groups of one connection each, as the limits allow, moves streams that stay silent to another group, and
 * follows the exchange's list of instruments if there are patterns.
 */
export const makeExchangeRunner = (options: {
  readonly context: Omit<ConnectionContext, "onFirst" | "onListing" | "statuses">
  readonly streams: ReadonlyArray<MarketStream>
  readonly patterns: ReadonlyArray<MarketPattern>
  /** The REST interface that lists the instruments of this endpoint; if undefined, nothing is looked up. */
  readonly restUrl: string | undefined
  readonly refreshEvery: Duration.Duration
}): ExchangeRunner => {
  const { clock, emit, exchange, url } = options.context
  const statuses = makeStatusWatch(exchange.name, emit)
  const { patterns, streams: named } = exchange.closesOnUnknown === true ? onlyListed(options) : options
  let onListing: ConnectionContext["onListing"] = () => {}
  const context: ConnectionContext = {
    ...options.context,
    statuses,
    onFirst: (stream) => compare(stream),
    onListing: (instruments) => onListing(instruments)
  }
  let lastMessages: ReadonlyMap<string, LastMessage> = new Map()
  const tracked = new Map<string, TrackedStream>()
  const known = new Map<string, TrackedStream>()
  const groups = new Set<StreamGroup>()
  const urlOf = ({ id }: TrackedStream) => exchange.urlOf?.(id.dataType, url) ?? url
  const fits = (streams: ReadonlyArray<TrackedStream>) => {
    const [first, ...others] = streams.map(urlOf)
    return (
      first !== undefined &&
      others.every((other) => other === first) &&
      exchange.limits.fits(
        streams.map((stream) => stream.id),
        first
      )
    )
  }
  /** Streams of one URL after the other, so that as few parts as possible fit. */
  const byUrl = (streams: ReadonlyArray<TrackedStream>) =>
    streams.toSorted((a, b) => urlOf(a).localeCompare(urlOf(b)))

  const compare = (stream: TrackedStream): void => {
    if (stream.before === null || stream.first === null) return
    const doubt = doubtOverRestart(stream, stream.before, stream.first)
    stream.before = null
    if (doubt === undefined) return
    if (doubt._tag === "GapDetected") stream.gaps++
    emit(doubt)
  }

  /** Returns the same object for a stream that comes back. */
  const track = (id: MarketStream): TrackedStream => {
    const key = streamKey(id)
    const stream = known.get(key) ?? trackStream(exchange, id)
    if (stream.first === null) stream.before = lastMessages.get(key) ?? null
    known.set(key, stream)
    tracked.set(key, stream)
    return stream
  }

  const run = Effect.gen(function* () {
    const fork = yield* FiberSet.makeRuntime<never, void, never>()
    fork(Effect.sync(() => statuses.tick(clock.unsafeNow())).pipe(Effect.delay("10 seconds"), Effect.forever))

    if (exchange.statusFeed !== undefined) {
      fork(
        listen(exchange.statusFeed, {
          connect: context.connect,
          url,
          restUrl: options.restUrl,
          symbols: () => new Set(Array.from(tracked.values(), ({ id }) => id.symbol)),
          admit: context.attempts.admit,
          reserve: (now) => context.messages?.reserve(now) ?? 0,
          hear: (said) => statuses.hear(said, clock.unsafeNow())
        })
      )
    }

    const restUrl = options.restUrl ?? exchange.instruments.url
    const polledStreams = makePolledStreams(context)
    const client = yield* Effect.cached(
      Effect.map(
        // Its HTTP client is only needed here.
        Effect.promise(() => import("./rest/RestClient.ts")),
        ({ makeRestClient }) => makeRestClient(restUrl, exchange.rest?.weights ?? [])
      )
    )
    const polling = makePolling(({ id }) => exchange.rest?.polled.get(id.dataType), client, polledStreams)
    const instruments = makeInstrumentRecords({
      context,
      restUrl,
      streams: polledStreams,
      refreshEvery: options.refreshEvery
    })
    fork(polling.run)
    fork(instruments.run)

    const startPolling = (streams: ReadonlyArray<TrackedStream>): void => {
      const [polled, listed] = Arr.partition(streams, ({ id }) => id.dataType === "instrument")
      polling.add(polled)
      instruments.add(listed)
    }

    const start = (streams: ReadonlyArray<TrackedStream>): void => {
      for (const part of partition(byUrl(streams), fits)) open(part, new Set())
    }

    const open = (streams: ReadonlyArray<TrackedStream>, guests: Set<TrackedStream>): StreamGroup => {
      const [first] = streams
      const at = first === undefined ? context : { ...context, url: urlOf(first) }
      const group = makeStreamGroup(at, streams, (silent) => move(group, silent), guests)
      groups.add(group)
      fork(
        Effect.ensuring(
          keep(group),
          Effect.sync(() => groups.delete(group))
        )
      )
      return group
    }

    /**
     * Moves streams to another group: an existing one that has room, or a new one unless there are too many. The new group
     * subscribes first, and only then does the old one let the streams go, so that nothing is missed of a stream that was
     * merely quiet. Returns whether there is such a group.
     */
    const move = (from: StreamGroup, streams: ReadonlyArray<TrackedStream>): boolean => {
      if (streams.some((stream) => from.guests.has(stream) || isGuest(stream))) return false
      const room = Array.from(groups).find((group) => group !== from && fits([...group.streams, ...streams]))
      const needed = partition(byUrl(Array.from(tracked.values()).filter(hasChannel)), fits).length
      if (room === undefined && (!fits(streams) || groups.size >= needed + maxExtraGroups)) return false
      room?.addGuests(streams)
      const to = room ?? open(streams, new Set(streams))
      fork(letGo(from, to, streams))
      return true
    }

    const isGuest = (stream: TrackedStream) => Array.from(groups).some(({ guests }) => guests.has(stream))

    const letGo = (from: StreamGroup, to: StreamGroup, streams: ReadonlyArray<TrackedStream>) =>
      Effect.sync(() => {
        const taken = to.adopt()
        if (taken.length > 0) from.remove(taken, movedAway)
        return streams.some((stream) => to.guests.has(stream))
      }).pipe(
        Effect.repeat({ while: (isWaiting) => isWaiting, schedule: Schedule.spaced("50 millis") }),
        Effect.timeoutOption("30 seconds"),
        Effect.zipRight(
          Effect.sync(() => {
            const left = streams.filter((stream) => to.guests.has(stream))
            if (left.length > 0) to.remove(left, notTaken)
          })
        )
      )

    /** Adds all new streams of a group at once, to the groups that have room. */
    const add = (added: ReadonlyArray<TrackedStream>): void => {
      const [others, streams] = Arr.partition(added, hasChannel)
      startPolling(others)
      const rooms = Array.from(groups, (group) => {
        const added: Array<TrackedStream> = []
        return { group, all: [...group.streams], added }
      })
      const homeless = streams.filter((stream) => {
        const room = rooms.find(({ all }) => fits([...all, stream]))
        room?.all.push(stream)
        room?.added.push(stream)
        return room === undefined
      })
      for (const { added, group } of rooms) if (added.length > 0) group.add(added)
      start(homeless)
    }

    const remove = (streams: ReadonlyArray<TrackedStream>): void => {
      for (const stream of streams) tracked.delete(streamKey(stream.id))
      for (const group of [...groups]) {
        const some = streams.filter((stream) => group.streams.has(stream))
        if (some.length > 0) group.remove(some, delisted)
      }
      polling.remove(streams, delisted.reason)
      instruments.remove(streams, delisted.reason)
      for (const stream of streams) stream.state = "connecting"
    }

    const [others, streams] = Arr.partition(named.map(track), hasChannel)
    startPolling(others)
    start(streams)
    if (options.restUrl !== undefined) {
      const announced = yield* Mailbox.make<ReadonlyArray<Instrument>>({
        capacity: maxAnnouncements,
        strategy: "sliding"
      })
      onListing = (instruments) => announced.unsafeOffer(instruments)
      yield* watchList(
        {
          exchange,
          announced,
          restUrl: options.restUrl,
          patterns,
          named: new Set(options.streams.map(({ symbol }) => symbol)),
          refreshEvery: options.refreshEvery
        },
        (list, isFirst) => {
          const given = new Set(named.map(streamKey))
          const listed = new Map(list.map((id) => [streamKey(id), id]))
          const fresh = list.filter((id) => !tracked.has(streamKey(id)))
          const gone = Array.from(tracked.values()).filter(
            ({ id }) => !listed.has(streamKey(id)) && !given.has(streamKey(id))
          )
          add(fresh.map(track))
          remove(gone)
          if (isFirst) return
          const at = clock.unsafeNow()
          for (const symbol of new Set(fresh.map((id) => id.symbol))) {
            emit({ _tag: "SymbolListed", at, exchange: exchange.name, symbol })
          }
          for (const symbol of new Set(gone.map(({ id }) => id.symbol))) {
            emit({ _tag: "SymbolDelisted", at, exchange: exchange.name, symbol })
          }
        }
      )
    }
    return yield* Effect.never
  }).pipe(Effect.scoped, Effect.annotateLogs({ module: "exchange", exchange: exchange.name }))

  return {
    run,
    resume: (last) => {
      lastMessages = last
      for (const [key, stream] of known) {
        stream.before = last.get(key) ?? null
        compare(stream)
      }
    },
    streams: () => [...tracked.values()],
    groups: () => [...groups]
  }
}

/** Announcements that wait to be read: what is lost is in the next list. */
const maxAnnouncements = 1_000

/** Looks up the streams that have names, too, before they are subscribed to. */
const onlyListed = ({
  patterns,
  streams
}: {
  readonly streams: ReadonlyArray<MarketStream>
  readonly patterns: ReadonlyArray<MarketPattern>
}) => ({
  streams: [],
  patterns: [
    ...patterns,
    ...streams.map(({ dataType, exchange, symbol }) => ({ exchange, pattern: symbol, dataTypes: [dataType] }))
  ]
})

/** Whether a stream is subscribed to, and not polled. */
const hasChannel = ({ channel }: TrackedStream): boolean => channel !== ""

const delisted = new ConnectionLost({ kind: "empty", reason: "the exchange does not list it any more" })

const movedAway = new ConnectionLost({
  kind: "silent",
  reason: "it stays silent, and another connection has it"
})
const notTaken = new ConnectionLost({
  kind: "silent",
  reason: "the exchange does not take it on another connection"
})

/** Maximum number of extra groups, beyond those that the streams need, for streams that were silent. */
const maxExtraGroups = 4

/** Keeps a group running. Any failure in it is a bug of ours: it is logged, and its connection restarts. */
const keep = (group: StreamGroup): Effect.Effect<void> =>
  group.run.pipe(
    Effect.tapErrorCause((cause) => Effect.logError("connection failed, restarting it", cause)),
    Effect.sandbox,
    Effect.retry({
      schedule: Schedule.spaced("1 second"),
      while: (cause) => !Cause.isInterruptedOnly(cause)
    }),
    Effect.catchAll(Effect.failCause)
  )
