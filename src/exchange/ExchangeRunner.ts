import { Array as Arr, Cause, type Duration, Effect, FiberSet, Mailbox, Schedule, Scope } from "effect"
import type { LastMessage } from "../domain/LastMessage.ts"
import type { MarketPattern } from "../domain/MarketPattern.ts"
import { changeOf, type Markets, type MarketsChange } from "../domain/Markets.ts"
import { type MarketStream, streamKey } from "../domain/StreamId.ts"
import type { ConnectionContext } from "./Connection/ConnectionContext.ts"
import { partition } from "./chunk.ts"
import type { Instrument } from "./Exchange.ts"
import { areSamePatterns, isMatchedBy } from "./instruments.ts"
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
  /** Records these markets of the exchange from now on, and leaves the streams alone that are in both. */
  readonly change: (markets: Markets) => MarketsChange
  /** When each polled stream was last answered, by the name of its connection. */
  readonly polled: () => ReadonlyArray<readonly [connection: string, at: number]>
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
  readonly restUrl: (patterns: ReadonlyArray<MarketPattern>) => string | undefined
  readonly refreshEvery: Duration.Duration
}): ExchangeRunner => {
  const { clock, emit, exchange, url } = options.context
  const statuses = makeStatusWatch(exchange.name, emit)
  let markets: Markets = options
  let { patterns, streams: named } = exchange.closesOnUnknown === true ? onlyListed(options) : options
  /** Symbols with names that have not been looked up yet. */
  let unlisted = new Set(options.streams.map(({ symbol }) => symbol))
  const changed = Effect.unsafeMakeLatch(false)
  /** Whether there is anything to record, and whether there is nothing any more. */
  const wanted = Effect.unsafeMakeLatch(named.length + patterns.length > 0)
  const emptied = Effect.unsafeMakeLatch(false)
  /** Adds and removes streams while there is anything to record. */
  let running: Running | undefined
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
  const polledStreams = makePolledStreams(context)
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
    yield* emptied.close
    const fork = yield* FiberSet.makeRuntime<never, void, never>()
    fork(Effect.sync(() => statuses.tick(clock.unsafeNow())).pipe(Effect.delay("10 seconds"), Effect.forever))

    if (exchange.statusFeed !== undefined) {
      fork(
        listen(exchange.statusFeed, {
          connect: context.connect,
          url,
          restUrl: options.restUrl(markets.patterns),
          symbols: () => new Set(Array.from(tracked.values(), ({ id }) => id.symbol)),
          admit: context.attempts.admit,
          reserve: (now) => context.messages?.reserve(now) ?? 0,
          hear: (said) => statuses.hear(said, clock.unsafeNow())
        })
      )
    }

    const restUrl = options.restUrl(markets.patterns) ?? exchange.instruments.url
    const scope = yield* Effect.scope
    const client = yield* Effect.cached(
      // Its HTTP client is only needed here.
      Effect.promise(() => import("./rest/RestClient.ts")).pipe(
        Effect.flatMap(({ makeRestClient }) => makeRestClient(restUrl, exchange.rest?.weights ?? [])),
        Scope.extend(scope)
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

    const remove = (streams: ReadonlyArray<TrackedStream>, end: ConnectionLost): void => {
      for (const stream of streams) tracked.delete(streamKey(stream.id))
      for (const group of [...groups]) {
        const some = streams.filter((stream) => group.streams.has(stream))
        if (some.length > 0) group.remove(some, end)
      }
      polling.remove(streams, end.reason)
      instruments.remove(streams, end.reason)
      for (const stream of streams) forget(stream)
    }

    const [others, streams] = Arr.partition(named.map(track), hasChannel)
    startPolling(others)
    start(streams)
    running = { add, remove }
    const announced = yield* Mailbox.make<ReadonlyArray<Instrument>>({
      capacity: maxAnnouncements,
      strategy: "sliding"
    })
    onListing = (instruments) => announced.unsafeOffer(instruments)
    const allClosed = Effect.sleep("50 millis").pipe(
      Effect.repeat({ until: () => groups.size === 0 }),
      Effect.timeoutOption("5 seconds")
    )
    yield* Effect.raceFirst(
      Effect.zipRight(emptied.await, allClosed),
      watchList(
        {
          exchange,
          announced,
          restUrl: () => options.restUrl(markets.patterns),
          patterns: () => patterns,
          takeNamed: () => {
            const symbols = unlisted
            unlisted = new Set()
            return symbols
          },
          changed,
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
          remove(gone, delisted)
          const at = clock.unsafeNow()
          for (const symbol of isFirst ? [] : new Set(fresh.map((id) => id.symbol))) {
            emit({ _tag: "SymbolListed", at, exchange: exchange.name, symbol })
          }
          for (const symbol of new Set(gone.map(({ id }) => id.symbol))) {
            emit({ _tag: "SymbolDelisted", at, exchange: exchange.name, symbol })
          }
        }
      )
    )
  }).pipe(Effect.scoped, Effect.annotateLogs({ module: "exchange", exchange: exchange.name }))

  const change: ExchangeRunner["change"] = (next) => {
    const before = { markets, patterns }
    const recorded = Array.from(tracked.values(), ({ id }) => id)
    const change = changeOf(markets.streams, next.streams, recorded, isMatchedBy(next.patterns))
    const looked = new Set(markets.streams.map(({ symbol }) => symbol))
    for (const { symbol } of change.named) if (!looked.has(symbol)) unlisted.add(symbol)
    markets = next
    const now = exchange.closesOnUnknown === true ? onlyListed(next) : next
    named = now.streams
    if (!areSamePatterns(patterns, now.patterns)) patterns = now.patterns
    if (exchange.closesOnUnknown !== true) running?.add(change.added.map(track))
    running?.remove(
      change.ended.flatMap((id) => tracked.get(streamKey(id)) ?? []),
      notWanted
    )
    if (patterns !== before.patterns || unlisted.size > 0) changed.unsafeOpen()
    if (named.length + patterns.length > 0) {
      wanted.unsafeOpen()
    } else {
      running = undefined
      wanted.unsafeClose()
      emptied.unsafeOpen()
    }
    return change
  }

  return {
    run: Effect.forever(Effect.zipRight(wanted.await, run)),
    change,
    resume: (last) => {
      lastMessages = last
      for (const [key, stream] of known) {
        stream.before = last.get(key) ?? null
        compare(stream)
      }
    },
    streams: () => [...tracked.values()],
    groups: () => [...groups],
    polled: polledStreams.heard
  }
}

/** Announcements that wait to be read: what is lost is in the next list. */
const maxAnnouncements = 1_000

/** Looks up the streams that have names, too, before they are subscribed to. */
const onlyListed = ({ patterns, streams }: Markets): Markets => ({
  streams: [],
  patterns: [
    ...patterns,
    ...streams.map(({ dataType, exchange, symbol }) => ({ exchange, pattern: symbol, dataTypes: [dataType] }))
  ]
})

/** Whether a stream is subscribed to, and not polled. */
const hasChannel = ({ channel }: TrackedStream): boolean => channel !== ""

interface Running {
  readonly add: (streams: ReadonlyArray<TrackedStream>) => void
  readonly remove: (streams: ReadonlyArray<TrackedStream>, end: ConnectionLost) => void
}

/** Whatever was in doubt ended with the stream: if it comes back, that is told anew. */
const forget = (stream: TrackedStream): void => {
  stream.state = "connecting"
  stream.unreadable = null
  stream.isToldSilent = false
}

const notWanted = new ConnectionLost({ kind: "empty", reason: "MARKETS does not have it any more" })
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
