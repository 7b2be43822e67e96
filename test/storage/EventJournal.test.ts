import { SqlClient, Statement } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { journalCounts, prunableThrough, pruneJournal } from "../../src/storage/JournalUpkeep.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { transaction } from "../../src/storage/transaction.ts"
import { queryPlansOf } from "../support/queryPlans.ts"
import { batchOf, book, newYear, range, snapshot, trade } from "../support/snapshots.ts"
import { storage } from "../support/storage.ts"

const rows = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    sql<{
      id: number
      tag: string
      stream: string | null
      payload: string
    }>`SELECT * FROM journal ORDER BY id`
)

describe("the journal", () => {
  it.scoped("is committed together with what it describes, or not at all", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const journal = yield* EventJournal
      const event = { _tag: "ArchiveUploaded", archiveId: "a" } as const
      const failing = Effect.zipRight(journal.append(event), Effect.fail("no")).pipe(transaction(sql))
      expect(Exit.isFailure(yield* Effect.exit(failing))).toBe(true)
      expect(yield* rows).toEqual([])
      yield* journal.appendOf(book, event)
      expect(yield* rows).toMatchObject([{ tag: "ArchiveUploaded", stream: "binance:btcusdt:orderbook" }])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("counts every message that was committed, by stream and hour, and no duplicates", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const late = { timestamp: newYear + 3_600_000_000 }
      yield* repo.append(batchOf([snapshot(1), snapshot(2), snapshot(3, trade), snapshot(4, book, late)]))
      yield* repo.append(batchOf([snapshot(2), snapshot(5), snapshot(5)]))
      yield* journalCounts
      const hour = newYear / 3_600_000_000
      const events = (yield* rows).map(({ payload }): unknown => JSON.parse(payload))
      expect(events).toMatchObject([
        { stream: book, hour, messages: 3, first: newYear + 1000, last: newYear + 5000 },
        { stream: book, hour: hour + 1, messages: 1 },
        { stream: trade, hour, messages: 1 }
      ])
      yield* journalCounts
      expect(yield* rows).toHaveLength(3)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("takes over any number of counts, a thousand per transaction", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO streams (number, exchange, symbol, data_type)
        VALUES (7, 'binance', 'btcusdt', 'trade'), (8, 'okx', 'BTC-USDT', 'trade')`
      const many = 5000
      yield* sql`
        WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${many - 1})
        INSERT INTO message_counts SELECT 7 + n % 2, n / 2, n, n, n FROM numbers`
      let begun = 0
      yield* Statement.withTransformer(journalCounts, (statement) =>
        Effect.sync(() => {
          if (/DELETE FROM message_counts/.test(statement.compile()[0])) begun++
          return statement
        })
      )
      expect(begun).toBe(many / 1000)
      expect(yield* sql`SELECT count(*) AS n FROM message_counts`).toEqual([{ n: 0 }])
      expect(
        yield* sql`
          SELECT stream, count(*) AS events, sum(payload ->> 'messages') AS messages FROM journal GROUP BY 1 ORDER BY 1`
      ).toEqual([
        { stream: "binance:btcusdt:trade", events: many / 2, messages: ((many / 2) * (many - 2)) / 2 },
        { stream: "okx:BTC-USDT:trade", events: many / 2, messages: ((many / 2) * many) / 2 }
      ])
      const plans = yield* queryPlansOf(journalCounts, /message_counts/)
      for (const [step] of plans) expect(step).toMatch(/message_counts USING PRIMARY KEY \(\(stream,hour\)>/)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("is cut into parts by date, and not because of its own archiving", () =>
    Effect.gen(function* () {
      const journal = yield* EventJournal
      const next = (after: number) => journal.nextSegment({ after, maxEntries: 3 })
      expect(yield* next(0)).toEqual(Option.none())
      const started = (days: number) =>
        ({ _tag: "RecordingStarted", at: newYear + days * 86_400_000_000, streams: [] }) as const
      yield* journal.append(started(0), started(0), started(1), ...range(0, 4).map(() => started(2)))
      expect(yield* next(0)).toEqual(Option.some({ date: "2026-01-01", firstId: 1, lastId: 2 }))
      expect(yield* next(2)).toEqual(Option.some({ date: "2026-01-02", firstId: 3, lastId: 3 }))
      expect(yield* next(3)).toEqual(Option.some({ date: "2026-01-03", firstId: 4, lastId: 6 }))
      yield* journal.append(
        { _tag: "ArchiveUploaded", archiveId: "j" },
        { _tag: "JournalSegmentArchived", archiveId: "j" }
      )
      expect(yield* next(7)).toEqual(Option.none())
    }).pipe(Effect.provide(storage))
  )

  it.scoped("makes few parts of entries with alternating dates, and none of later ones", () =>
    Effect.gen(function* () {
      const journal = yield* EventJournal
      yield* journal.append(
        ...range(0, 50).map(
          (n) => ({ _tag: "RecordingStarted", at: newYear + (n % 3) * 86_400_000_000, streams: [] }) as const
        )
      )
      const through = yield* journal.lastId
      yield* journal.append({ _tag: "RecordingStarted", at: newYear, streams: [] })
      const parts: Array<readonly [string, number, number]> = []
      for (let after = 0; parts.length < 50; ) {
        const next = yield* journal.nextSegment({ after, through, maxEntries: 1000 })
        if (Option.isNone(next)) break
        parts.push([next.value.date, next.value.firstId, next.value.lastId])
        after = next.value.lastId
      }
      expect(parts).toEqual([
        ["2026-01-01", 1, 49],
        ["2026-01-02", 50, 50]
      ])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("prunes old entries that are archived, but none that is needed", () =>
    Effect.gen(function* () {
      const journal = yield* EventJournal
      yield* journal.append(
        ...range(0, 100).map((n) => ({ _tag: "ArchiveUploaded", archiveId: String(n) }) as const)
      )
      const { isWorthIt, through } = yield* prunableThrough(60, { millis: 1_000_000_000, entries: 50 })
      expect({ isWorthIt, through }).toEqual({ isWorthIt: true, through: 50 })
      yield* pruneJournal(through, new Set([3, 7]))
      const ids = (yield* rows).map(({ id }) => id)
      expect(ids).toEqual([3, 7, ...range(51, 102)])
    }).pipe(Effect.provide(storage))
  )
})
