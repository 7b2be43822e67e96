import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, HashMap } from "effect"
import type { JournalEvent } from "../../src/domain/JournalEvent.ts"
import { streamKey } from "../../src/domain/StreamId.ts"
import { advanceCheckpoint } from "../../src/storage/Checkpoint.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { pruneJournal } from "../../src/storage/JournalUpkeep.ts"
import { book, newYear } from "../support/snapshots.ts"
import { storage } from "../support/storage.ts"

const heard: JournalEvent = { _tag: "StreamHeard", at: newYear + 5, stream: book, after: null }

/** A connection that stays open, with much told before and after. */
const begin: ReadonlyArray<JournalEvent> = [
  { _tag: "ProcessStarted", at: newYear, process: "p", server: "s", version: "1", previous: null },
  { _tag: "RecordingStarted", at: newYear + 1, streams: [book] },
  heard,
  { _tag: "StreamConnected", at: newYear + 9, stream: book, connection: "c" },
  heard,
  heard
]

describe("the checkpoint in the database", () => {
  it.effect("is built from what is left, where an older version of the collector pruned the journal", () =>
    Effect.gen(function* () {
      const journal = yield* EventJournal
      yield* journal.appendAll(begin)
      yield* pruneJournal(6, new Set([1, 2, 4]))
      yield* journal.appendAll([{ ...heard, at: newYear + 100 }])
      const { checkpoint } = yield* advanceCheckpoint(yield* journal.lastId)
      const coverage = HashMap.unsafeGet(checkpoint.coverage.streams, streamKey(book))
      expect(Array.from(coverage.open)).toEqual([["c", newYear + 9]])
    }).pipe(Effect.provide(storage))
  )

  it.effect("is rebuilt if it cannot be read", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const journal = yield* EventJournal
      yield* journal.appendAll(begin)
      const { checkpoint } = yield* advanceCheckpoint(6)
      yield* sql`UPDATE checkpoint SET state = json_set(state, '$.version', 0)`
      expect((yield* advanceCheckpoint(6)).checkpoint).toEqual(checkpoint)
      yield* sql`UPDATE checkpoint SET state = 'x'`
      expect((yield* advanceCheckpoint(6)).checkpoint).toEqual(checkpoint)
    }).pipe(Effect.provide(storage))
  )
})
