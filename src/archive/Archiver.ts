import { createHash, randomBytes } from "node:crypto"
import { FileSystem, Path } from "@effect/platform"
import {
  Clock,
  Context,
  Data,
  type Duration,
  Effect,
  HashMap,
  Layer,
  Option,
  Order,
  Ref,
  Schedule,
  Stream
} from "effect"
import { type ArchiveFile, type ArchivePlan, archiveKey } from "../domain/Archive.ts"
import {
  ArchiveFailed,
  ArchivePlanned,
  ArchiveUploaded,
  ArchiveVerified,
  ArchiveWritten,
  type JournalEvent
} from "../domain/JournalEvent.ts"
import { applyArchiveEvent, noPendingArchives, type PendingArchive } from "../domain/PendingArchives.ts"
import type { ArchiverCounts, CycleReport } from "../domain/StorageReport.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import type { DatabaseError } from "../storage/DatabaseError.ts"
import { EventJournal } from "../storage/EventJournal.ts"
import { type ArchiveRow, SnapshotRepo } from "../storage/SnapshotRepo.ts"
import { version } from "../version.ts"
import { ArchiveStore, type ArchiveStoreError } from "./ArchiveStore.ts"
import { type ParquetColumn, type ParquetError, type ParquetPage, ParquetWriter } from "./ParquetWriter.ts"

export interface ArchiverOptions {
  /** Names this collector in object keys. */
  readonly serverName: string
  /** Parquet files wait here until their objects are verified. */
  readonly outboxDirectory: string
  readonly interval: Duration.Duration
  /** Bounds an object's size. */
  readonly maxRowsPerArchive?: number
}

/**
 * Turns rows into verified objects: an archive is planned, written, uploaded, verified and purged, each step an event in
 * the journal, so that a cycle goes on where an earlier one, or an earlier process, failed or was killed. Rows are deleted
 * only after the store has confirmed the object's length and SHA-256, and only those that are in it.
 */
export class Archiver extends Context.Tag("collector/Archiver")<
  Archiver,
  {
    /** One cycle: first what is pending, then the rows of every stream. Never fails: what failed is tried again next time. */
    readonly runCycle: Effect.Effect<CycleReport>
    /** A cycle now and every interval, for ever. */
    readonly run: Effect.Effect<never>
    readonly counts: Effect.Effect<ArchiverCounts>
  }
>() {
  static readonly layer = (options: ArchiverOptions) => Layer.scoped(this, make(options))
}

/** After 1, 2, 4 and 8 s: five attempts in all. */
export const uploadRetries = Schedule.exponential("1 second").pipe(
  Schedule.either(Schedule.spaced("30 seconds")),
  Schedule.intersect(Schedule.recurs(4))
)

/** The columns of an archive, in order. */
export const archiveColumns: ReadonlyArray<ParquetColumn> = [
  { name: "exchange", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "symbol", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "data_type", type: "string", nullable: false, dictionary: true, statistics: true },
  { name: "exchange_sequence_id", type: "string", nullable: false, dictionary: false, statistics: true },
  { name: "timestamp", type: "timestamp", nullable: false, dictionary: false, statistics: true },
  { name: "exchange_timestamp", type: "timestamp", nullable: true, dictionary: false, statistics: true },
  { name: "data", type: "string", nullable: false, dictionary: false, statistics: false }
]

const defaultMaxRowsPerArchive = 5_000_000

/** So many archives in a row that the store did not take mean that it is down: the cycle ends, the next one tries again. */
const maxConsecutiveStoreFailures = 2

class StageFailed extends Data.TaggedError("StageFailed")<{
  readonly stage: "write" | "upload" | "verify" | "purge"
  readonly reason: string
  readonly storeDown: boolean
}> {
  override get message() {
    return this.reason
  }
}

