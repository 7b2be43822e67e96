import { HashMap, Option } from "effect"
import type { ArchiveFile, ArchivePlan } from "./Archive.ts"
import type { JournalEvent } from "./JournalEvent.ts"

/** An archive that was planned and whose rows have not all left the database. */
export interface PendingArchive {
  readonly plan: ArchivePlan
  /** The last step that is done. */
  readonly step: "planned" | "written" | "uploaded" | "verified"
  /** The Parquet file, once it was written. */
  readonly file: Option.Option<ArchiveFile>
}

/** The pending archives by archive id: a fold over the journal. */
export type PendingArchives = HashMap.HashMap<string, PendingArchive>

export const noPendingArchives: PendingArchives = HashMap.empty()

/** The state after an event. Events of archives that are not pending change nothing. */
export const applyArchiveEvent = (state: PendingArchives, event: JournalEvent): PendingArchives => {
  switch (event._tag) {
    case "ArchivePlanned":
      return HashMap.set(state, event.plan.archiveId, {
        plan: event.plan,
        step: "planned",
        file: Option.none()
      })
    case "ArchiveWritten":
      return HashMap.modify(state, event.archiveId, (archive) => ({
        ...archive,
        step: "written",
        file: Option.some(event.file)
      }))
    case "ArchiveUploaded":
      return HashMap.modify(state, event.archiveId, (archive) => ({ ...archive, step: "uploaded" }))
    case "ArchiveVerified":
      return HashMap.modify(state, event.archiveId, (archive) => ({ ...archive, step: "verified" }))
    case "ArchivePurged":
      return HashMap.remove(state, event.archiveId)
    case "ArchiveFailed":
      return event.stage === "verify"
        ? HashMap.modify(state, event.archiveId, (archive) => ({ ...archive, step: "written" }))
        : state
    default:
      return state
  }
}
