import { SqlClient } from "@effect/sql"
import { Effect, Option, Schema } from "effect"
import { JournalSegmentPlanned } from "../../domain/JournalEvent.ts"
import { ArchiveStore } from "../ArchiveStore.ts"

/**
 * Warns if the store does not have the most recently archived part of the journal: it is a different store than before, or the
 * folder below the mount point of a disk that is not mounted. Archiving goes on there: objects may also have been moved
 * elsewhere on purpose, and new ones are kept where they are put now. Returns whether the store could be queried.
 */
export const warnIfGone: Effect.Effect<boolean, never, SqlClient.SqlClient | ArchiveStore> = Effect.gen(
  function* () {
    const sql = yield* SqlClient.SqlClient
    const store = yield* ArchiveStore
    const [latest] = yield* sql<{ payload: string }>`
      SELECT plan.payload FROM journal AS done CROSS JOIN journal AS plan
        ON plan.tag = 'JournalSegmentPlanned' AND plan.payload ->> '$.plan.archiveId' = done.payload ->> '$.archiveId'
      WHERE done.tag = 'JournalSegmentArchived' ORDER BY done.id DESC LIMIT 1`
    if (latest === undefined) return true
    const { plan } = yield* decode(latest.payload)
    if (Option.isNone(yield* store.head(plan.key))) {
      yield* Effect.logWarning(
        "last archived object not found: is the archive's disk mounted, is it the same folder or bucket?"
      ).pipe(Effect.annotateLogs({ key: plan.key }))
    }
    return true
  }
).pipe(Effect.orElseSucceed(() => false))

const decode = Schema.decode(Schema.parseJson(JournalSegmentPlanned))
