import type { FileSystem, Path } from "@effect/platform"
import type { SqlClient } from "@effect/sql"
import {
  Array as Array_,
  Cause,
  Clock,
  Context,
  Duration,
  Effect,
  Either,
  HashMap,
  Layer,
  Metric,
  Option,
  Order,
  Ref,
  Schedule
} from "effect"
import { archiveCycles, uploadingAgain } from "../cadences.ts"
import type { ArchiveFile, ArchivePlan } from "../domain/Archive.ts"
import { isOfRows, type PendingArchive } from "../domain/ArchiveState.ts"
import { ArchiveAbandoned, ArchiveFailed, type JournalEvent } from "../domain/JournalEvent.ts"
import { reasonOf } from "../domain/reasonOf.ts"
import type { ArchiverCounts, CycleOutcome } from "../domain/StorageAnswers.ts"
import type { ArchiveView } from "../domain/StorageView.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import type { DatabaseError } from "../storage/DatabaseError.ts"
import type { EventJournal } from "../storage/EventJournal.ts"
import type { JournalLimits } from "../storage/JournalUpkeep.ts"
import { SnapshotRepo } from "../storage/SnapshotRepo.ts"
import { ArchiveLedger, type Plan } from "./ArchiveLedger.ts"
import { makeJournalParts } from "./Archiver/journalParts.ts"
import { warnIfGone } from "./Archiver/kept.ts"
import { tidyOutbox } from "./Archiver/outbox.ts"
import { type PlanOptions, planRows } from "./Archiver/plans.ts"
import { failuresAt, type StageFailed, stages } from "./Archiver/StageFailed.ts"
import { makeSteps } from "./Archiver/steps.ts"
import { makeStoreState } from "./Archiver/storeState.ts"
import { doneView, pendingView } from "./Archiver/views.ts"
import type { ArchiveStore } from "./ArchiveStore.ts"
import { parquetSeconds, uploadSeconds } from "./metrics.ts"

export interface ArchiverOptions extends PlanOptions {
  /** Where Parquet files wait until their objects are verified. */
  readonly outboxDirectory: string
  readonly interval: Duration.Duration
  /** When a request to the store is retried within a cycle. */
  readonly retries?: Schedule.Schedule<unknown>
  /** How much of the archived journal stays in the database. */
  readonly journal?: JournalLimits
}

/**
 * Turns rows into verified objects. An archive is planned, written, uploaded, verified and purged; each step is an event in the
 * journal, so that a cycle resumes where an earlier one, or an earlier process, failed or was killed. Rows are deleted only
 * after the store has confirmed the object's length and SHA-256, and only the rows in that object. The journal is archived the
 * same way, part by part; its entries stay in the database until they are old.
 */
export class Archiver extends Context.Tag("collector/Archiver")<
  Archiver,
  {
    /**
     * Runs one cycle: first what is pending, then the rows of every stream. Never fails: the next cycle retries what failed.
     */
    readonly runCycle: Effect.Effect<CycleOutcome>
    /** Runs a cycle now and then one every interval, forever. */
    readonly run: Effect.Effect<never>
    /**
     * Checks every few seconds whether the store is there, if that costs nothing, and reports the reason for as long as the
     * store is known to be down. Runs a cycle once it is back.
     */
    readonly watchStore: (tell: (reason: string) => Effect.Effect<void>) => Effect.Effect<never>
    readonly counts: Effect.Effect<ArchiverCounts>
    /** The archives under way, followed by the most recently completed ones. */
    readonly recent: Effect.Effect<ReadonlyArray<ArchiveView>>
  }
>() {
  static readonly layer = (options: ArchiverOptions) =>
    Layer.provide(Layer.scoped(this, make(options)), ArchiveLedger.layer)
}

/** How long a cycle keeps trying objects that the store answers but does not accept, before it moves on to other work. */
const patienceWithFailing = Duration.minutes(5)

