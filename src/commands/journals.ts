import { Effect, Option, Order, Stream } from "effect"
import { type ArchivedJournal, archivedEntries, archivedJournals } from "../archive/ArchivedJournal.ts"
import type { ArchiveStoreError } from "../archive/ArchiveStore.ts"
import { openLiveJournal } from "../storage/LiveJournal.ts"
import type { Reading } from "./reading.ts"

/**
 * The journals of all servers, from the archive and, if it is our own, from the database; in the order in which they were
 * begun.
 */
export const wholeJournals = <E, E2>(
  { folder, settings }: Reading,
  options: {
    /** What to do if the archive cannot be read. */
    readonly orElse: (error: ArchiveStoreError) => Effect.Effect<ReadonlyArray<ArchivedJournal>, E>
    /** What to do about a part that cannot be read: it is left out, unless this fails. */
    readonly onDamaged: (part: {
      readonly server: string
      readonly key: string
      readonly reason: string
    }) => Effect.Effect<void, E2>
  }
) =>
  Effect.gen(function* () {
    const live = yield* openLiveJournal(settings.databasePath)
    const archived = yield* Effect.catchAll(archivedJournals, options.orElse)
    const isArchived = (id: string) => archived.some(({ journal }) => journal === id)
    const journals = [
      ...archived.toSorted((a, b) => Order.string(firstArchiveId(a.keys), firstArchiveId(b.keys))),
      ...(Option.isSome(live) && !isArchived(live.value.id)
        ? [{ servers: [settings.serverName] as const, journal: live.value.id, keys: [] }]
        : [])
    ]
    return journals.map((journal) => {
      const isLive = Option.isSome(live) && live.value.id === journal.journal
      const server = isLive ? settings.serverName : (journal.servers.at(-1) ?? "")
      let last = 0
      const entries = archivedEntries(journal, folder, (key, { cause }) =>
        options.onDamaged({ server, key, reason: cause instanceof Error ? cause.message : String(cause) })
      ).pipe(Stream.tap(({ id }) => Effect.sync(() => (last = Math.max(last, id)))))
      return {
        server,
        /** All names that it ever had. */
        servers: isLive ? [...journal.servers, settings.serverName] : journal.servers,
        /** In order. Those that are counted, but not journalled yet, come last, with the id 0. */
        entries: isLive
          ? Stream.concat(
              entries,
              Stream.suspend(() => live.value.entriesAfter(last))
            )
          : entries,
        /** Up to here, microseconds, the running process has committed what it received; 0 if none is known to run. */
        lastSeen: isLive ? live.value.lastSeen : 0,
        heard: isLive ? live.value.heard : undefined
      }
    })
  })

/** A key ends in the archive id and `.parquet`. */
const firstArchiveId = ([first = ""]: ReadonlyArray<string>): string => first.slice(-32)
