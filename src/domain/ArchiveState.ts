import { HashMap, Option } from "effect"
import type { ArchiveFile, ArchivePlan, JournalSegment } from "./Archive.ts"
import type { JournalEvent } from "./JournalEvent.ts"

/** An archive that was planned and whose rows have not all left the database. */
export interface PendingArchive<Plan = ArchivePlan | JournalSegment> {
  readonly plan: Plan
  /** The last step that is done. */
  readonly step: "planned" | "written" | "uploaded" | "verified"
  /** The Parquet file, once it was written. */
  readonly file: Option.Option<ArchiveFile>
  /** All files that were ever written for it, the latest last: one of them may be what the store has. */
  readonly files: ReadonlyArray<ArchiveFile>
  /** How many of its rows have left the database. */
  readonly purged: number
}

/** The pending archives by archive id. */
export type PendingArchives = HashMap.HashMap<string, PendingArchive>

/** What archiving goes by: a fold over those entries of the journal whose tags are `archiveTags`. */
export interface ArchiveState {
  readonly pending: PendingArchives
  /** Up to this id the journal's entries belong to planned segments. */
  readonly plannedThrough: number
}

export const emptyArchiveState: ArchiveState = { pending: HashMap.empty(), plannedThrough: 0 }

/** An archive of which nothing is done but its plan. */
export const planned = <Plan>(plan: Plan): PendingArchive<Plan> => ({
  plan,
  step: "planned",
  file: Option.none(),
  files: [],
  purged: 0
})

/** Whether an archive is of the rows of a stream, not of the journal. */
export const isOfRows = (archive: PendingArchive): archive is PendingArchive<ArchivePlan> =>
  "stream" in archive.plan

/** Tags of events that change the state. */
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

/** The state after an event. Events of archives that are not pending change nothing. */
export const applyToArchives = (state: ArchiveState, event: JournalEvent): ArchiveState => ({
  pending: pendingAfter(state.pending, event),
  plannedThrough: plannedAfter(state, event)
})

/** Up to this id the entries are in verified objects. */
export const archivedThrough = (state: ArchiveState): number => {
  let through = state.plannedThrough
  for (const archive of HashMap.values(state.pending)) {
    if (!isOfRows(archive)) through = Math.min(through, archive.plan.firstId - 1)
  }
  return through
}

/** The entries of a part that is given up, which is always the latest, are to be planned again. */
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
