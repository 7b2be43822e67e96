import { randomBytes } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import {
  Array as Array_,
  Cause,
  Clock,
  Context,
  Data,
  Duration,
  Effect,
  Either,
  HashMap,
  Layer,
  Metric,
  Option,
  Order,
  Ref,
  Schedule,
  Stream
} from "effect"
import {
  type ArchiveFile,
  type ArchivePlan,
  archiveKey,
  type JournalSegment,
  millisOfArchiveId,
  probeKey,
  segmentKey
} from "../domain/Archive.ts"
import {
  ArchiveAbandoned,
  ArchiveFailed,
  ArchivePlanned,
  ArchivePurged,
  ArchiveUploaded,
  ArchiveVerified,
  ArchiveWritten,
  type JournalEvent,
  JournalSegmentArchived,
  JournalSegmentPlanned
} from "../domain/JournalEvent.ts"
import { applyEntry, archivedThrough, emptyJournalState, neededIds } from "../domain/JournalState.ts"
import { isOfRows, type PendingArchive, planned } from "../domain/PendingArchives.ts"
import type { ArchiverCounts, CycleReport } from "../domain/StorageReport.ts"
import type { ArchiveView } from "../domain/StorageView.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import { advanceCheckpoint } from "../storage/Checkpoint.ts"
import type { DatabaseError } from "../storage/DatabaseError.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import {
  type JournalLimits,
  journalCounts,
  journalLimits,
  lastLife,
  prunableThrough,
  pruneJournal
} from "../storage/JournalUpkeep.ts"
import { type RowsDiffer, SnapshotRepo } from "../storage/SnapshotRepo.ts"
import { version } from "../version.ts"
import { archiveCheckpoint, isCheckpointDue } from "./Archiver/checkpoint.ts"
import {
  archiveColumns,
  archivePage,
  arrowMetadata,
  journalColumns,
  journalPage
} from "./Archiver/columns.ts"
import { findOtherEpoch } from "./Archiver/epoch.ts"
import { warnIfGone } from "./Archiver/kept.ts"
import { tidyOutbox } from "./Archiver/outbox.ts"
import { ArchiveStore, type ArchiveStoreError, type StoredObject } from "./ArchiveStore.ts"
import { streamDigest } from "./download.ts"
import { fileDigest } from "./fileDigest.ts"
import { archiveFailures, parquetSeconds, uploadSeconds } from "./metrics.ts"
import { type ParquetError, ParquetWriter } from "./ParquetWriter.ts"

export { archiveColumns, arrowMetadata } from "./Archiver/columns.ts"

export interface ArchiverOptions {
  /** Names this collector in object keys. */
  readonly serverName: string
  /** Parquet files wait here until their objects are verified. */
  readonly outboxDirectory: string
  readonly interval: Duration.Duration
  /** Bounds an object's size. */
  readonly maxRowsPerArchive?: number
  /** The same, of the rows' data, bytes. */
  readonly maxBytesPerArchive?: number
  /** How many rows a new archive may have by the room on the disk; 0 if there is room for none. */
  readonly rowsThatFit?: Effect.Effect<number>
  /** When a request to the store is tried again within a cycle. */
  readonly retries?: Schedule.Schedule<unknown>
  /** How much of the archived journal stays in the database. */
  readonly journal?: JournalLimits
}

/**
 * Turns rows into verified objects: an archive is planned, written, uploaded, verified and purged, each step an event in
 * the journal, so that a cycle goes on where an earlier one, or an earlier process, failed or was killed. Rows are deleted
 * only after the store has confirmed the object's length and SHA-256, and only those that are in it. The journal goes the
 * same way, part by part; its entries stay in the database until they are old.
 */
