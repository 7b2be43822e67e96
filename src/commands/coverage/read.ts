import { Console, Data, Effect, HashMap, Order, Stream } from "effect"
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

/** What the journals say. */
export interface ReadCoverage {
  readonly servers: ReadonlyArray<ServerCoverage>
  /** Keys of archives that were given up: the objects there are not ours. */
  readonly abandoned: ReadonlySet<string>
  /** Servers that are left out, because a part of their journal cannot be read. */
  readonly damaged: ReadonlyArray<JournalDamaged>
}

/** Without a part of it a journal says nothing for certain: a hole may have been told of there. */
export class JournalDamaged extends Data.TaggedError("JournalDamaged")<{
  readonly server: string
  readonly key: string
  readonly reason: string
}> {
  override get message() {
    return `server ${this.server} is left out, because a part of its journal is damaged and may have told of holes: ${this.key}: ${this.reason}`
  }
}

/** Folds the journals of all servers, as far as they are about selected streams. */
export const readCoverage = (reading: Reading, select: Selection) =>
  Effect.gen(function* () {
    const servers = new Map<string, typeof noCoverage>()
    const abandoned = new Set<string>()
    const unreadable: Array<JournalDamaged> = []
    const journals = yield* wholeJournals(reading, {
      orElse: withoutArchive,
      onDamaged: (part) => Effect.sync(() => void unreadable.push(new JournalDamaged(part)))
    })
    for (const { entries, heard, lastSeen, server } of journals) {
      const state = yield* Stream.runFold(entries, servers.get(server) ?? noCoverage, (before, entry) => {
        if (entry.event._tag === "ArchiveAbandoned") abandoned.add(entry.event.key)
        const selected = restrict(entry, select)
        return selected === undefined ? before : applyToCoverage(before, selected)
      })
      servers.set(server, endOfJournal(state, lastSeen, heard))
    }
    // What was to be in an object that was given up is in another one.
    const damaged = unreadable.filter(({ key }) => !abandoned.has(key))
    for (const { server } of damaged) servers.delete(server)
    return {
      servers: Array.from(
        Array.from(servers).sort(([a], [b]) => Order.string(a, b)),
        ([server, { streams }]): ServerCoverage => ({
          server,
          streams: Array.from(HashMap.values(streams)).sort((a, b) =>
            Order.string(streamKey(a.stream), streamKey(b.stream))
          )
        })
      ),
      abandoned,
      damaged
    } satisfies ReadCoverage
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
