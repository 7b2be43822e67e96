import { Effect, Option, Order, Stream } from "effect"
import { type FoundCheckpoint, findCheckpoint } from "../archive/ArchivedCheckpoint.ts"
import {
  type ArchivedJournal,
  archivedBegin,
  archivedEntries,
  archivedJournals,
  archiveIdOf
} from "../archive/ArchivedJournal.ts"
import type { ArchiveStoreError } from "../archive/ArchiveStore.ts"
import { reasonOf } from "../domain/reasonOf.ts"
import { openLiveJournal } from "../storage/LiveJournal.ts"
import type { Reading } from "./reading.ts"

/** The sources of the journals: the archive, and the database if it is our own. */
export interface JournalSources extends Omit<Reading, "settings"> {
  readonly settings: Pick<Reading["settings"], "databasePath" | "serverName">
}

/**
 * The journals of all servers, from the archive and, for our own, from the database, in the order in which they were started.
 * The database is read first and then closed, so that a collector can empty its WAL while the archive is read.
 */
export const wholeJournals = <E, E2>(
  { folder, settings }: JournalSources,
  options: {
    /** Tags of events that are of no interest to the reader. */
    readonly skip?: ReadonlySet<string>
    /** Only what concerns the time from here on, microseconds, is requested. */
    readonly from?: number
    /** Handles an archive that cannot be read. */
    readonly orElse: (error: ArchiveStoreError) => Effect.Effect<ReadonlyArray<ArchivedJournal>, E>
    /** Handles a part that cannot be read: it is left out, unless this fails. */
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
        ? [{ servers: [settings.serverName] as const, journal: live.value.id, keys: [], checkpoints: [] }]
        : [])
    ]
    return journals.map((journal) => {
      const own = Option.filter(live, ({ id }) => id === journal.journal)
      const server = Option.isSome(own) ? settings.serverName : (journal.servers.at(-1) ?? "")
      const onDamaged = (key: string, { cause }: { readonly cause: unknown }) =>
        options.onDamaged({ server, key, reason: reasonOf(cause) })
      const begin = Effect.map(
        journal.keys.length === 0 && Option.isSome(own)
          ? Effect.succeed(own.value.begin)
          : archivedBegin(journal, folder),
        ({ after, previous }) => {
          const goesBack = Option.exists(previous, isArchived)
          // Without the previous journal, the database's entries are all there is.
          return { after: goesBack || journal.keys.length > 0 ? after : 0, goesBack }
        }
      )
      /** In order. Entries that are counted but not yet journalled come last, with the id 0. */
      const entriesBehind = (start: Option.Option<FoundCheckpoint>) =>
        Stream.unwrap(
          Effect.map(begin, ({ after }) =>
            archivedEntries(journal, folder, onDamaged, {
              after,
              ...Option.match(start, {
                onNone: () => ({}),
                onSome: ({ archiveId, checkpoint: { coverage, lastText } }) => ({
                  behind: { id: coverage.lastId, text: lastText, archiveId }
                })
              }),
              ...(options.skip === undefined ? {} : { skip: options.skip }),
              ...(Option.isSome(own) ? { tail: own.value } : {})
            })
          )
        )
      return {
        server,
        journal: journal.journal,
        /** All names it ever had. */
        servers: Option.isSome(own) ? [...journal.servers, settings.serverName] : journal.servers,
        /** Where the journal begins. */
        begin,
        entries: entriesBehind(Option.none()),
        /**
         * The journal's state as of an entry, so that only later entries need to be read; none if there is no such checkpoint.
         */
        checkpoint: options.from === undefined ? Effect.succeedNone : findCheckpoint(journal, options.from),
        entriesBehind,
        /** Whether its database is read, too. */
        isLive: Option.isSome(own),
        /**
         * The time, microseconds, up to which the running process has committed what it received; 0 if none is known to run.
         */
        lastSeen: Option.match(own, { onNone: () => 0, onSome: ({ lastSeen }) => lastSeen }),
        heard: Option.getOrUndefined(own)?.heard
      }
    })
  })

const firstArchiveId = ([first = ""]: ReadonlyArray<string>): string => archiveIdOf(first)