export class Archiver extends Context.Tag("collector/Archiver")<
  Archiver,
  {
    /** One cycle: first what is pending, then the rows of every stream. Never fails: what failed is tried again next time. */
    readonly runCycle: Effect.Effect<CycleReport>
    /** A cycle now and every interval, for ever. */
    readonly run: Effect.Effect<never>
    /**
     * Looks every few seconds whether the store is there, where that costs nothing, and tells why not for as long as it is
     * down, as far as is known. Once it is back there is a cycle.
     */
    readonly watchStore: (tell: (reason: string) => Effect.Effect<void>) => Effect.Effect<never>
    readonly counts: Effect.Effect<ArchiverCounts>
    /** The archives that are under way, then the latest of those that are done. */
    readonly recent: Effect.Effect<ReadonlyArray<ArchiveView>>
  }
>() {
  static readonly layer = (options: ArchiverOptions) => Layer.scoped(this, make(options))
}

/** After 1, 2, 4 and 8 s: five attempts in all. */
export const uploadRetries = Schedule.exponential("1 second").pipe(
  Schedule.either(Schedule.spaced("30 seconds")),
  Schedule.intersect(Schedule.recurs(4))
)

const defaultMaxRowsPerArchive = 5_000_000

/** Of data before compression: S3 takes 5 GiB in one request. */
const maxBytesPerArchive = 4 * 1024 ** 3

const maxEntriesPerSegment = 100_000

/** For so long a cycle tries in vain what the store does not take, although it answers, before it goes on with other things. */
const patienceWithFailing = Duration.minutes(5)

/** So many archives of a stream may be under way, of which earlier ones keep failing, before newer rows wait for them. */
const maxPendingPerStream = 10

type Plan = ArchivePlan | JournalSegment

class StageFailed extends Data.TaggedError("StageFailed")<{
  readonly stage: "write" | "upload" | "verify" | "purge"
  readonly reason: string
  /** A request to the store failed. */
  readonly isOfStore: boolean
  /** The store has another object under the key, and no row of the archive is deleted. */
  readonly isBlocked?: boolean
}> {
  override get message() {
    return this.reason
  }
}

