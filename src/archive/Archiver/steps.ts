import { FileSystem, Path } from "@effect/platform"
import { Duration, Effect, Metric, Option, type Schedule, Stream } from "effect"
import type { ArchiveFile } from "../../domain/Archive.ts"
import type { PendingArchive } from "../../domain/ArchiveState.ts"
import {
  ArchiveUploaded,
  ArchiveVerified,
  ArchiveWritten,
  JournalSegmentArchived
} from "../../domain/JournalEvent.ts"
import { EventJournal } from "../../storage/EventJournal.ts"
import { SnapshotRepo } from "../../storage/SnapshotRepo.ts"
import { version } from "../../version.ts"
import { ArchiveLedger, type Plan } from "../ArchiveLedger.ts"
import { ArchiveStore } from "../ArchiveStore.ts"
import { archiveColumns, archivePage, arrowMetadata, journalColumns, journalPage } from "../columns.ts"
import { fileDigest, sameDigest, streamDigest } from "../digest.ts"
import { parquetSeconds, uploadSeconds } from "../metrics.ts"
import { ParquetWriter } from "../ParquetWriter.ts"
import { doubtAbout, failedAt, StageFailed } from "./StageFailed.ts"

/** The steps of an archive: write, upload, verify, purge. */
export const makeSteps = (options: {
  readonly serverName: string
  /** Where Parquet files wait until their objects are verified. */
  readonly outboxDirectory: string
  /** When a request to the store is retried. */
  readonly retries: Schedule.Schedule<unknown>
}) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const repo = yield* SnapshotRepo
    const journal = yield* EventJournal
    const ledger = yield* ArchiveLedger
    const writer = yield* ParquetWriter
    const store = yield* ArchiveStore

    const localPath = (plan: Plan) => path.join(options.outboxDirectory, `${plan.archiveId}.parquet`)

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
        yield* ledger.record(plan, ArchiveWritten.make({ archiveId: plan.archiveId, file }))
        return file
      }).pipe(
        Metric.trackDurationWith(parquetSeconds, Duration.toSeconds),
        Effect.withSpan("archive.write"),
        Effect.mapError(failedAt("write"))
      )

    const head = (plan: Plan) =>
      store
        .head(plan.key)
        .pipe(Effect.retry({ schedule: options.retries, while: (error) => error.kind === "Failed" }))

    /**
     * Finds which of these files, all written for the archive, the store has under the archive's key: one whose upload
     * succeeded without being confirmed.
     */
    const findStored = (plan: Plan, files: ReadonlyArray<ArchiveFile>) =>
      Effect.map(head(plan), (stored) =>
        Option.fromNullable(files.find((file) => doubtAbout(stored, file) === undefined))
      )

    /** Whether the file in the outbox is unchanged since it was written. */
    const isIntact = (plan: Plan, file: ArchiveFile) =>
      fileDigest(localPath(plan), () => "unreadable").pipe(
        Effect.map((found) => sameDigest(found, file)),
        Effect.orElseSucceed(() => false)
      )

    /**
     * Brings the archive's file into the store and returns which one it is. A local file that is missing or damaged is
     * rewritten from the same rows, unless the store turns out to have it, and only while no row has been deleted.
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

    /** Whether the store's object under the key is none of these files, judged by its content, whatever HEAD says about it. */
    const isForeign = (plan: Plan, files: ReadonlyArray<ArchiveFile>) =>
      Effect.map(streamDigest(store.get(plan.key)), (found) =>
        files.every((file) => !sameDigest(found, file))
      )

    const put = ({ files, plan, purged }: PendingArchive, file: ArchiveFile) =>
      store.put({ key: plan.key, path: localPath(plan), size: file.size, sha256: file.sha256 }).pipe(
        Effect.tapError((error) =>
          Effect.logWarning("upload failed").pipe(
            Effect.annotateLogs({ key: plan.key, reason: error.reason })
          )
        ),
        Effect.retry({ schedule: options.retries, while: (error) => error.kind === "Failed" }),
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

    /** Records that the store has this file; `latest` is the one written last. */
    const uploaded = (plan: Plan, file: ArchiveFile, latest: ArchiveFile) =>
      ledger
        .record(
          plan,
          ...(file.sha256 === latest.sha256
            ? []
            : [ArchiveWritten.make({ archiveId: plan.archiveId, file })]),
          ArchiveUploaded.make({ archiveId: plan.archiveId })
        )
        .pipe(Effect.as(file), Effect.mapError(failedAt("upload")))

    const verify = (plan: Plan, file: ArchiveFile) =>
      Effect.gen(function* () {
        const doubt = doubtAbout(yield* Effect.mapError(head(plan), failedAt("verify")), file)
        if (doubt !== undefined) {
          return yield* new StageFailed({ stage: "verify", reason: doubt, isOfStore: false })
        }
        yield* Effect.mapError(
          ledger.record(plan, ArchiveVerified.make({ archiveId: plan.archiveId })),
          failedAt("verify")
        )
      }).pipe(Effect.withSpan("archive.verify"))

    /** Finishes an archive: removes its rows from the database and its file from the outbox. */
    const finish = ({ plan, purged }: PendingArchive, file: ArchiveFile) =>
      Effect.gen(function* () {
        if ("stream" in plan) {
          yield* Effect.mapError(ledger.purge(plan, file.rows - purged), failedAt("purge"))
        } else {
          yield* Effect.mapError(
            ledger.record(plan, JournalSegmentArchived.make({ archiveId: plan.archiveId })),
            failedAt("purge")
          )
        }
        yield* fs
          .remove(localPath(plan), { force: true })
          .pipe(
            Effect.catchAll((error) =>
              Effect.logWarning("could not remove an archived local file").pipe(
                Effect.annotateLogs({ file: localPath(plan), reason: error.message })
              )
            )
          )
      }).pipe(Effect.withSpan("archive.purge"))

    /** Takes the remaining steps. Anything verified by an earlier attempt is verified again before rows are deleted. */
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

    return { complete }
  })