const make = (options: ArchiverOptions) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const repo = yield* SnapshotRepo
    const journal = yield* EventJournal
    const writer = yield* ParquetWriter
    const store = yield* ArchiveStore
    const oneCycle = yield* Effect.makeSemaphore(1)
    const totals = yield* Ref.make({ archives: 0, rows: 0, bytes: 0 })
    const pending = yield* Effect.flatMap(
      Stream.runFold(journal.entries, noPendingArchives, (state, entry) =>
        applyArchiveEvent(state, entry.event)
      ),
      Ref.make
    )

    const localPath = (plan: ArchivePlan) => path.join(options.outboxDirectory, `${plan.archiveId}.parquet`)

    const record = (event: JournalEvent) =>
      Effect.zipRight(
        journal.append(event),
        Ref.update(pending, (state) => applyArchiveEvent(state, event))
      )

    const plan = (stream: StreamId, through: number) =>
      Effect.gen(function* () {
        const range = yield* repo.nextRange({
          stream,
          after: 0,
          through,
          maxRows: options.maxRowsPerArchive ?? defaultMaxRowsPerArchive
        })
        if (Option.isNone(range)) return Option.none()
        const { date, firstId, firstTimestamp, lastId } = range.value
        const archiveId = makeArchiveId(yield* Clock.currentTimeMillis)
        const key = archiveKey({ stream, date, serverName: options.serverName, firstTimestamp, archiveId })
        const planned: ArchivePlan = { archiveId, stream, date, firstId, lastId, key }
        yield* record(ArchivePlanned.make({ plan: planned }))
        return Option.some<PendingArchive>({ plan: planned, step: "planned", file: Option.none() })
      })

    const write = (plan: ArchivePlan) =>
      Effect.gen(function* () {
        const file = yield* writer.write({
          path: localPath(plan),
          columns: archiveColumns,
          metadata: {
            collector_version: version,
            server: options.serverName,
            archive_id: plan.archiveId,
            first_id: String(plan.firstId),
            last_id: String(plan.lastId)
          },
          pages: Stream.map(repo.rows(plan), (rows) => pageOf(plan.stream, rows))
        })
        yield* record(ArchiveWritten.make({ archiveId: plan.archiveId, file }))
        return file
      }).pipe(Effect.mapError(failedAt("write")))

    /** The local file as it was written; written again, from the same rows, if it is gone or damaged. */
    const ensureWritten = (plan: ArchivePlan, file: ArchiveFile) =>
      Effect.sync(() => createHash("sha256")).pipe(
        Effect.tap((hash) =>
          Stream.runForEach(fs.stream(localPath(plan)), (bytes) => Effect.sync(() => hash.update(bytes)))
        ),
        Effect.map((hash) => hash.digest("hex") === file.sha256),
        Effect.orElseSucceed(() => false),
        Effect.flatMap((intact) => (intact ? Effect.succeed(file) : write(plan)))
      )

    const upload = (plan: ArchivePlan, file: ArchiveFile) =>
      store.put({ key: plan.key, path: localPath(plan), size: file.size, sha256: file.sha256 }).pipe(
        Effect.tapError((error) =>
          Effect.logWarning("an upload failed").pipe(
            Effect.annotateLogs({ key: plan.key, reason: error.reason })
          )
        ),
        Effect.retry({ schedule: uploadRetries, while: (error) => error.kind === "Failed" }),
        Effect.zipRight(record(ArchiveUploaded.make({ archiveId: plan.archiveId }))),
        Effect.mapError(failedAt("upload"))
      )

    const verify = (plan: ArchivePlan, file: ArchiveFile) =>
      Effect.gen(function* () {
        const stored = yield* store
          .head(plan.key)
          .pipe(
            Effect.retry({ schedule: uploadRetries, while: (error) => error.kind === "Failed" }),
            Effect.mapError(failedAt("verify"))
          )
        const doubt = doubtAbout(stored, file)
        if (doubt !== undefined) {
          return yield* new StageFailed({ stage: "verify", reason: doubt, storeDown: false })
        }
        yield* Effect.mapError(
          record(ArchiveVerified.make({ archiveId: plan.archiveId })),
          failedAt("verify")
        )
      })

    const purge = (plan: ArchivePlan, file: ArchiveFile) =>
      Effect.gen(function* () {
        yield* Effect.mapError(repo.purge(plan), failedAt("purge"))
        yield* Ref.update(pending, HashMap.remove(plan.archiveId))
        yield* Ref.update(totals, (sum) => ({
          archives: sum.archives + 1,
          rows: sum.rows + file.rows,
          bytes: sum.bytes + file.size
        }))
        yield* fs
          .remove(localPath(plan))
          .pipe(
            Effect.catchAll((error) =>
              Effect.logWarning("an archived local file could not be removed").pipe(
                Effect.annotateLogs({ file: localPath(plan), reason: error.message })
              )
            )
          )
      })

    /** Takes the steps that are left. */
    const complete = (archive: PendingArchive) =>
      Effect.gen(function* () {
        const { plan, step } = archive
        const file = yield* Option.match(archive.file, {
          onNone: () => write(plan),
          onSome: (file) => (step === "written" ? ensureWritten(plan, file) : Effect.succeed(file))
        })
        if (step === "planned" || step === "written") yield* upload(plan, file)
        if (step !== "verified") yield* verify(plan, file)
        yield* purge(plan, file)
        yield* Effect.logInfo("archived").pipe(
          Effect.annotateLogs({ key: plan.key, rows: file.rows, bytes: file.size })
        )
        return file
      })

    const cycle = Effect.gen(function* () {
      const archived: Array<CycleReport["archived"][number]> = []
      const failed: Array<CycleReport["failed"][number]> = []
      let storeFailures = 0

      const attempt = (archive: PendingArchive) =>
        complete(archive).pipe(
          Effect.map((file) => {
            archived.push({ plan: archive.plan, file })
            storeFailures = 0
            return true
          }),
          Effect.catchAll((error) => {
            failed.push({ plan: archive.plan, reason: error.reason })
            storeFailures = error.storeDown ? storeFailures + 1 : 0
            return Effect.as(reportFailure(archive.plan, error), false)
          })
        )

      const byId = Order.mapInput(Order.string, (archive: PendingArchive) => archive.plan.archiveId)
      const open = Array.from(HashMap.values(yield* Ref.get(pending))).sort(byId)
      const blocked = new Set<string>()
      for (const archive of open) {
        if (storeFailures >= maxConsecutiveStoreFailures) break
        if (!(yield* attempt(archive))) blocked.add(streamKey(archive.plan.stream))
      }

      const through = yield* repo.lastId
      for (const stream of yield* repo.streams) {
        let more = !blocked.has(streamKey(stream))
        while (more && storeFailures < maxConsecutiveStoreFailures) {
          const next = yield* plan(stream, through)
          more = Option.isSome(next) && (yield* attempt(next.value))
        }
      }
      return { archived, failed }
    })

    const reportFailure = (plan: ArchivePlan, error: StageFailed) =>
      Effect.logError("an archive failed, its rows and file are kept for the next cycle").pipe(
        Effect.annotateLogs({ stage: error.stage, key: plan.key, reason: error.reason }),
        Effect.zipRight(
          record(ArchiveFailed.make({ archiveId: plan.archiveId, stage: error.stage, reason: error.reason }))
        ),
        Effect.catchAll((cause) =>
          Effect.logWarning("the journal could not be written").pipe(
            Effect.annotateLogs({ reason: cause.message })
          )
        )
      )

    const runCycle = cycle.pipe(
      Effect.catchAllCause((cause) =>
        Effect.as(Effect.logError("an archive cycle failed, the next one tries again", cause), {
          archived: [],
          failed: []
        })
      ),
      oneCycle.withPermits(1),
      Effect.annotateLogs({ module: "archive" })
    )

    return Archiver.of({
      runCycle,
      run: Effect.zipRight(Effect.repeat(runCycle, Schedule.fixed(options.interval)), Effect.never),
      counts: Effect.gen(function* () {
        return { ...(yield* Ref.get(totals)), pending: HashMap.size(yield* Ref.get(pending)) }
      })
    })
  })

