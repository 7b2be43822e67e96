import * as NodeContext from "@effect/platform-node/NodeContext"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, FastCheck, Layer, Option, TestClock } from "effect"
import type { StreamId } from "../../src/domain/StreamId.ts"
import * as Database from "../../src/storage/Database.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { queryPlansOf } from "../support/queryPlans.ts"
import { batchOf, book, range, snapshot, trade, unnoted } from "../support/snapshots.ts"
import { temporaryFolder } from "../support/storage.ts"

const limits = { messages: 100, millis: 86_400_000, messagesPerGeneration: 10 }

const storage = Layer.unwrapScoped(
  Effect.map(temporaryFolder, (folder) =>
    SnapshotRepo.layerWith(limits).pipe(
      Layer.provideMerge(EventJournal.layer),
      Layer.provideMerge(Database.layer(`${folder}/collector.db`))
    )
  )
).pipe(Layer.provideMerge(NodeContext.layer))

/** Messages that say no more than their ids, and what else is given. */
const append = (stream: StreamId, ids: ReadonlyArray<string>, more = "") =>
  Effect.flatMap(SnapshotRepo, (repo) =>
    repo.append(
      batchOf(
        ids.map((id, n) =>
          snapshot(n, stream, { exchangeSequenceId: id, data: Buffer.from(JSON.stringify([id, more])) })
        )
      )
    )
  )

/** Purges all rows of a stream, as if they were archived. */
const archive = (stream: StreamId) =>
  Effect.gen(function* () {
    const repo = yield* SnapshotRepo
    const through = yield* repo.lastId
    const found = yield* repo.nextRange({ stream, after: 0, through, maxRows: 1_000_000 })
    if (Option.isNone(found)) return
    const plan = { archiveId: "a", stream, key: "k", ...found.value }
    const sql = yield* SqlClient.SqlClient
    const [count] = yield* sql<{ n: number }>`
      SELECT count(*) AS n FROM snapshots WHERE exchange = ${stream.exchange}
        AND symbol = ${stream.symbol} AND data_type = ${stream.dataType}`
    yield* repo.purge(plan, count?.n ?? 0, unnoted)
    yield* repo.forget
  })

const remembered = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(sql<{ n: number }>`SELECT count(*) AS n FROM archived_ids`, (rows) => rows[0]?.n ?? 0)
)

