import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer, Ref, Stream } from "effect"
import type { ArchivePlan, JournalSegment } from "../domain/Archive.ts"
import { type ArchiveState, applyToArchives, archiveTags, emptyArchiveState } from "../domain/ArchiveState.ts"
import { ArchivePurged, ArchiveRowsPurged, type JournalEvent } from "../domain/JournalEvent.ts"
import type { DatabaseError } from "../storage/DatabaseError.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import { type RowsDiffer, SnapshotRepo } from "../storage/SnapshotRepo.ts"

/** What an archive holds: rows of a stream, or entries of the journal. */
export type Plan = ArchivePlan | JournalSegment

/**
 * Keeps the books of archives. Every step of an archive is an event in the journal, which has no other writer, and the state is
 * the fold over these events. After a write that may or may not have been committed, the state is read from the journal again
 * before it is next used.
 */
export class ArchiveLedger extends Context.Tag("collector/ArchiveLedger")<
  ArchiveLedger,
  {
    readonly state: Effect.Effect<ArchiveState, DatabaseError>
    /** The latest known state, for display only. */
    readonly latest: Effect.Effect<ArchiveState>
    /** Journals the steps of an archive, all or none. */
    readonly record: (
      plan: Plan,
      ...events: ReadonlyArray<JournalEvent>
    ) => Effect.Effect<void, DatabaseError>
    /** Deletes the rows of an archive, as `SnapshotRepo.purge` does, and journals the deletion. */
    readonly purge: (plan: ArchivePlan, expected: number) => Effect.Effect<void, DatabaseError | RowsDiffer>
    /** Restarts the journal after the entry `after`: see `EventJournal.beginEpoch`. */
    readonly beginEpoch: (after: number) => Effect.Effect<void, DatabaseError>
    /** Whether an archive with this id was planned and its file is no longer needed. */
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

  /** Applies what was written. If the write fails or is interrupted, the outcome is unknown. */
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
        Effect.orElseSucceed(() => false)
      )
  })
})
