import { type Duration, Effect, type Mailbox, Schedule } from "effect"
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
  /** The REST interface. */
  readonly restUrl: string
  readonly patterns: ReadonlyArray<MarketPattern>
  /** Symbols that are recorded by name. */
  readonly named: ReadonlySet<string>
  readonly refreshEvery: Duration.Duration
  /** Instruments that the exchange announces between two lists. */
  readonly announced: Mailbox.ReadonlyMailbox<ReadonlyArray<Instrument>>
}

/**
 * Passes on the streams that the patterns match, at once, periodically, and when the exchange announces instruments; without
 * patterns the list is fetched once.
 * Reports symbols that are recorded by name but not in the first list. If the list is unavailable it is requested again, soon
 * at first and then less often, while recording continues.
 */
export const watchList = (
  options: ListOptions,
  onList: (streams: ReadonlyArray<MarketStream>, isFirst: boolean) => void
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { exchange, patterns } = options
    // Its client is only needed here.
    const { fetchInstruments } = yield* Effect.promise(() => import("./fetchInstruments.ts"))
    const list = fetchInstruments(exchange, options.restUrl).pipe(
      Effect.tapError((reason) =>
        Effect.logWarning("could not fetch instrument list, retrying").pipe(Effect.annotateLogs({ reason }))
      ),
      Effect.retry(askingForInstruments),
      // It is retried forever.
      Effect.orDieWith(String)
    )
    const streamsOf = (listed: ReadonlyArray<string>) =>
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
    let isFirst = true
    const pass = (found: ReturnType<typeof streamsOf>): number => {
      const streams = new Map(found.flatMap(({ streams }) => streams).map((id) => [streamKey(id), id]))
      onList([...streams.values()], isFirst)
      return streams.size
    }
    const refresh = Effect.gen(function* () {
      const instruments = yield* list
      if (isFirst) yield* tellMissing(options, instruments)
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
      const found = streamsOf([...listing.symbols])
      for (const { pattern, streams } of found) {
        // A symbol without a wildcard is reported as missing.
        if (streams.length > 0 || !pattern.includes("*")) continue
        yield* Effect.logWarning("pattern in MARKETS matches no listed symbol").pipe(
          Effect.annotateLogs({ pattern })
        )
      }
      const streams = pass(found)
      yield* Effect.logInfo("instrument list read").pipe(Effect.annotateLogs({ streams }))
      isFirst = false
    })
    /** Before the first list nothing is known that could change. */
    const followAnnouncements = Effect.gen(function* () {
      const instruments = yield* Effect.orDie(options.announced.take)
      if (isFirst) return
      listing = readAnnounced(listing, instruments)
      pass(streamsOf([...listing.symbols]))
    })
    if (patterns.length === 0) return yield* refresh
    yield* Effect.all(
      [Effect.repeat(refresh, Schedule.spaced(options.refreshEvery)), Effect.forever(followAnnouncements)],
      { concurrency: "unbounded", discard: true }
    )
  })

/** Reports in one line the symbols that the exchange does not have, and those that were perhaps meant. */
const tellMissing = ({ exchange, named }: ListOptions, instruments: ReadonlyArray<Instrument>) => {
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