describe("a message that arrives again after its first copy was archived", () => {
  it.scoped("is a duplicate, whatever its id looks like, and only on its own stream", () =>
    Effect.gen(function* () {
      const ids = [
        "1",
        "2",
        "10",
        "-7",
        "0",
        "007",
        "1e3",
        "a",
        "",
        "9007199254740993",
        "1".repeat(30),
        "ü'",
        "1.0"
      ]
      yield* append(book, ids)
      yield* archive(book)
      expect(yield* append(book, ids)).toMatchObject({ inserted: 0, duplicates: ids.length })
      expect(yield* append(trade, ids)).toMatchObject({ inserted: ids.length, duplicates: 0 })
      const others = ["3", "11", "9007199254740992", "9007199254740994", "7", "1000", "b", " 1", "+1", "-0"]
      expect(yield* append(book, [...ids, ...others])).toMatchObject({ inserted: others.length })
    }).pipe(Effect.provide(storage))
  )

  it.scoped("is recognized exactly as by a set, whatever arrives and whenever it is archived", () =>
    Effect.gen(function* () {
      const id = FastCheck.oneof(
        FastCheck.integer({ min: -5, max: 60 }).map(String),
        FastCheck.constantFrom("x", "y", "01", "1.5", "999999999999999999", "9999999999999999999")
      )
      const runs = FastCheck.sample(
        FastCheck.array(FastCheck.array(id, { maxLength: 8 }), { maxLength: 10 }),
        {
          numRuns: 15,
          seed: 7
        }
      )
      for (const [n, batches] of runs.entries()) {
        const stream = { ...book, symbol: `s${n}` }
        const seen = new Set<string>()
        for (const batch of batches) {
          const fresh = new Set(batch.filter((each) => !seen.has(each)))
          expect((yield* append(stream, batch)).inserted).toBe(fresh.size)
          for (const each of batch) seen.add(each)
          yield* archive(stream)
        }
      }
    }).pipe(Effect.provide(storage))
  )

  it.scoped("is recognized at least among the last messages of its stream, in bounded space", () =>
    Effect.gen(function* () {
      for (const from of range(0, 40)) {
        yield* append(book, range(from * 10, from * 10 + 10).map(String))
        yield* archive(book)
      }
      expect(yield* remembered).toBeLessThanOrEqual(limits.messages + 2 * limits.messagesPerGeneration)
      expect(yield* append(book, range(300, 400).map(String))).toMatchObject({ inserted: 0 })
      yield* append(trade, range(0, 30).map(String))
      yield* archive(trade)
      yield* TestClock.adjust("25 hours")
      // also of a stream that is recorded no more
      yield* Effect.flatMap(SnapshotRepo, (repo) => repo.forget)
      expect(yield* remembered).toBe(0)
      expect(yield* append(trade, ["1000"])).toMatchObject({ inserted: 1 })
      yield* archive(trade)
      expect(yield* append(trade, ["29"])).toMatchObject({ inserted: 1 })
    }).pipe(Effect.provide(storage))
  )

  it.scoped("is recognized however far the wall clock is set", () =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const dayLater: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + 86_400_001,
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + 86_400_001),
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
        currentTimeNanos: clock.currentTimeNanos,
        sleep: (duration) => clock.sleep(duration)
      }
      yield* append(book, ["1", "2"])
      yield* archive(book)
      const repo = yield* SnapshotRepo
      yield* Effect.withClock(repo.forget, dayLater)
      expect(yield* append(book, ["1", "2"])).toMatchObject({ inserted: 0, duplicates: 2 })
      // A generation that was begun while the clock was wrong is not kept for longer, either.
      yield* append(book, ["3"])
      yield* Effect.withClock(archive(book), dayLater)
      yield* TestClock.adjust("25 hours")
      yield* repo.forget
      expect(yield* remembered).toBe(0)
    }).pipe(Effect.provide(storage))
  )

  it.scoped(
    "is a different one if its content differs, and is kept and recognized under an id of its own",
    () =>
      Effect.gen(function* () {
        const ids = ["1", "2", "x", "2-4"]
        yield* append(book, ids)
        yield* archive(book)
        expect(yield* append(book, ["1", ...ids], "other")).toMatchObject({ inserted: 4, duplicates: 1 })
        const sql = yield* SqlClient.SqlClient
        const stored = yield* sql<{
          id: string
        }>`SELECT exchange_sequence_id AS id FROM snapshots ORDER BY snapshots.id`
        expect(stored.map(({ id }) => id.replace(/~[0-9a-f]{8}$/, "~"))).toEqual(ids.map((id) => `${id}~`))
        // while it waits, and after it was archived
        expect(yield* append(book, ids, "other")).toMatchObject({ inserted: 0, duplicates: 4 })
        yield* archive(book)
        expect(yield* append(book, ids, "other")).toMatchObject({ inserted: 0, duplicates: 4 })
        expect(yield* append(book, ids)).toMatchObject({ inserted: 0, duplicates: 4 })
        expect(yield* append(book, ids, "a third")).toMatchObject({ inserted: 4 })
      }).pipe(Effect.provide(storage))
  )

  it.scoped("is recognized by its id alone if an older version archived it, without a hash", () =>
    Effect.gen(function* () {
      yield* append(book, ["1", "2"])
      yield* archive(book)
      yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql`UPDATE archived_ids SET hash = NULL WHERE id = 1`
      )
      expect(yield* append(book, ["1", "2"], "other")).toMatchObject({ inserted: 1, duplicates: 1 })
    }).pipe(Effect.provide(storage))
  )

  it.scoped("is forgotten a little at a time, from one place in the table to the next", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        WITH RECURSIVE numbers (n) AS (SELECT -20000 UNION ALL SELECT n + 1 FROM numbers WHERE n < 30000)
        INSERT INTO archived_ids (stream, id, generation)
        SELECT 1, n, 0 FROM numbers UNION ALL SELECT 1, 'x' || n, 0 FROM numbers`
      yield* sql`INSERT INTO archived_generations VALUES (1, 0, 100002, -1)`
      yield* TestClock.adjust("25 hours")
      const plans = yield* queryPlansOf(repo.forget, /FROM archived_ids/)
      expect(yield* remembered).toBe(0)
      expect(plans.length).toBeGreaterThan(3)
      for (const steps of plans) {
        expect(steps).toEqual([expect.stringMatching(/USING PRIMARY KEY \(stream=\? AND id>/)])
      }
    }).pipe(Effect.provide(storage))
  )
})
