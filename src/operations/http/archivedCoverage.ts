import { FileSystem } from "@effect/platform"
import { Clock, Effect, Stream } from "effect"
import { archivedEntries, archivedJournals } from "../../archive/ArchivedJournal.ts"
import { archiveStoreOf } from "../../archive/archiveStoreOf.ts"
import * as HyparquetReader from "../../archive/HyparquetReader.ts"
import { dateOf, parseKey } from "../../domain/Archive.ts"
import { applyToCoverage, type Coverage, endOfJournal, noCoverage } from "../../domain/Coverage.ts"
import { microsPerDay } from "../../domain/micros.ts"
import type { LiveJournal } from "../../storage/LiveJournal.ts"
import type { HttpSettings } from "./HttpSettings.ts"

/** A fold over a journal up to the entry `through`. */
export interface Folded {
  readonly state: Coverage
  readonly through: number
}

/**
 * What the archived journals of this server say about the last `days`; and up to which entry of the live journal that is, whose
 * later entries go on from there. `shorten` keeps the state small. One part lies on the disk at a time.
 */
export const archivedCoverage = (
  settings: HttpSettings,
  live: LiveJournal,
  options: { readonly days: number; readonly shorten: (state: Coverage) => Coverage }
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const store = settings.archiveStore
    if (store._tag === "File" && !(yield* fs.exists(store.directory))) {
      return { state: noCoverage, through: 0 }
    }
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "crypto-collector-" })
    const oldest = dateOf((yield* Clock.currentTimeMillis) * 1000 - options.days * microsPerDay)
    const isYoung = (key: string) => (parseKey(key)?.date ?? "") >= oldest
    const journals = Effect.map(archivedJournals, (all) =>
      all
        .filter(({ servers }) => servers.includes(settings.serverName))
        .map((each) => ({ ...each, keys: each.keys.filter(isYoung) }))
        .filter(({ keys }) => keys.length > 0)
        .sort((a, b) => ((a.keys[0] ?? "").slice(-32) < (b.keys[0] ?? "").slice(-32) ? -1 : 1))
    )
    return yield* Effect.gen(function* () {
      let folded: Folded = { state: noCoverage, through: 0 }
      for (const journal of yield* journals) {
        const isLive = journal.journal === live.id
        let through = 0
        for (const key of journal.keys) {
          const state = yield* Stream.runFold(
            archivedEntries({ ...journal, keys: [key] }, folder, (_, error) => Effect.fail(error)),
            folded.state,
            (state, entry) => {
              if (entry.id <= through) return state
              through = entry.id
              return applyToCoverage(state, entry)
            }
          )
          folded = { state: options.shorten(state), through: isLive ? through : 0 }
        }
        if (!isLive) folded = { state: endOfJournal(folded.state), through: 0 }
      }
      return folded
    }).pipe(Effect.provide([archiveStoreOf(store, { readOnly: true }), HyparquetReader.layer]))
  }).pipe(Effect.scoped)
