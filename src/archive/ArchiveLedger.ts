import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer, Ref, Stream } from "effect"
import type { ArchivePlan, JournalSegment } from "../domain/Archive.ts"
import { type ArchiveState, applyToArchives, archiveTags, emptyArchiveState } from "../domain/ArchiveState.ts"
import { ArchivePurged, ArchiveRowsPurged, type JournalEvent } from "../domain/JournalEvent.ts"
import { DatabaseError } from "../storage/DatabaseError.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import { type RowsDiffer, SnapshotRepo } from "../storage/SnapshotRepo.ts"

/** What is archived: rows of a stream, or entries of the journal. */
export type Plan = ArchivePlan | JournalSegment

/**
 * Keeps the books of archives: every step of one is an event in the journal, which nobody else writes, and the state is the fold
 * over these events. Where a write ends in a way that leaves open whether it was committed, the state is read from the journal again
 * before it is next asked for.
 */
export class ArchiveLedger extends Context.Tag("collector/ArchiveLedger")<
  ArchiveLedger,
  {
    readonly state: Effect.Effect<ArchiveState, DatabaseError>
    /** The state as far as it is known, for who only shows it. */
    readonly latest: Effect.Effect<ArchiveState>
    /** Journals steps of an archive, all or none. */
    readonly record: (
      plan: Plan,
      ...events: ReadonlyArray<JournalEvent>
    ) => Effect.Effect<void, DatabaseError>
    /** Deletes the rows of an archive, as `SnapshotRepo.purge` does, and journals that. */
    readonly purge: (plan: ArchivePlan, expected: number) => Effect.Effect<void, DatabaseError | RowsDiffer>
    /** Has the journal begin anew behind the entry `after`: see `EventJournal.beginEpoch`. */
    readonly beginEpoch: (after: number) => Effect.Effect<void, DatabaseError>
    /** Whether an archive of this id was planned and nothing will be asked of its file any more. */
    readonly isDone: (archiveId: string) => Effect.Effect<boolean>
  }
>() {
  /** Reads the state from the journal. */
  static readonly layer = Layer.effect(
    this,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const journal = yield* EventJournal
  const repo = yield* SnapshotRepo

  const read = Stream.runFold(journal.entriesOf(archiveTags), emptyArchiveState, (state, { event }) =>
    applyToArchives(state, event)
  )
  const known = yield* Effect.flatMap(read, Ref.make)
  const isInDoubt = yield* Ref.make(false)

  /** What is written is applied; of what fails or is interrupted nobody knows. */
  const writing = <A, E>(write: Effect.Effect<A, E>, events: ReadonlyArray<JournalEvent>) =>
    Effect.zipRight(
      write,
      Ref.update(known, (state) => events.reduce(applyToArchives, state))
    ).pipe(Effect.onError(() => Ref.set(isInDoubt, true)))

  const state = Effect.gen(function* () {
    if (yield* Ref.get(isInDoubt)) {
      yield* Ref.set(known, yield* read)
      yield* Ref.set(isInDoubt, false)
    }
    return yield* Ref.get(known)
  })

  const streamOf = (plan: Plan) => ("stream" in plan ? plan.stream : undefined)

  return ArchiveLedger.of({
    state,
    latest: Ref.get(known),
    record: (plan, ...events) =>
      Effect.uninterruptible(writing(journal.appendOf(streamOf(plan), ...events), events)),
    purge: (plan, expected) => {
      const { archiveId, stream } = plan
      const purged = ArchivePurged.make({ archiveId })
      return writing(
        repo.purge(plan, expected, ({ isLast, rows, throughId }) =>
          journal.appendOf(
            stream,
            ArchiveRowsPurged.make({ archiveId, throughId, rows }),
            ...(isLast ? [purged] : [])
          )
        ),
        [purged]
      )
    },
    beginEpoch: (after) =>
      Effect.ensuring(journal.beginEpoch(after), Ref.set(isInDoubt, true)).pipe(
        Effect.zipRight(state),
        Effect.asVoid
      ),
    isDone: (archiveId) =>
      sql`
        SELECT 1 FROM journal
        WHERE tag IN ('ArchivePurged', 'ArchiveAbandoned', 'JournalSegmentArchived') AND payload LIKE ${`%${archiveId}%`}
        LIMIT 1`.pipe(
        Effect.map((rows) => rows.length > 0),
        Effect.mapError(DatabaseError.from),
        Effect.orElseSucceed(() => false)
      )
  })
})
