import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, HashMap, Layer, Option, Stream } from "effect"
import { ArchiveLedger } from "../../src/archive/ArchiveLedger.ts"
import type { ArchivePlan } from "../../src/domain/Archive.ts"
import { ArchivePlanned, ArchiveUploaded, ArchiveWritten } from "../../src/domain/JournalEvent.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { queryPlansOf } from "../support/queryPlans.ts"
import { batchOf, book, range, snapshot } from "../support/snapshots.ts"
import { storage } from "../support/storage.ts"

const plan: ArchivePlan = {
  archiveId: "a",
  stream: book,
  date: "2026-01-01",
  firstId: 1,
  lastId: 12_000,
  key: "k"
}

const ledgerAndStorage = Layer.provideMerge(ArchiveLedger.layer, storage)

/** What another process would find. */
const foundAnew = Effect.provide(
  Effect.flatMap(ArchiveLedger, ({ state }) => state),
  Layer.fresh(ArchiveLedger.layer)
)

const begin = Effect.gen(function* () {
  const ledger = yield* ArchiveLedger
  const repo = yield* SnapshotRepo
  yield* repo.append(batchOf(range(0, 12_000).map((n) => snapshot(n))))
  yield* ledger.record(plan, ArchivePlanned.make({ plan }))
  const file = { rows: 12_000, size: 1, sha256: "0" }
  yield* ledger.record(plan, ArchiveWritten.make({ archiveId: "a", file }))
})

const pendingIn = ({ pending }: Effect.Effect.Success<ArchiveLedger["Type"]["state"]>) =>
  Array.from(HashMap.values(pending), ({ file, plan, purged, step }) => [
    plan.archiveId,
    step,
    purged,
    Option.isSome(file)
  ])

describe("the ledger of archives", () => {
  it.scoped("has the state that another process finds in the journal", () =>
    Effect.gen(function* () {
      const ledger = yield* ArchiveLedger
      yield* begin
      expect(pendingIn(yield* ledger.state)).toEqual([["a", "written", 0, true]])
      expect(pendingIn(yield* foundAnew)).toEqual([["a", "written", 0, true]])
      yield* ledger.purge(plan, 12_000)
      expect(pendingIn(yield* ledger.state)).toEqual([])
      expect(pendingIn(yield* foundAnew)).toEqual([])
      expect(yield* ledger.isDone("a")).toBe(true)
      expect(yield* ledger.isDone("b")).toBe(false)
    }).pipe(Effect.provide(ledgerAndStorage))
  )

  it.scoped("knows what was committed of a step that failed halfway", () =>
    Effect.gen(function* () {
      const ledger = yield* ArchiveLedger
      const sql = yield* SqlClient.SqlClient
      yield* begin
      yield* sql`
        CREATE TEMP TRIGGER stuck BEFORE INSERT ON main.journal
        WHEN NEW.tag = 'ArchiveRowsPurged' AND NEW.payload ->> 'throughId' > 5000
        BEGIN SELECT RAISE(ABORT, 'no room'); END`
      expect(Exit.isFailure(yield* Effect.exit(ledger.purge(plan, 12_000)))).toBe(true)
      expect(pendingIn(yield* ledger.state)).toEqual([["a", "written", 5000, true]])
      yield* sql`DROP TRIGGER stuck`
      yield* ledger.purge(plan, 7000)
      expect(pendingIn(yield* ledger.state)).toEqual([])
    }).pipe(Effect.provide(ledgerAndStorage))
  )

  it.scoped("treats nothing as done that was not journalled", () =>
    Effect.gen(function* () {
      const ledger = yield* ArchiveLedger
      const sql = yield* SqlClient.SqlClient
      yield* begin
      yield* sql`
        CREATE TEMP TRIGGER stuck BEFORE INSERT ON main.journal
        BEGIN SELECT RAISE(ABORT, 'no room'); END`
      const uploaded = ArchiveUploaded.make({ archiveId: "a" })
      expect(yield* Effect.flip(ledger.record(plan, uploaded))).toMatchObject({ _tag: "DatabaseError" })
      expect(pendingIn(yield* ledger.state)).toEqual([["a", "written", 0, true]])
    }).pipe(Effect.provide(ledgerAndStorage))
  )

  it.scoped("reads only entries of archives, through an index", () =>
    Effect.gen(function* () {
      yield* begin
      const sql = yield* SqlClient.SqlClient
      const journal = yield* EventJournal
      yield* sql`INSERT INTO journal (at, tag, payload) VALUES (1, 'GapDetected', 'no JSON')`
      expect(yield* Effect.flip(Stream.runDrain(journal.entries))).toMatchObject({ _tag: "DatabaseError" })
      expect(pendingIn(yield* foundAnew)).toEqual([["a", "written", 0, true]])
      expect(yield* queryPlansOf(foundAnew, /FROM journal/)).toEqual([
        [expect.stringContaining("USING INDEX journal_archives")]
      ])
    }).pipe(Effect.provide(ledgerAndStorage))
  )
})
