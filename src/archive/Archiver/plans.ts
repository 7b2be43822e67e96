import { randomBytes } from "node:crypto"
import { Clock, Effect, HashMap, Option } from "effect"
import { type ArchivePlan, archiveKey, type JournalSegment, segmentKey } from "../../domain/Archive.ts"
import { planned } from "../../domain/ArchiveState.ts"
import { ArchivePlanned, JournalSegmentPlanned } from "../../domain/JournalEvent.ts"
import type { StreamId } from "../../domain/StreamId.ts"
import { EventJournal } from "../../storage/EventJournal.ts"
import { SnapshotRepo } from "../../storage/SnapshotRepo.ts"
import { ArchiveLedger, type Plan } from "../ArchiveLedger.ts"

/** Limits of an archive, and the name it is stored under. */
export interface PlanOptions {
  /** Names this collector in object keys. */
  readonly serverName: string
  /** Limits an object's size. */
  readonly maxRowsPerArchive?: number
  /** Limits an object's size by the rows' data, bytes. */
  readonly maxBytesPerArchive?: number
  /** How many rows a new archive can have, given the free disk space; 0 if there is room for none. */
  readonly rowsThatFit?: Effect.Effect<number>
}

const defaultMaxRowsPerArchive = 5_000_000

/** Data before compression: S3 accepts 5 GiB in one request. */
const defaultMaxBytesPerArchive = 4 * 1024 ** 3

const maxEntriesPerSegment = 100_000

/** How many archives of a stream can be under way, earlier ones of them failing repeatedly, before newer rows wait for them. */
const maxPendingPerStream = 10

/** Makes a new archive id. Ids sort by time. */
export const makeArchiveId = Effect.map(
  Clock.currentTimeMillis,
  (millis) => `${millis.toString(16).padStart(12, "0")}${randomBytes(6).toString("hex")}`
)

/** Fixes the rows of the next archive of a stream: those after its archives under way, up to the id `through`. */
export const planRows = Effect.fn("archive.plan")(function* (
  options: PlanOptions,
  stream: StreamId,
  through: number
) {
  const ledger = yield* ArchiveLedger
  const repo = yield* SnapshotRepo
  const underWay = Array.from(HashMap.values((yield* ledger.state).pending)).filter(({ plan }) =>
    isOf(plan, stream)
  )
  const fits = yield* options.rowsThatFit ?? Effect.succeed(Number.MAX_SAFE_INTEGER)
  if (underWay.length >= maxPendingPerStream || fits === 0) return Option.none()
  const range = yield* repo.nextRange({
    stream,
    after: Math.max(0, ...underWay.map(({ plan }) => plan.lastId)),
    through,
    maxRows: Math.min(options.maxRowsPerArchive ?? defaultMaxRowsPerArchive, fits),
    maxBytes: options.maxBytesPerArchive ?? defaultMaxBytesPerArchive
  })
  if (Option.isNone(range)) return Option.none()
  const { date, firstId, firstTimestamp, lastId } = range.value
  const archiveId = yield* makeArchiveId
  const key = archiveKey({ stream, date, serverName: options.serverName, firstTimestamp, archiveId })
  const plan: ArchivePlan = { archiveId, stream, date, firstId, lastId, key }
  yield* ledger.record(plan, ArchivePlanned.make({ plan }))
  return Option.some(planned<Plan>(plan))
})

/** Fixes the entries of the next part of the journal, none of them above `through`. */
export const planSegment = Effect.fn("archive.plan")(function* (
  { serverName }: PlanOptions,
  through: number
) {
  const ledger = yield* ArchiveLedger
  const journal = yield* EventJournal
  const { plannedThrough } = yield* ledger.state
  const range = yield* journal.nextSegment({
    after: plannedThrough,
    through,
    maxEntries: maxEntriesPerSegment
  })
  if (Option.isNone(range)) return Option.none()
  const archiveId = yield* makeArchiveId
  const { date, firstId, lastId } = range.value
  const key = segmentKey({ date, serverName, journal: yield* journal.id, archiveId })
  const plan: JournalSegment = { archiveId, date, firstId, lastId, key }
  yield* ledger.record(plan, JournalSegmentPlanned.make({ plan }))
  return Option.some(planned<Plan>(plan))
})

const isOf = (plan: Plan, { dataType, exchange, symbol }: StreamId): boolean =>
  "stream" in plan &&
  plan.stream.symbol === symbol &&
  plan.stream.dataType === dataType &&
  plan.stream.exchange === exchange
