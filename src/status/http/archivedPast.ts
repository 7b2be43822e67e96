import { FileSystem } from "@effect/platform"
import { Chunk, Clock, Data, Effect, Option, Order, Stream } from "effect"
import { findCheckpoint } from "../../archive/ArchivedCheckpoint.ts"
import {
  type ArchivedJournal,
  archivedBegin,
  archivedEntries,
  archivedJournals
} from "../../archive/ArchivedJournal.ts"
import { archiveStoreOf } from "../../archive/archiveStoreOf.ts"
import * as HyparquetReader from "../../archive/HyparquetReader.ts"
import { parseKey } from "../../domain/Archive.ts"
import { endOfJournal } from "../../domain/Coverage/ending.ts"
import { beginJournal } from "../../domain/Coverage/journals.ts"
import { withoutBearing } from "../../domain/Coverage.ts"
import { resumed } from "../../domain/CoverageCheckpoint.ts"
import type { JournalEntry } from "../../domain/JournalEvent.ts"
import { microsPerDay } from "../../domain/micros.ts"
import { yieldToEventLoop } from "../../storage/eventLoop.ts"
import { openJournalPages } from "../../storage/JournalPages.ts"
import type { HttpSettings } from "./HttpSettings.ts"
import { makePast, maxDays, type Past } from "./Past.ts"

/** How far a journal has been read. */
export interface Fold {
  /** Identifies the journal. */
  readonly journal: string
  readonly past: Past
  /** The last entry read. */
  readonly through: number
  /** The full text of that entry, if known. */
  readonly lastText: string
  /** The archived part up to which the journal was read, and its last entry, if known. */
  readonly archived: { readonly archiveId: string; readonly id: number } | null
}

/** The archive is ahead of the database: the journal restarts at the next archive cycle. */
class DatabaseIsOlder extends Data.TaggedError("DatabaseIsOlder") {
  override get message() {
    return "the archive has more of the journal than the database, which was restored from a copy"
  }
}

/**
 * What the archived journals of this server say about the last days; none if they say nothing. One part is on disk at a time,
 * and other work gets its turn after every page of it. `onProgress` receives the share of these days that has been read.
 */
export const archivedPast = (settings: HttpSettings, onProgress: (share: number) => void) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const store = settings.archiveStore
    const before = yield* lookAtLive(settings.databasePath)
    if (store._tag === "File" && !(yield* fs.exists(store.directory))) return Option.none()
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "crypto-collector-" })
    const today = (yield* Clock.currentTimeMillis) * 1000
    const oldest = today - maxDays * microsPerDay
    const foldOf = (position: Pick<Fold, "past" | "through" | "archived">) =>
      Option.some<Fold>({ ...position, journal: before.id, lastText: "" })
    const read = yield* Effect.gen(function* () {
      const journals = yield* archivedJournals
      const isArchived = (id: string) => journals.some(({ journal }) => journal === id)
      const isLive = ({ journal }: ArchivedJournal) => journal === before.id
      const own = journals
        .filter(({ servers }) => servers.includes(settings.serverName))
        .filter(({ keys }) => keys.some((key) => endOfDay(key) > oldest))
        .sort((a, b) =>
          isLive(a) === isLive(b)
            ? Order.string((a.keys[0] ?? "").slice(-32), (b.keys[0] ?? "").slice(-32))
            : isLive(a)
              ? 1
              : -1
        )
      const past = makePast()
      for (const journal of own) {
        const checkpoint = yield* findCheckpoint(journal, oldest)
        // Without a checkpoint, everything before the first of these parts is unknown: it is left out on purpose.
        const young = journal.keys.filter((key) => endOfDay(key) > oldest)
        const keys = Option.isSome(checkpoint) ? journal.keys : young
        const begin = yield* archivedBegin({ keys: young }, folder)
        const goesBack = Option.exists(begin.previous, isArchived)
        const start =
          young.length < journal.keys.length
            ? { after: begin.firstId - 1, goesBack: false }
            : { after: begin.after, goesBack }
        past.change((state) => {
          const next = beginJournal(endOfJournal(state), start)
          return Option.match(checkpoint, {
            onNone: () => next,
            onSome: ({ checkpoint }) => resumed(next, checkpoint)
          })
        })
        yield* archivedEntries({ keys }, folder, (_, error) => Effect.fail(error), {
          after: start.after,
          skip: withoutBearing,
          ...Option.match(checkpoint, {
            onNone: () => ({}),
            onSome: ({ archiveId, checkpoint: { coverage, lastText } }) => ({
              behind: { id: coverage.lastId, text: lastText, archiveId }
            })
          })
        }).pipe(
          takeInto(past, (at) => onProgress(Math.min(1, Math.max(0, (at - oldest) / (today - oldest)))))
        )
      }
      if (own.length === 0) return Option.none()
      const live = own.find(isLive)
      const id = past.state().lastId
      if (live !== undefined) {
        return foldOf({ past, through: id, archived: { id, archiveId: lastArchiveId(live) } })
      }
      const epoch = yield* before.epoch
      const goesBack = Option.exists(epoch, ({ previous }) => isArchived(previous))
      const after = goesBack ? Option.match(epoch, { onNone: () => 0, onSome: ({ after }) => after }) : 0
      past.change((state) => beginJournal(endOfJournal(state), { after, goesBack }))
      return foldOf({ past, through: after, archived: null })
    }).pipe(Effect.provide([archiveStoreOf(store, { readOnly: true }), HyparquetReader.layer]))
    const now = yield* lookAtLive(settings.databasePath)
    if (Option.isNone(read)) return Option.none()
    if (now.id === before.id && now.lastId < read.value.through) return yield* new DatabaseIsOlder()
    return read
  }).pipe(Effect.scoped)

