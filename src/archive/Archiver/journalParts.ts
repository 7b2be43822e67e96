import { Effect, Option, Ref } from "effect"
import { archivedThrough, type PendingArchive } from "../../domain/ArchiveState.ts"
import { advanceCheckpoint } from "../../storage/Checkpoint.ts"
import { EventJournal } from "../../storage/EventJournal.ts"
import {
  type JournalLimits,
  journalCounts,
  journalLimits,
  lastLife,
  neededNow,
  prunableThrough,
  pruneJournal
} from "../../storage/JournalUpkeep.ts"
import { ArchiveLedger } from "../ArchiveLedger.ts"
import { archiveCheckpoint, isCheckpointDue } from "./checkpoint.ts"
import { findOtherEpoch } from "./epoch.ts"
import { makeArchiveId, planSegment } from "./plans.ts"

/** Archives the journal, part by part, puts checkpoints beside the parts, and prunes old entries. */
export const makeJournalParts = (options: {
  readonly serverName: string
  readonly outboxDirectory: string
  /** How much of the archived journal stays in the database. */
  readonly journal?: JournalLimits
}) =>
  Effect.gen(function* () {
    const isEpochChecked = yield* Ref.make(false)

    /**
     * Restarts the journal if the database was restored from a copy: new entries would otherwise reuse the ids of archived
     * ones. Runs once per process, since a database is not replaced under a running one.
     */
    const checkEpoch = Effect.gen(function* () {
      if (yield* Ref.get(isEpochChecked)) return
      const ledger = yield* ArchiveLedger
      const { plannedThrough } = yield* ledger.state
      const after = yield* findOtherEpoch(plannedThrough)
      if (Option.isSome(after)) {
        yield* ledger.beginEpoch(after.value)
        yield* Effect.logError("database was restored from a copy, starting a new journal").pipe(
          Effect.annotateLogs({ after: after.value })
        )
      }
      yield* Ref.set(isEpochChecked, true)
    })

    /** `attempt` completes a part and returns whether it could. */
    return <E, R>(attempt: (archive: PendingArchive) => Effect.Effect<boolean, E, R>) =>
      Effect.gen(function* () {
        const ledger = yield* ArchiveLedger
        const journal = yield* EventJournal
        yield* checkEpoch
        const life = yield* lastLife
        yield* journalCounts
        const { plannedThrough } = yield* ledger.state
        if (Option.isSome(yield* journal.nextSegment({ after: plannedThrough, maxEntries: 1 }))) {
          yield* journal.appendAll(Option.toArray(life))
        }
        // Entries written meanwhile are left to the next cycle: events can arrive faster than parts are written.
        const last = yield* journal.lastId
        let more = true
        while (more) {
          const next = yield* planSegment(options, last)
          more = Option.isSome(next) && (yield* attempt(next.value))
        }
        const reached = yield* ledger.state
        const archived = archivedThrough(reached)
        const { isWorthIt, through } = yield* prunableThrough(archived, options.journal ?? journalLimits)
        // The parts that cover what comes after it have greater ids: no older part may be under way.
        const isDue = archived === reached.plannedThrough && (yield* isCheckpointDue(archived))
        if (isWorthIt || isDue) {
          const checkpoint = yield* advanceCheckpoint(archived)
          if (isDue) yield* archiveCheckpoint(checkpoint, { ...options, archiveId: yield* makeArchiveId })
        }
        if (isWorthIt) yield* pruneJournal(through, yield* neededNow)
      })
  })
