import { HashMap, Option } from "effect"
import type { ArchiveFile, ArchivePlan, JournalSegment } from "./Archive.ts"
import type { JournalEvent } from "./JournalEvent.ts"

/** An archive that was planned and still has rows in the database. */
export interface PendingArchive<Plan = ArchivePlan | JournalSegment> {
  readonly plan: Plan
  /** The last completed step. */
  readonly step: "planned" | "written" | "uploaded" | "verified"
  /** The Parquet file, once it has been written. */
  readonly file: Option.Option<ArchiveFile>
  /** All files that were ever written for it, the latest last: any of them can be what the store has. */
  readonly files: ReadonlyArray<ArchiveFile>
  /** How many of its rows have left the database. */
  readonly purged: number
}

/** The pending archives by archive id. */
export type PendingArchives = HashMap.HashMap<string, PendingArchive>

/** The state that archiving works from: a fold over the journal entries whose tags are in `archiveTags`. */
export interface ArchiveState {
  readonly pending: PendingArchives
  /** Journal entries up to this id belong to planned segments. */
  readonly plannedThrough: number
}

export const emptyArchiveState: ArchiveState = { pending: HashMap.empty(), plannedThrough: 0 }

/** An archive for which nothing has been done beyond its plan. */
export const planned = <Plan>(plan: Plan): PendingArchive<Plan> => ({
  plan,
  step: "planned",
  file: Option.none(),
  files: [],
  purged: 0
})

/** Whether an archive holds rows of a stream rather than a part of the journal. */
export const isOfRows = (archive: PendingArchive): archive is PendingArchive<ArchivePlan> =>
  "stream" in archive.plan

/** Tags of the events that change the state. */
export const archiveTags = [
  "ArchivePlanned",
  "JournalSegmentPlanned",
  "ArchiveWritten",
  "ArchiveUploaded",
  "ArchiveVerified",
  "ArchiveRowsPurged",
  "ArchivePurged",
  "ArchiveAbandoned",
  "ArchiveFailed",
  "JournalSegmentArchived",
  "JournalEpochBegan"
] as const satisfies ReadonlyArray<JournalEvent["_tag"]>

/** Returns the state after an event. Events of archives that are not pending change nothing. */
export const applyToArchives = (state: ArchiveState, event: JournalEvent): ArchiveState => ({
  pending: pendingAfter(state.pending, event),
  plannedThrough: plannedAfter(state, event)
})

/** Returns the id up to which entries are in verified objects. */
export const archivedThrough = (state: ArchiveState): number => {
  let through = state.plannedThrough
  for (const archive of HashMap.values(state.pending)) {
    if (!isOfRows(archive)) through = Math.min(through, archive.plan.firstId - 1)
  }
  return through
}

/** An abandoned part is always the latest one; its entries must be planned again. */
const plannedAfter = ({ pending, plannedThrough }: ArchiveState, event: JournalEvent): number => {
  switch (event._tag) {
    case "JournalSegmentPlanned":
      return Math.max(plannedThrough, event.plan.lastId)
    case "JournalEpochBegan":
      return event.after
    case "ArchiveAbandoned":
      return HashMap.get(pending, event.archiveId).pipe(
        Option.filter((archive) => !isOfRows(archive)),
        Option.match({
          onNone: () => plannedThrough,
          onSome: ({ plan }) => Math.min(plannedThrough, plan.firstId - 1)
        })
      )
    default:
      return plannedThrough
  }
}

const pendingAfter = (state: PendingArchives, event: JournalEvent): PendingArchives => {
  switch (event._tag) {
    case "ArchivePlanned":
    case "JournalSegmentPlanned":
      return HashMap.set(state, event.plan.archiveId, planned(event.plan))
    case "ArchiveWritten":
      return HashMap.modify(state, event.archiveId, (archive) => ({
        ...archive,
        step: "written",
        file: Option.some(event.file),
        files: [...archive.files.filter(({ sha256 }) => sha256 !== event.file.sha256), event.file]
      }))
    case "ArchiveUploaded":
      return HashMap.modify(state, event.archiveId, (archive) => ({ ...archive, step: "uploaded" }))
    case "ArchiveVerified":
      return HashMap.modify(state, event.archiveId, (archive) => ({ ...archive, step: "verified" }))
    case "ArchiveRowsPurged":
      return HashMap.modify(state, event.archiveId, (archive) => ({
        ...archive,
        purged: archive.purged + event.rows
      }))
    case "ArchivePurged":
    case "ArchiveAbandoned":
    case "JournalSegmentArchived":
      return HashMap.remove(state, event.archiveId)
    case "ArchiveFailed":
      return event.stage === "verify"
        ? HashMap.modify(state, event.archiveId, (archive) => ({ ...archive, step: "written" }))
        : state
    default:
      return state
  }
}