/** Continues reading in the archive, from where the fold is: the entries after it have left the database. */
export const readOn = (
  settings: HttpSettings,
  fold: Fold & { readonly archived: NonNullable<Fold["archived"]> }
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { archived, past } = fold
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "crypto-collector-" })
    const found = (yield* archivedJournals).find(({ journal }) => journal === fold.journal)
    if (found === undefined) return fold
    yield* archivedEntries(found, folder, (_, error) => Effect.fail(error), {
      after: 0,
      skip: withoutBearing,
      behind: { ...archived, text: "" }
    }).pipe(
      Stream.filter(({ id }) => id > fold.through),
      takeInto(past)
    )
    const through = Math.max(fold.through, past.state().lastId)
    return {
      ...fold,
      through,
      lastText: through === fold.through ? fold.lastText : "",
      archived: { id: through, archiveId: lastArchiveId(found) }
    } satisfies Fold
  }).pipe(
    Effect.scoped,
    Effect.provide([archiveStoreOf(settings.archiveStore, { readOnly: true }), HyparquetReader.layer])
  )

/** Applies entries in small batches. `onTaken` receives the time of the last entry, microseconds. */
const takeInto =
  (past: Past, onTaken: (at: number) => void = () => {}) =>
  <E, R>(entries: Stream.Stream<JournalEntry, E, R>) =>
    entries.pipe(
      Stream.rechunk(entriesAtOnce),
      Stream.runForEachChunk((entries) =>
        Effect.gen(function* () {
          past.apply(Array.from(entries))
          past.settle((yield* Clock.currentTimeMillis) * 1000)
          onTaken(Option.match(Chunk.last(entries), { onNone: () => 0, onSome: ({ at }) => at }))
          yield* yieldToEventLoop
        })
      )
    )

const lastArchiveId = ({ keys }: ArchivedJournal): string => {
  const parsed = parseKey(keys.at(-1) ?? "")
  return parsed === undefined ? "" : parsed.archiveId
}

/** The database as it is now. */
const lookAtLive = (path: string) => Effect.flatten(openJournalPages(path))

/** The end of a part's date, microseconds; 0 for any other key. */
const endOfDay = (key: string): number => {
  const parsed = parseKey(key)
  return parsed?._tag === "Journal" ? Date.parse(`${parsed.date}T00:00:00Z`) * 1000 + microsPerDay : 0
}

const entriesAtOnce = 2000
