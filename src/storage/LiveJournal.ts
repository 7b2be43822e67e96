import * as Reactivity from "@effect/experimental/Reactivity"
import { FileSystem } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Option, type Scope, Stream } from "effect"
import type { Heard, JournalEntry } from "../domain/JournalEvent.ts"
import { DatabaseUnusable } from "../domain/StartupError.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { decodeEntry, readRows } from "./EventJournal.ts"
import { openCounts } from "./MessageCounts.ts"
import { heardIn } from "./ProcessLife.ts"

/** The journal of a database that another process may be writing: read, and not changed. */
export interface LiveJournal {
  /** Names the journal. */
  readonly id: string
  /** The entries above an id, in order; then what is counted and not in the journal yet, as entries with the id 0. */
  readonly entriesAfter: (after: number) => Stream.Stream<JournalEntry, DatabaseError>
  /** Up to here, microseconds, the process that uses the database has committed what it received; 0 if there is none. */
  readonly lastSeen: number
  /** When it had last heard each of its connections by then; none if a process of an older version uses it, or none does. */
  readonly heard: Heard | undefined
}

/** Opens it for the scope, as it is at this moment. None if there is no such file, or nothing is in it. */
export const openLiveJournal = (
  path: string
): Effect.Effect<Option.Option<LiveJournal>, DatabaseUnusable, Scope.Scope | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    if (!(yield* fs.exists(path)) || (yield* fs.stat(path)).size === FileSystem.Size(0)) return Option.none()
    const sql = yield* SqliteClient.make({ filename: path, readonly: true, disableWAL: true })
    // All that is read is as of one moment: what a commit moves from the counts into the journal is seen once.
    yield* Effect.acquireRelease(sql.unsafe("BEGIN"), () => Effect.ignore(sql.unsafe("ROLLBACK")))
    const tables = yield* sql`SELECT 1 FROM sqlite_master WHERE name = 'collector'`
    if (tables.length === 0) return Option.none()
    // Of any version: an older one has fewer columns.
    const [collector] = yield* sql<{
      journal: string
      process: string | null
      last_seen: number | null
      heard?: string | null
    }>`SELECT * FROM collector`
    if (collector === undefined) return Option.none()
    const noted: { readonly heard?: Heard } = yield* heardIn({ heard: collector.heard ?? null })
    const counted = Stream.unwrap(
      Effect.map(openCounts, (counts) =>
        Stream.fromIterable(counts.map((event): JournalEntry => ({ id: 0, at: event.first, event })))
      )
    ).pipe(Stream.provideService(SqlClient.SqlClient, sql))
    return Option.some<LiveJournal>({
      id: collector.journal,
      entriesAfter: (after) =>
        readRows(sql, after, Number.MAX_SAFE_INTEGER).pipe(
          Stream.flattenIterables,
          Stream.mapEffect(decodeEntry),
          Stream.concat(counted)
        ),
      lastSeen: collector.process === null ? 0 : (collector.last_seen ?? 0),
      heard: collector.process === null ? undefined : noted.heard
    })
  }).pipe(
    Effect.provide(Reactivity.layer),
    Effect.catchAllDefect((cause) => Effect.fail(new DatabaseError({ cause }))),
    Effect.mapError(
      (cause) =>
        new DatabaseUnusable({ path, reason: `cannot be read: ${DatabaseError.from(cause).message}` })
    )
  )