const failedAt = (stage: StageFailed["stage"]) => (error: ParquetError | DatabaseError | ArchiveStoreError) =>
  new StageFailed({
    stage,
    reason: error.message,
    storeDown: error._tag === "ArchiveStoreError" && error.kind === "Failed"
  })

/** Why what the store has may not be our file; undefined if it is. */
const doubtAbout = (
  stored: Option.Option<{ readonly size: number; readonly sha256: Option.Option<string> }>,
  file: ArchiveFile
): string | undefined => {
  if (Option.isNone(stored)) return "the store does not have the object that it took"
  if (stored.value.size !== file.size) {
    return `the store's object has ${stored.value.size} bytes, the file ${file.size}`
  }
  const sha256 = Option.getOrUndefined(stored.value.sha256)
  if (sha256 !== file.sha256)
    return `the store's object has the SHA-256 ${sha256 ?? "unknown"}, the file ${file.sha256}`
  return undefined
}

/** Sorts by time, and is never made twice. */
const makeArchiveId = (millis: number): string =>
  `${millis.toString(16).padStart(12, "0")}${randomBytes(6).toString("hex")}`

const pageOf = (stream: StreamId, rows: ReadonlyArray<ArchiveRow>): ParquetPage => ({
  length: rows.length,
  columns: [
    rows.map(() => stream.exchange),
    rows.map(() => stream.symbol),
    rows.map(() => stream.dataType),
    rows.map((row) => row.exchangeSequenceId),
    rows.map((row) => row.timestamp),
    rows.map((row) => row.exchangeTimestamp),
    rows.map((row) => row.data)
  ]
})
