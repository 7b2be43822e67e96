import { Console, Effect, HashMap, Order, Stream } from "effect"
import type { ArchiveStoreError } from "../../archive/ArchiveStore.ts"
import { applyToCoverage, endOfJournal, noCoverage, type StreamCoverage } from "../../domain/Coverage.ts"
import type { JournalEntry } from "../../domain/JournalEvent.ts"
import { streamKey } from "../../domain/StreamId.ts"
import { wholeJournals } from "../journals.ts"
import type { Reading } from "../reading.ts"
import type { Selection } from "../selection.ts"

/** What a server recorded. */
export interface ServerCoverage {
  readonly server: string
  /** In the order of their keys. */
  readonly streams: ReadonlyArray<StreamCoverage>
}

/** Folds the journals of all servers, as far as they are about selected streams. */
export const readCoverage = (reading: Reading, select: Selection) =>
  Effect.gen(function* () {
    const servers = new Map<string, typeof noCoverage>()
    for (const { entries, lastSeen, server } of yield* wholeJournals(reading, withoutArchive)) {
      const state = yield* Stream.runFold(entries, servers.get(server) ?? noCoverage, (before, entry) => {
        const selected = restrict(entry, select)
        return selected === undefined ? before : applyToCoverage(before, selected)
      })
      servers.set(server, endOfJournal(state, lastSeen))
    }
    return Array.from(
      Array.from(servers).sort(([a], [b]) => Order.string(a, b)),
      ([server, { streams }]): ServerCoverage => ({
        server,
        streams: Array.from(HashMap.values(streams)).sort((a, b) =>
          Order.string(streamKey(a.stream), streamKey(b.stream))
        )
      })
    )
  }).pipe(Effect.provide(reading.services))

const withoutArchive = (error: ArchiveStoreError) =>
  Effect.as(
    Console.error(`the archive cannot be read, this is what the database alone says: ${error.message}`),
    []
  )

/** The entry as far as it is about selected streams. */
const restrict = (entry: JournalEntry, { takes }: Selection): JournalEntry | undefined => {
  const { event } = entry
  if (event._tag === "RecordingStarted") {
    return { ...entry, event: { ...event, streams: event.streams.filter(takes) } }
  }
  return "stream" in event && !takes(event.stream) ? undefined : entry
}