const make = (options: ArchiverOptions) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const sql = yield* SqlClient.SqlClient
    const repo = yield* SnapshotRepo
    const journal = yield* EventJournal
    const writer = yield* ParquetWriter
    const store = yield* ArchiveStore
    const retries = options.retries ?? uploadRetries
    const oneCycle = yield* Effect.makeSemaphore(1)
    const totals = yield* Ref.make({ archives: 0, rows: 0, bytes: 0 })
    const done = yield* Ref.make<ReadonlyArray<ArchiveView>>([])
    yield* Effect.all([Metric.value(parquetSeconds), Metric.value(uploadSeconds)])
    yield* Effect.forEach(stages, (stage) => Metric.value(failuresAt(stage)))

    const fold = Stream.runFold(journal.entries, emptyJournalState, applyEntry)
    const state = yield* Effect.flatMap(fold, Ref.make)
    /** How often each pending archive has failed in this process. */
    const failures = new Map<string, number>()
    const storeFailure = yield* Ref.make<string | null>(null)
    /** Whether a step ended in a way that leaves open what the journal says of it. */
    const isInDoubt = yield* Ref.make(false)
    const isEpochChecked = yield* Ref.make(false)
    const isStoreKnown = yield* Ref.make(false)

    const localPath = (plan: Plan) => path.join(options.outboxDirectory, `${plan.archiveId}.parquet`)

    const apply = (events: ReadonlyArray<JournalEvent>) =>
      Ref.update(state, (before) =>
        events.reduce((of, event) => applyEntry(of, { id: 0, at: 0, event }), before)
      )

    const record = (plan: Plan, ...events: ReadonlyArray<JournalEvent>) =>
      Effect.uninterruptible(
        Effect.zipRight(
          journal.appendOf("stream" in plan ? plan.stream : undefined, ...events),
          apply(events)
        )
      )

    const makeArchiveId = Effect.map(
      Clock.currentTimeMillis,
      (millis) => `${millis.toString(16).padStart(12, "0")}${randomBytes(6).toString("hex")}`
    )

    /** Fixes the rows of the next archive of a stream: those behind its archives that are under way. */
    const planRows = (stream: StreamId, through: number) =>
      Effect.gen(function* () {
        const underWay = Array.from(HashMap.values((yield* Ref.get(state)).pending)).filter(({ plan }) =>
          isOf(plan, stream)
        )
        const fits = yield* options.rowsThatFit ?? Effect.succeed(Number.MAX_SAFE_INTEGER)
        if (underWay.length >= maxPendingPerStream || fits === 0) return Option.none()
        const range = yield* repo.nextRange({
          stream,
          after: Math.max(0, ...underWay.map(({ plan }) => plan.lastId)),
          through,
          maxRows: Math.min(options.maxRowsPerArchive ?? defaultMaxRowsPerArchive, fits),
          maxBytes: options.maxBytesPerArchive ?? maxBytesPerArchive
        })
        if (Option.isNone(range)) return Option.none()
        const { date, firstId, firstTimestamp, lastId } = range.value
        const archiveId = yield* makeArchiveId
        const key = archiveKey({ stream, date, serverName: options.serverName, firstTimestamp, archiveId })
        const plan: ArchivePlan = { archiveId, stream, date, firstId, lastId, key }
        yield* record(plan, ArchivePlanned.make({ plan }))
        return Option.some(planned<Plan>(plan))
      })

    /** Fixes the entries of the next part of the journal, none of them above `through`. */
    const planSegment = (through: number) =>
      Effect.gen(function* () {
        const { plannedThrough } = yield* Ref.get(state)
        const range = yield* journal.nextSegment({
          after: plannedThrough,
          through,
          maxEntries: maxEntriesPerSegment
        })
        if (Option.isNone(range)) return Option.none()
        const archiveId = yield* makeArchiveId
        const { date, firstId, lastId } = range.value
        const key = segmentKey({
          date,
          serverName: options.serverName,
          journal: yield* journal.id,
          archiveId
        })
        const plan: JournalSegment = { archiveId, date, firstId, lastId, key }
        yield* record(plan, JournalSegmentPlanned.make({ plan }))
        return Option.some(planned<Plan>(plan))
      })

    const contentOf = (plan: Plan) =>
      "stream" in plan
        ? {
            columns: archiveColumns,
            pages: Stream.map(repo.rows(plan), (rows) => archivePage(plan.stream, rows))
          }
        : {
            columns: journalColumns,
            pages: Stream.map(journal.rows(plan.firstId - 1, plan.lastId), journalPage)
          }

    const journalMetadata = Effect.gen(function* () {
      const epoch = yield* journal.epoch
      return {
        journal: yield* journal.id,
        ...Option.match(epoch, {
          onNone: () => ({}),
          onSome: ({ after, previous }) => ({ epoch_of: previous, epoch_after: String(after) })
        })
      }
    })

    const write = (plan: Plan) =>
      Effect.gen(function* () {
        const file = yield* writer.write({
          path: localPath(plan),
          ...contentOf(plan),
          metadata: {
            collector_version: version,
            server: options.serverName,
            archive_id: plan.archiveId,
            first_id: String(plan.firstId),
            last_id: String(plan.lastId),
            ...("stream" in plan ? arrowMetadata : yield* journalMetadata)
          }
        })
        yield* record(plan, ArchiveWritten.make({ archiveId: plan.archiveId, file }))
        return file
      }).pipe(
        Metric.trackDurationWith(parquetSeconds, Duration.toSeconds),
        Effect.withSpan("archive.write"),
        Effect.mapError(failedAt("write"))
      )

    const head = (plan: Plan) =>
      store
        .head(plan.key)
        .pipe(Effect.retry({ schedule: retries, while: (error) => error.kind === "Failed" }))

    /**
     * The file that the store has under the archive's key, if it is one of these, which were all written for the archive:
     * an upload that nobody was told of has reached it.
     */
    const findStored = (plan: Plan, files: ReadonlyArray<ArchiveFile>) =>
      Effect.map(head(plan), (stored) =>
        Option.fromNullable(files.find((file) => doubtAbout(stored, file) === undefined))
      )

    /** Whether the file in the outbox is as it was written. */
    const isIntact = (plan: Plan, file: ArchiveFile) =>
      fileDigest(localPath(plan), () => "unreadable").pipe(
        Effect.map((found) => found.size === file.size && found.sha256 === file.sha256),
        Effect.orElseSucceed(() => false)
      )

    /**
     * Brings the archive's file into the store, and returns which one it is. A local file that is gone or damaged is
     * written again, from the same rows, unless the store has it after all, and as long as no row has been deleted.
     */
    const upload = (archive: PendingArchive) =>
      Effect.gen(function* () {
        const { plan, purged } = archive
        const written = Option.getOrUndefined(archive.file)
        if (written !== undefined && (yield* isIntact(plan, written))) return yield* put(archive, written)
        if (written !== undefined) {
          const stored = yield* Effect.mapError(findStored(plan, archive.files), failedAt("upload"))
          if (Option.isSome(stored)) return yield* uploaded(plan, stored.value, written)
        }
        if (purged === 0) return yield* put(archive, yield* write(plan))
        return yield* new StageFailed({
          stage: "write",
          reason: `${purged} of its rows are deleted, and neither the store nor the outbox has its file any more`,
          isOfStore: false
        })
      })

    /** Whether the store's object under the key is none of the files: by its content, whatever HEAD says of it. */
    const isForeign = (plan: Plan, files: ReadonlyArray<ArchiveFile>) =>
      Effect.map(streamDigest(store.get(plan.key)), (found) =>
        files.every(({ sha256, size }) => found.sha256 !== sha256 || found.size !== size)
      )

    const put = ({ files, plan, purged }: PendingArchive, file: ArchiveFile) =>
      store.put({ key: plan.key, path: localPath(plan), size: file.size, sha256: file.sha256 }).pipe(
        Effect.tapError((error) =>
          Effect.logWarning("an upload failed").pipe(
            Effect.annotateLogs({ key: plan.key, reason: error.reason })
          )
        ),
        Effect.retry({ schedule: retries, while: (error) => error.kind === "Failed" }),
        Effect.as(file),
        Effect.catchIf(
          (error) => error.kind !== "Failed",
          (error) =>
            Effect.gen(function* () {
              const ours = [...files, file]
              const stored = yield* findStored(plan, ours)
              if (Option.isSome(stored)) return stored.value
              const isBlocked = error.kind === "Conflict" && purged === 0 && (yield* isForeign(plan, ours))
              return yield* isBlocked
                ? new StageFailed({ stage: "upload", reason: error.reason, isOfStore: false, isBlocked })
                : error
            })
        ),
        Metric.trackDurationWith(uploadSeconds, Duration.toSeconds),
        Effect.withSpan("archive.upload"),
        Effect.mapError(failedAt("upload")),
        Effect.flatMap((stored) => uploaded(plan, stored, file))
      )

    /** The store has this file; `latest` is the one that was written last. */
    const uploaded = (plan: Plan, file: ArchiveFile, latest: ArchiveFile) =>
      record(
        plan,
        ...(file.sha256 === latest.sha256 ? [] : [ArchiveWritten.make({ archiveId: plan.archiveId, file })]),
        ArchiveUploaded.make({ archiveId: plan.archiveId })
      ).pipe(Effect.as(file), Effect.mapError(failedAt("upload")))

    const verify = (plan: Plan, file: ArchiveFile) =>
      Effect.gen(function* () {
        const doubt = doubtAbout(yield* Effect.mapError(head(plan), failedAt("verify")), file)
        if (doubt !== undefined) {
          return yield* new StageFailed({ stage: "verify", reason: doubt, isOfStore: false })
        }
        yield* Effect.mapError(
          record(plan, ArchiveVerified.make({ archiveId: plan.archiveId })),
          failedAt("verify")
        )
      }).pipe(Effect.withSpan("archive.verify"))

    /** Ends an archive: its rows leave the database, and its file the outbox. */
    const finish = ({ plan, purged }: PendingArchive, file: ArchiveFile) =>
      Effect.gen(function* () {
        if ("stream" in plan) {
          yield* Effect.mapError(repo.purge(plan, file.rows - purged), failedAt("purge"))
          yield* apply([ArchivePurged.make({ archiveId: plan.archiveId })])
          yield* Ref.update(totals, (sum) => ({
            archives: sum.archives + 1,
            rows: sum.rows + file.rows,
            bytes: sum.bytes + file.size
          }))
          const view = doneView(plan, file, yield* Clock.currentTimeMillis)
          yield* Ref.update(done, (before) => [view, ...before.slice(0, maxDoneShown - 1)])
        } else {
          yield* Effect.mapError(
            record(plan, JournalSegmentArchived.make({ archiveId: plan.archiveId })),
            failedAt("purge")
          )
        }
        yield* fs
          .remove(localPath(plan), { force: true })
          .pipe(
            Effect.catchAll((error) =>
              Effect.logWarning("an archived local file could not be removed").pipe(
                Effect.annotateLogs({ file: localPath(plan), reason: error.message })
              )
            )
          )
      }).pipe(Effect.withSpan("archive.purge"))

    /** Takes the steps that are left. What was verified by an earlier attempt is verified again before rows are deleted. */
    const complete = (archive: PendingArchive) =>
      Effect.gen(function* () {
        const { plan, step } = archive
        const file = yield* step === "uploaded" || step === "verified"
          ? Effect.orElse(archive.file, () => upload(archive))
          : upload(archive)
        yield* verify(plan, file)
        yield* finish(archive, file)
        yield* "stream" in plan
          ? Effect.logInfo("archived").pipe(
              Effect.annotateLogs({ key: plan.key, rows: file.rows, bytes: file.size })
            )
          : Effect.logDebug("journal kept").pipe(
              Effect.annotateLogs({ key: plan.key, entries: file.rows, bytes: file.size })
            )
        return file
      }).pipe(Effect.withSpan("archive", { attributes: { key: archive.plan.key, resumed: archive.step } }))

    const cycle = (
      archived: Array<CycleReport["archived"][number]>,
      failed: Array<CycleReport["failed"][number]>
    ) =>
      Effect.gen(function* () {
        if (yield* Ref.getAndSet(isInDoubt, false)) {
          yield* fold.pipe(
            Effect.flatMap((folded) => Ref.set(state, folded)),
            Effect.tapError(() => Ref.set(isInDoubt, true))
          )
        }
        const { pending } = yield* Ref.get(state)
        yield* tidyOutbox({
          directory: options.outboxDirectory,
          isPending: (archiveId) => HashMap.has(pending, archiveId),
          isDone
        })
        if (!(yield* Ref.get(isStoreKnown)))
          yield* Effect.flatMap(warnIfGone, (isKnown) => Ref.set(isStoreKnown, isKnown))

        /** Milliseconds for which archives were tried in vain since the last turn. */
        let wasted = 0

        /** Whether an archive could be completed. */
        const attempt = (archive: PendingArchive) =>
          Effect.gen(function* () {
            const { archiveId, key } = archive.plan
            const [took, result] = yield* Effect.timed(Effect.either(complete(archive)))
            if (Either.isRight(result)) {
              if (isOfRows(archive)) archived.push({ plan: archive.plan, file: result.right })
              failures.delete(archiveId)
              return true
            }
            const error = result.left
            failed.push({ what: key, reason: error.reason })
            wasted += Duration.toMillis(took)
            const before = failures.get(archiveId) ?? 0
            failures.set(archiveId, before + 1)
            if (error.isOfStore) yield* probe
            // Entries may be in two parts, as who reads the journal takes each once; rows may not be in two archives.
            const isGivenUp =
              !isOfRows(archive) &&
              before > 0 &&
              (error.stage === "upload" || error.stage === "verify") &&
              !(yield* storeIsDown)
            yield* error.isBlocked === true || isGivenUp
              ? abandon(archive.plan, error)
              : reportFailure(archive.plan, error)
            return false
          })

        /** Takes one after the other, as long as the store answers and there is patience. */
        const inTurn = <A>(
          items: ReadonlyArray<A>,
          take: (item: A) => Effect.Effect<unknown, DatabaseError>
        ) =>
          Effect.gen(function* () {
            wasted = 0
            for (const item of items) {
              if (!(yield* mayGoOn)) return
              yield* take(item)
            }
          })
        const mayGoOn = Effect.map(
          storeIsDown,
          (isDown) => !isDown && wasted < Duration.toMillis(patienceWithFailing)
        )
        const through = yield* repo.lastId
        const archiveRows = (stream: StreamId) =>
          Effect.gen(function* () {
            let more = true
            while (more && (yield* mayGoOn)) {
              const next = yield* planRows(stream, through)
              more = Option.isSome(next) && (yield* attempt(next.value))
            }
          })
        // What has failed before comes last, and of that what has failed least often comes first.
        const open = Array.from(HashMap.values(pending)).sort(byId)
        const [fresh, failing] = Array_.partition(open, ({ plan }) => failures.has(plan.archiveId))
        const wasDown = yield* storeIsDown
        if (failing.length > 0 || wasDown) yield* probe
        const reason = yield* Ref.get(storeFailure)
        if (reason !== null) {
          failed.push({ what: "the archive store", reason })
          if (wasDown) yield* sayThatStoreIsDown(reason)
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
        const isJournalPending = HashMap.some(
          (yield* Ref.get(state)).pending,
          (archive) => !isOfRows(archive)
        )
        if (!isJournalPending && !(yield* storeIsDown)) yield* archiveJournal(attempt)
      })

    const storeIsDown = Effect.map(Ref.get(storeFailure), (reason) => reason !== null)

    /** Asks the store for something that is not there, and notes whether it is down. */
    const probe = store.head(probeKey).pipe(
      Effect.zipRight(store.tryOut ?? Effect.void),
      Effect.matchEffect({
        onFailure: (error) => noteStore(error.reason),
        onSuccess: () => noteStore(null)
      })
    )

    const sayThatStoreIsDown = (reason: string) =>
      Effect.logError("the archive store is down: rows and files are kept until it is back").pipe(
        Effect.annotateLogs({ reason })
      )

    const noteStore = (reason: string | null) =>
      Effect.flatMap(Ref.getAndSet(storeFailure, reason), (before) => {
        if (reason !== null && before === null) return sayThatStoreIsDown(reason)
        return reason === null && before !== null ? Effect.logInfo("the archive store is back") : Effect.void
      })

    const watchStore: Archiver["Type"]["watchStore"] = (tell) =>
      Effect.gen(function* () {
        if (store.look !== undefined) {
          const wasDown = yield* storeIsDown
          yield* Effect.matchEffect(store.look, {
            onFailure: (error) => noteStore(error.reason),
            onSuccess: () =>
              wasDown ? Effect.zipRight(probe, Effect.unlessEffect(runCycle, storeIsDown)) : Effect.void
          })
        }
        const reason = yield* Ref.get(storeFailure)
        if (reason !== null) yield* tell(`the archive store is down: ${reason}`)
      }).pipe(
        Effect.annotateLogs({ module: "archive" }),
        Effect.repeat(Schedule.spaced("5 seconds")),
        Effect.zipRight(Effect.never)
      )

    /**
     * Has the journal begin anew if the database was restored from a copy: what it tells of now would have the ids of what
     * is archived already. Once in a process, since a database is not replaced under one.
     */
    const checkEpoch = Effect.gen(function* () {
      if (yield* Ref.get(isEpochChecked)) return
      const { plannedThrough } = yield* Ref.get(state)
      const after = yield* findOtherEpoch(plannedThrough)
      if (Option.isSome(after)) {
        yield* journal.beginEpoch(after.value)
        yield* Effect.flatMap(fold, (folded) => Ref.set(state, folded))
        yield* Effect.logError("the database was restored from a copy: its journal begins anew").pipe(
          Effect.annotateLogs({ after: after.value })
        )
      }
      yield* Ref.set(isEpochChecked, true)
    })

    const archiveJournal = (attempt: (archive: PendingArchive) => Effect.Effect<boolean>) =>
      Effect.gen(function* () {
        yield* checkEpoch
        const life = yield* lastLife
        yield* journalCounts
        const { plannedThrough } = yield* Ref.get(state)
        if (Option.isSome(yield* journal.nextSegment({ after: plannedThrough, maxEntries: 1 }))) {
          yield* journal.appendAll(Option.toArray(life))
        }
        // What comes meanwhile is for the next cycle: events may come faster than parts are written.
        const last = yield* journal.lastId
        let more = true
        while (more) {
          const next = yield* planSegment(last)
          more = Option.isSome(next) && (yield* attempt(next.value))
        }
        const reached = yield* Ref.get(state)
        const archived = archivedThrough(reached)
        const { isWorthIt, through } = yield* prunableThrough(archived, options.journal ?? journalLimits)
        // The parts that tell of what comes after it have greater ids: none that is older may be under way.
        const isDue = archived === reached.plannedThrough && (yield* isCheckpointDue(archived))
        if (isWorthIt || isDue) {
          const checkpoint = yield* advanceCheckpoint(archived)
          if (isDue) yield* archiveCheckpoint(checkpoint, { ...options, archiveId: yield* makeArchiveId })
        }
        // Which entries are needed only a whole fold knows: the state has not seen those of others.
        if (isWorthIt) yield* pruneJournal(through, neededIds(yield* fold))
      }).pipe(Effect.provideService(EventJournal, journal))

    /** Whether nothing will be asked of an archive's file any more. */
    const isDone = (archiveId: string) =>
      sql`
        SELECT 1 FROM journal
        WHERE tag IN ('ArchivePurged', 'ArchiveAbandoned', 'JournalSegmentArchived') AND payload LIKE ${`%${archiveId}%`} LIMIT 1`.pipe(
        Effect.map((rows) => rows.length > 0),
        Effect.orElseSucceed(() => false)
      )

    /** Frees the rows of an archive whose key is taken, or the entries of one that is not: they go into another one. */
    const abandon = (plan: Plan, { isBlocked, reason, stage }: StageFailed) =>
      (isBlocked === true
        ? Effect.logError("the store has another object under an archive's key: it is given up for a new one")
        : Effect.logError(
            "the store does not take a part of the journal under its key: it is given up for a new one"
          )
      ).pipe(
        Effect.annotateLogs({ key: plan.key, reason }),
        Effect.zipRight(Metric.increment(failuresAt(stage))),
        Effect.zipRight(
          journalled(plan, ArchiveAbandoned.make({ archiveId: plan.archiveId, key: plan.key, reason }))
        ),
        Effect.zipRight(Effect.sync(() => failures.delete(plan.archiveId)))
      )

    const reportFailure = (plan: Plan, { reason, stage }: StageFailed) =>
      Effect.logError("an archive failed, its rows and file are kept for the next cycle").pipe(
        Effect.annotateLogs({ stage, key: plan.key, reason }),
        Effect.zipRight(Ref.set(isInDoubt, true)),
        Effect.zipRight(Metric.increment(failuresAt(stage))),
        Effect.zipRight(journalled(plan, ArchiveFailed.make({ archiveId: plan.archiveId, stage, reason })))
      )

    const journalled = (plan: Plan, event: JournalEvent) =>
      record(plan, event).pipe(
        Effect.tapError(() => Ref.set(isInDoubt, true)),
        Effect.catchAll((cause) =>
          Effect.logWarning("the journal could not be written").pipe(
            Effect.annotateLogs({ reason: cause.message })
          )
        )
      )

    const runCycle = Effect.suspend(() => {
      const archived: Array<CycleReport["archived"][number]> = []
      const failed: Array<CycleReport["failed"][number]> = []
      return cycle(archived, failed).pipe(
        Effect.onError(() => Ref.set(isInDoubt, true)),
        Effect.catchAllCause((cause) => {
          const error = Cause.squash(cause)
          failed.push({ what: "the cycle", reason: error instanceof Error ? error.message : String(error) })
          return Effect.logError("an archive cycle failed, the next one tries again", cause)
        }),
        Effect.map((): CycleReport => ({ archived, failed }))
      )
    }).pipe(
      Effect.withSpan("archive.cycle", { root: true }),
      oneCycle.withPermits(1),
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.provideService(Path.Path, path),
      Effect.provideService(SqlClient.SqlClient, sql),
      Effect.provideService(ArchiveStore, store),
      Effect.annotateLogs({ module: "archive" })
    )

    return Archiver.of({
      runCycle,
      run: Effect.zipRight(Effect.repeat(runCycle, Schedule.fixed(options.interval)), Effect.never),
      watchStore,
      counts: Effect.gen(function* () {
        return {
          ...(yield* Ref.get(totals)),
          pending: HashMap.size(HashMap.filter((yield* Ref.get(state)).pending, isOfRows))
        }
      }),
      recent: Effect.gen(function* () {
        const { pending } = yield* Ref.get(state)
        const open = Array.from(HashMap.values(pending)).filter(isOfRows).sort(byId)
        return [...open.slice(0, maxPendingShown).map(pendingView), ...(yield* Ref.get(done))]
      })
    })
  })

