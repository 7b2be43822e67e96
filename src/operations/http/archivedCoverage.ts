import { FileSystem } from "@effect/platform"
import { Clock, Data, Effect, HashMap, Option, Order, Stream } from "effect"
import {
  type ArchivedJournal,
  archivedBegin,
  archivedEntries,
  archivedJournals
} from "../../archive/ArchivedJournal.ts"
import { archiveStoreOf } from "../../archive/archiveStoreOf.ts"
import * as HyparquetReader from "../../archive/HyparquetReader.ts"
import { dateOf, parseKey } from "../../domain/Archive.ts"
import {
  applyToCoverage,
  beginJournal,
  type Coverage,
  endOfJournal,
  noCoverage
} from "../../domain/Coverage.ts"
import { microsPerDay } from "../../domain/micros.ts"
import { openLiveJournal } from "../../storage/LiveJournal.ts"
import type { HttpSettings } from "./HttpSettings.ts"

/** A fold over a journal up to the entry `through`. */
export interface Folded {
  readonly state: Coverage
  readonly through: number
}

/** The archive is ahead of the database: the journal begins anew at the next archive cycle. */
class DatabaseIsOlder extends Data.TaggedError("DatabaseIsOlder") {
  override get message() {
    return "the archive has more of the journal than the database, which was restored from a copy"
  }
}

/**
 * What the archived journals of this server say about the last `days`; and up to which entry of the live journal that is, whose
 * later entries go on from there. `shorten` keeps the state small. One part lies on the disk at a time.
 */
export const archivedCoverage = (
  settings: HttpSettings,
  options: { readonly days: number; readonly shorten: (state: Coverage) => Coverage }
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const store = settings.archiveStore
    const before = yield* lookAtLive(settings.databasePath)
    if (store._tag === "File" && !(yield* fs.exists(store.directory))) {
      return { state: noCoverage, through: 0, journal: before.id }
    }
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "crypto-collector-" })
    const oldest = dateOf((yield* Clock.currentTimeMillis) * 1000 - options.days * microsPerDay)
    const isYoung = (key: string) => (parseKey(key)?.date ?? "") >= oldest
    const folded = yield* Effect.gen(function* () {
      const all = yield* archivedJournals
      const isArchived = (id: string) => all.some(({ journal }) => journal === id)
      const isLive = ({ journal }: ArchivedJournal) => journal === before.id
      const own = all
        .filter(({ servers }) => servers.includes(settings.serverName))
        .map((journal) => ({ journal, young: { ...journal, keys: journal.keys.filter(isYoung) } }))
        .filter(({ young }) => young.keys.length > 0)
        .sort((a, b) =>
          isLive(a.journal) === isLive(b.journal)
            ? Order.string((a.young.keys[0] ?? "").slice(-32), (b.young.keys[0] ?? "").slice(-32))
            : isLive(a.journal)
              ? 1
              : -1
        )
      let state = noCoverage
      let entries = 0
      for (const { journal, young } of own) {
        const begin = yield* archivedBegin(young, folder)
        const goesBack = Option.exists(begin.previous, isArchived)
        // What is older is left out on purpose.
        const start =
          young.keys.length < journal.keys.length
            ? { after: begin.firstId - 1, goesBack: false }
            : { after: begin.after, goesBack }
        state = beginJournal(endOfJournal(state), start)
        yield* Stream.runForEach(
          archivedEntries(young, folder, (_, error) => Effect.fail(error), start),
          (entry) =>
            Effect.sync(() => {
              state = applyToCoverage(state, entry)
              if (++entries % entriesBetween === 0) state = options.shorten(state)
            })
        )
        state = options.shorten(state)
      }
      if (own.some(({ journal }) => isLive(journal))) return { state, through: state.lastId }
      if (HashMap.isEmpty(state.streams)) return { state: noCoverage, through: 0 }
      const goesBack = Option.exists(before.begin.previous, isArchived)
      const start = { after: goesBack ? before.begin.after : 0, goesBack }
      return { state: beginJournal(endOfJournal(state), start), through: start.after }
    }).pipe(Effect.provide([archiveStoreOf(store, { readOnly: true }), HyparquetReader.layer]))
    const now = yield* lookAtLive(settings.databasePath)
    if (now.id === before.id && now.lastId < folded.through) return yield* new DatabaseIsOlder()
    return { ...folded, journal: before.id }
  }).pipe(Effect.scoped)

/** Which journal the database has, without its entries. */
const lookAtLive = (path: string) =>
  Effect.scoped(Effect.flatten(openLiveJournal(path, Number.MAX_SAFE_INTEGER)))

const entriesBetween = 50_000
