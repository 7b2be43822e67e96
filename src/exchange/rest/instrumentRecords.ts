import { crc32 } from "node:zlib"
import { type Duration, Effect } from "effect"
import { askingForInstruments } from "../../cadences.ts"
import type { ConnectionContext } from "../Connection/ConnectionContext.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import type { PolledStreams } from "./polledStreams.ts"

/** Records the entries of symbols in the exchange's list. */
export interface InstrumentRecords {
  readonly add: (streams: ReadonlyArray<TrackedStream>) => void
  /** Ends streams, giving this reason. */
  readonly remove: (streams: ReadonlyArray<TrackedStream>, reason: string) => void
  readonly run: Effect.Effect<never>
}

/**
 * Fetches the list periodically, and records the entries of the wanted symbols, as the exchange sends them: each once a day
 * (UTC), and whenever it has changed. Sequence ids: the day and a CRC32 of the entry.
 */
export const makeInstrumentRecords = (options: {
  readonly context: Pick<ConnectionContext, "clock" | "exchange">
  readonly restUrl: string
  readonly streams: PolledStreams
  readonly refreshEvery: Duration.Duration
}): InstrumentRecords => {
  const { context, refreshEvery, restUrl, streams } = options
  const wanted = new Map<string, TrackedStream>()
  let onAdded: () => void = () => {}

  const onItem = (listed: Set<string>) => (symbol: string, item: string) => {
    const stream = wanted.get(symbol)
    if (stream === undefined) return
    listed.add(symbol)
    const data = Buffer.from(item)
    const day = new Date(context.clock.unsafeNow() / 1000).toISOString().slice(0, 10)
    const exchangeSequenceId = `${day}-${crc32(data).toString(16).padStart(8, "0")}`
    if (exchangeSequenceId === stream.lastSequenceId && stream.state === "live") streams.hear(stream)
    else streams.receive(stream, { exchangeSequenceId, exchangeTimestamp: null }, data)
  }

  const refresh = Effect.gen(function* () {
    const { fetchInstruments } = yield* Effect.promise(() => import("../fetchInstruments.ts"))
    const listed = new Set<string>()
    yield* fetchInstruments(context.exchange, restUrl, onItem(listed)).pipe(
      Effect.tapError((reason) =>
        Effect.suspend(() => {
          for (const stream of wanted.values()) streams.disconnect(stream, "error", reason)
          return Effect.logWarning("could not fetch instrument list, retrying")
        }).pipe(Effect.annotateLogs({ reason }))
      ),
      Effect.retry(askingForInstruments),
      // It is retried forever.
      Effect.orDieWith(String)
    )
    for (const [symbol, stream] of wanted) {
      if (!listed.has(symbol)) streams.disconnect(stream, "empty", "the exchange does not list it")
    }
  })

  return {
    add: (added) => {
      for (const stream of added) wanted.set(stream.id.symbol, stream)
      if (added.length > 0) onAdded()
    },
    remove: (removed, reason) => {
      for (const stream of removed) {
        if (wanted.get(stream.id.symbol) !== stream) continue
        wanted.delete(stream.id.symbol)
        streams.disconnect(stream, "empty", reason)
      }
    },
    run: Effect.gen(function* () {
      const isWanted = yield* Effect.makeLatch(wanted.size > 0)
      const added = yield* Effect.makeLatch(false)
      onAdded = () => {
        isWanted.unsafeOpen()
        added.unsafeOpen()
      }
      while (true) {
        yield* isWanted.await
        added.unsafeClose()
        yield* refresh
        yield* Effect.race(Effect.sleep(refreshEvery), Effect.delay(added.await, "1 second"))
        if (wanted.size === 0) isWanted.unsafeClose()
      }
    })
  }
}
