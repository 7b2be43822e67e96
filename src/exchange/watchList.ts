import { type Duration, Effect, type Mailbox } from "effect"
import { askingForInstruments } from "../cadences.ts"
import type { MarketPattern } from "../domain/MarketPattern.ts"
import { type MarketStream, streamKey } from "../domain/StreamId.ts"
import { allTypes } from "./allTypes.ts"
import type { Exchange, Instrument } from "./Exchange.ts"
import { matcher, nearSymbols } from "./instruments.ts"
import { isDoubted, nothingListed, readAnnounced, readList, timesSeen } from "./Listing.ts"

/** The list of instruments to fetch, and its purpose. */
export interface ListOptions {
  readonly exchange: Exchange
  /** The REST interface; undefined if nothing is to be looked up for what is recorded now. */
  readonly restUrl: () => string | undefined
  readonly patterns: () => ReadonlyArray<MarketPattern>
  /** Takes the symbols that are recorded by name and have not been looked up yet. */
  readonly takeNamed: () => ReadonlySet<string>
  /** Opened when the patterns or names have changed. */
  readonly changed: Effect.Latch
  readonly refreshEvery: Duration.Duration
  /** Instruments that the exchange announces between two lists. */
  readonly announced: Mailbox.ReadonlyMailbox<ReadonlyArray<Instrument>>
}

/**
 * Passes on the streams that the patterns match: at once, periodically, when the exchange announces instruments, and when the
 * patterns change. `isFirst`: it is the first list for these patterns. Without patterns the list is fetched only for symbols that
 * are recorded by name: those that are not in it are reported. If the list is unavailable it is requested again, soon at first and
 * then less often, while recording continues.
 */
export const watchList = (
  options: ListOptions,
  onList: (streams: ReadonlyArray<MarketStream>, isFirst: boolean) => void
): Effect.Effect<never> =>
  Effect.gen(function* () {
    const { changed, exchange } = options
    const list = (restUrl: string) =>
      // Its client is only needed here.
      Effect.promise(() => import("./fetchInstruments.ts")).pipe(
        Effect.flatMap(({ fetchInstruments }) => fetchInstruments(exchange, restUrl)),
        Effect.tapError((reason) =>
          Effect.logWarning("could not fetch instrument list, retrying").pipe(Effect.annotateLogs({ reason }))
        ),
        Effect.retry(askingForInstruments),
        // It is retried forever.
        Effect.orDieWith(String)
      )
    const streamsOf = (patterns: ReadonlyArray<MarketPattern>, listed: ReadonlyArray<string>) =>
      patterns.map(({ dataTypes, pattern }) => {
        const matches = listed.filter(matcher(pattern))
        return {
          pattern,
          streams: matches.flatMap((symbol) => {
            const possible = allTypes(exchange, symbol)
            return dataTypes
              .filter((dataType) => possible.includes(dataType))
              .map((dataType): MarketStream => ({ exchange: exchange.name, symbol, dataType }))
          })
        }
      })
    let listing = nothingListed
    /** The patterns of the last list that was passed on. */
    let known: ReadonlyArray<MarketPattern> | undefined
    const pass = (found: ReturnType<typeof streamsOf>, isFirst: boolean): number => {
      const streams = new Map(found.flatMap(({ streams }) => streams).map((id) => [streamKey(id), id]))
      onList([...streams.values()], isFirst)
      return streams.size
    }
    const refresh = Effect.gen(function* () {
      const restUrl = options.restUrl()
      const named = options.takeNamed()
      if (restUrl === undefined || (options.patterns().length === 0 && named.size === 0)) return
      const instruments = yield* list(restUrl)
      yield* tellMissing(exchange, named, instruments)
      const patterns = options.patterns()
      if (patterns.length === 0) return
      listing = readList(listing, instruments)
      if (isDoubted(listing)) {
        return yield* Effect.logWarning("instrument list shrank by more than half, not believed yet").pipe(
          Effect.annotateLogs({
            before: listing.last.size,
            now: listing.doubted.at(-1)?.size,
            seen: `${listing.doubted.length} of ${timesSeen} times`
          })
        )
      }
      const found = streamsOf(patterns, [...listing.symbols])
      for (const { pattern, streams } of found) {
        // A symbol without a wildcard is reported as missing.
        if (streams.length > 0 || !pattern.includes("*")) continue
        yield* Effect.logWarning("pattern in MARKETS matches no listed symbol").pipe(
          Effect.annotateLogs({ pattern })
        )
      }
      const streams = pass(found, known !== patterns)
      yield* Effect.logInfo("instrument list read").pipe(Effect.annotateLogs({ streams }))
      known = patterns
    })
    /** Before the first list nothing is known that could change. */
    const followAnnouncements = Effect.gen(function* () {
      const instruments = yield* Effect.orDie(options.announced.take)
      const patterns = options.patterns()
      if (known !== patterns) return
      listing = readAnnounced(listing, instruments)
      pass(streamsOf(patterns, [...listing.symbols]), false)
    })
    const refreshForever = Effect.gen(function* () {
      while (true) {
        yield* changed.close
        yield* refresh
        const hour = options.patterns().length === 0 ? Effect.never : Effect.sleep(options.refreshEvery)
        yield* Effect.raceFirst(hour, changed.await)
      }
    })
    return yield* Effect.zipLeft(refreshForever, Effect.forever(followAnnouncements), { concurrent: true })
  })

/** Reports in one line the symbols that the exchange does not have, and those that were perhaps meant. */
const tellMissing = (
  exchange: Exchange,
  named: ReadonlySet<string>,
  instruments: ReadonlyArray<Instrument>
) => {
  const listed = instruments.filter(({ state }) => state !== "ended").map(({ symbol }) => symbol)
  const known = new Set(listed)
  const missing = Array.from(named).filter(
    (symbol) => !known.has(symbol) && (exchange.instruments.lists?.(symbol) ?? true)
  )
  if (missing.length === 0) return Effect.void
  const texts = missing.slice(0, maxTold).map((symbol) => {
    const near = nearSymbols(symbol, listed)
    return near.length === 0 ? symbol : `${symbol} (near it: ${near.join(", ")})`
  })
  return Effect.logWarning("symbols in MARKETS are not listed by the exchange").pipe(
    Effect.annotateLogs({
      symbols: texts.join("; "),
      ...(missing.length > texts.length ? { more: missing.length - texts.length } : {})
    })
  )
}

/** Maximum number of symbols named: each is compared with thousands. */
const maxTold = 20