const make = (options: ArchiverOptions) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<
      | ArchiveLedger
      | ArchiveStore
      | EventJournal
      | FileSystem.FileSystem
      | Path.Path
      | SnapshotRepo
      | SqlClient.SqlClient
    >()
    const ledger = yield* ArchiveLedger
    const repo = yield* SnapshotRepo
    const store = yield* makeStoreState
    const { complete } = yield* makeSteps({ ...options, retries: options.retries ?? uploadingAgain })
    const archiveJournal = yield* makeJournalParts(options)
    const oneCycle = yield* Effect.makeSemaphore(1)
    const totals = yield* Ref.make({ archives: 0, rows: 0, bytes: 0 })
    const done = yield* Ref.make<ReadonlyArray<ArchiveView>>([])
    yield* Effect.all([Metric.value(parquetSeconds), Metric.value(uploadSeconds)])
    yield* Effect.forEach(stages, (stage) => Metric.value(failuresAt(stage)))

    /** How often each pending archive has failed in this process. */
    const failures = new Map<string, number>()
    const isStoreKnown = yield* Ref.make(false)

    /** Counts a completed archive of rows and shows it. */
    const noteDone = (plan: ArchivePlan, file: ArchiveFile) =>
      Effect.gen(function* () {
        yield* Ref.update(totals, (sum) => ({
          archives: sum.archives + 1,
          rows: sum.rows + file.rows,
          bytes: sum.bytes + file.size
        }))
        const view = doneView(plan, file, yield* Clock.currentTimeMillis)
        yield* Ref.update(done, (before) => [view, ...before.slice(0, maxDoneShown - 1)])
      })

    const cycle = (
      archived: Array<CycleOutcome["archived"][number]>,
      failed: Array<CycleOutcome["failed"][number]>
    ) =>
      Effect.gen(function* () {
        const { pending } = yield* ledger.state
        yield* tidyOutbox({
          directory: options.outboxDirectory,
          isPending: (archiveId) => HashMap.has(pending, archiveId),
          isDone: ledger.isDone
        })
        if (!(yield* Ref.get(isStoreKnown)))
          yield* Effect.flatMap(warnIfGone, (isKnown) => Ref.set(isStoreKnown, isKnown))

        /** Milliseconds spent on failed attempts since the last turn. */
        let wasted = 0

        /** Returns whether an archive could be completed. */
        const attempt = (archive: PendingArchive) =>
          Effect.gen(function* () {
            const { archiveId, key } = archive.plan
            const [took, result] = yield* Effect.timed(Effect.either(complete(archive)))
            if (Either.isRight(result)) {
              if (isOfRows(archive)) {
                archived.push({ plan: archive.plan, file: result.right })
                yield* noteDone(archive.plan, result.right)
              }
              failures.delete(archiveId)
              return true
            }
            const error = result.left
            failed.push({ what: key, reason: error.reason })
            wasted += Duration.toMillis(took)
            const before = failures.get(archiveId) ?? 0
            failures.set(archiveId, before + 1)
            if (error.isOfStore) yield* store.probe
            // Entries can be in two parts, since readers of the journal take each one once; rows must not be in two archives.
            const isGivenUp =
              !isOfRows(archive) &&
              before > 0 &&
              (error.stage === "upload" || error.stage === "verify") &&
              !(yield* store.isDown)
            yield* error.isBlocked === true || isGivenUp
              ? abandon(archive.plan, error)
              : noteFailure(archive.plan, error)
            return false
          })

        /** Takes the items one after the other, while the store answers and patience lasts. */
        const inTurn = <A, R>(
          items: ReadonlyArray<A>,
          take: (item: A) => Effect.Effect<unknown, DatabaseError, R>
        ) =>
          Effect.gen(function* () {
            wasted = 0
            for (const item of items) {
              if (!(yield* mayGoOn)) return
              yield* take(item)
            }
          })
        const mayGoOn = Effect.map(
          store.isDown,
          (isDown) => !isDown && wasted < Duration.toMillis(patienceWithFailing)
        )
        const through = yield* repo.lastId
        const archiveRows = (stream: StreamId) =>
          Effect.gen(function* () {
            let more = true
            while (more && (yield* mayGoOn)) {
              const next = yield* planRows(options, stream, through)
              more = Option.isSome(next) && (yield* attempt(next.value))
            }
          })
        // What has failed before comes last, with the fewest failures first.
        const open = Array.from(HashMap.values(pending)).sort(byId)
        const [fresh, failing] = Array_.partition(open, ({ plan }) => failures.has(plan.archiveId))
        const wasDown = yield* store.isDown
        if (failing.length > 0 || wasDown) yield* store.probe
        const reason = yield* store.failure
        if (reason !== null) {
          failed.push({ what: "the archive store", reason })
          if (wasDown) yield* store.sayThatItIsDown(reason)
        }
        yield* inTurn(fresh, attempt)
        const waiting = new Set(
          open
            .filter(isOfRows)
            .flatMap(({ plan }) => (failures.has(plan.archiveId) ? [streamKey(plan.stream)] : []))
        )
        const [free, heldUp] = Array_.partition(yield* repo.streams, (stream) =>
          waiting.has(streamKey(stream))
        )
        yield* inTurn(free, archiveRows)
        yield* inTurn(failing.sort(byFailures(failures)), attempt)
        yield* inTurn(heldUp, archiveRows)

        yield* repo.forget
        const isJournalPending = HashMap.some((yield* ledger.state).pending, (archive) => !isOfRows(archive))
        if (!isJournalPending && !(yield* store.isDown)) yield* archiveJournal(attempt)
      })

    const watchStore: Archiver["Type"]["watchStore"] = (tell) =>
      Effect.gen(function* () {
        yield* store.look(runCycle)
        const reason = yield* store.failure
        if (reason !== null) yield* tell(`the archive store is down: ${reason}`)
      }).pipe(
        Effect.annotateLogs({ module: "archive" }),
        Effect.repeat(Schedule.spaced("5 seconds")),
        Effect.zipRight(Effect.never)
      )

    /**
     * Releases the rows of an archive whose key is taken, or the entries of one whose key is not: they go into another archive.
     */
    const abandon = (plan: Plan, { isBlocked, reason, stage }: StageFailed) =>
      (isBlocked === true
        ? Effect.logError("archive key is taken by another object, archiving under a new key")
        : Effect.logError("store keeps rejecting a part of the journal, archiving it under a new key")
      ).pipe(
        Effect.annotateLogs({ key: plan.key, reason }),
        Effect.zipRight(Metric.increment(failuresAt(stage))),
        Effect.zipRight(
          journalled(plan, ArchiveAbandoned.make({ archiveId: plan.archiveId, key: plan.key, reason }))
        ),
        Effect.zipRight(Effect.sync(() => failures.delete(plan.archiveId)))
      )

    const noteFailure = (plan: Plan, { reason, stage }: StageFailed) =>
      Effect.logError("archive failed, keeping its rows and file, will retry next cycle").pipe(
        Effect.annotateLogs({ stage, key: plan.key, reason }),
        Effect.zipRight(Metric.increment(failuresAt(stage))),
        Effect.zipRight(journalled(plan, ArchiveFailed.make({ archiveId: plan.archiveId, stage, reason })))
      )

    const journalled = (plan: Plan, event: JournalEvent) =>
      Effect.catchAll(ledger.record(plan, event), (cause) =>
        Effect.logWarning("could not write to the journal").pipe(
          Effect.annotateLogs({ reason: cause.message })
        )
      )

    const runCycle = Effect.suspend(() => {
      const archived: Array<CycleOutcome["archived"][number]> = []
      const failed: Array<CycleOutcome["failed"][number]> = []
      return cycle(archived, failed).pipe(
        Effect.catchAllCause((cause) => {
          failed.push({ what: "the cycle", reason: reasonOf(Cause.squash(cause)) })
          return Effect.logError("archive cycle failed, will retry next cycle", cause)
        }),
        Effect.map((): CycleOutcome => ({ archived, failed }))
      )
    }).pipe(
      Effect.withSpan("archive.cycle", { root: true }),
      oneCycle.withPermits(1),
      Effect.provide(context),
      Effect.annotateLogs({ module: "archive" })
    )

    return Archiver.of({
      runCycle,
      run: Effect.zipRight(Effect.repeat(runCycle, archiveCycles(options.interval)), Effect.never),
      watchStore,
      counts: Effect.gen(function* () {
        return {
          ...(yield* Ref.get(totals)),
          pending: HashMap.size(HashMap.filter((yield* ledger.latest).pending, isOfRows))
        }
      }),
      recent: Effect.gen(function* () {
        const { pending } = yield* ledger.latest
        const open = Array.from(HashMap.values(pending)).filter(isOfRows).sort(byId)
        return [...open.slice(0, maxPendingShown).map(pendingView), ...(yield* Ref.get(done))]
      })
    })
  })

const maxDoneShown = 20
const maxPendingShown = 50

const byId = Order.mapInput(Order.string, (archive: PendingArchive) => archive.plan.archiveId)

/** Orders by the fewest failures, then by age, oldest first. */
const byFailures = (failures: ReadonlyMap<string, number>) =>
  Order.combine(
    Order.mapInput(Order.number, ({ plan }: PendingArchive) => failures.get(plan.archiveId) ?? 0),
    byId
  )