const stages = ["write", "upload", "verify", "purge"] as const

const failuresAt = (stage: StageFailed["stage"]) => Metric.tagged(archiveFailures, "stage", stage)

const maxDoneShown = 20
const maxPendingShown = 50

const pendingView = ({ file, plan, step }: PendingArchive<ArchivePlan>): ArchiveView => ({
  key: plan.key,
  step,
  at: millisOfArchiveId(plan.archiveId) * 1000,
  rows: Option.getOrNull(Option.map(file, ({ rows }) => rows)),
  bytes: Option.getOrNull(Option.map(file, ({ size }) => size)),
  seconds: null
})

const doneView = (plan: ArchivePlan, file: ArchiveFile, millis: number): ArchiveView => ({
  key: plan.key,
  step: "purged",
  at: millis * 1000,
  rows: file.rows,
  bytes: file.size,
  seconds: (millis - millisOfArchiveId(plan.archiveId)) / 1000
})

const byId = Order.mapInput(Order.string, (archive: PendingArchive) => archive.plan.archiveId)

const isOf = (plan: Plan, { dataType, exchange, symbol }: StreamId): boolean =>
  "stream" in plan &&
  plan.stream.symbol === symbol &&
  plan.stream.dataType === dataType &&
  plan.stream.exchange === exchange

/** Those that failed least often first, the oldest of them first. */
const byFailures = (failures: ReadonlyMap<string, number>) =>
  Order.combine(
    Order.mapInput(Order.number, ({ plan }: PendingArchive) => failures.get(plan.archiveId) ?? 0),
    byId
  )

const failedAt =
  (stage: StageFailed["stage"]) =>
  (error: StageFailed | ParquetError | DatabaseError | ArchiveStoreError | RowsDiffer) =>
    error._tag === "StageFailed"
      ? error
      : new StageFailed({
          stage,
          reason: error.message,
          isOfStore: error._tag === "ArchiveStoreError" && error.kind !== "Conflict"
        })

/** Why what the store has may not be our file; undefined if it is. */
const doubtAbout = (stored: Option.Option<StoredObject>, file: ArchiveFile): string | undefined => {
  if (Option.isNone(stored)) return "the store does not have the object that it took"
  if (stored.value.size !== file.size) {
    return `the store's object has ${stored.value.size} bytes, the file ${file.size}`
  }
  const sha256 = Option.getOrUndefined(stored.value.sha256)
  if (sha256 !== file.sha256)
    return `the store's object has the SHA-256 ${sha256 ?? "unknown"}, the file ${file.sha256}`
  return undefined
}
