import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, FastCheck, type HashMap, Logger, Option, Stream } from "effect"
import type { ArchivePlan } from "../../src/domain/Archive.ts"
import { dateOf } from "../../src/domain/Archive.ts"
import type { StreamId } from "../../src/domain/StreamId.ts"
import { DatabaseError } from "../../src/storage/DatabaseError.ts"
import { type PurgedRows, RowsDiffer, SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { queryPlansOf } from "../support/queryPlans.ts"
import { batchOf, book, newYear, range, snapshot, trade, unnoted } from "../support/snapshots.ts"
import { storage } from "../support/storage.ts"

const append = (...snapshots: ReadonlyArray<ReturnType<typeof snapshot>>) =>
  Effect.flatMap(SnapshotRepo, (repo) => repo.append(batchOf(snapshots)))

const day = 86_400_000_000

const planOf = (stream: StreamId, firstId: number, lastId: number, date = "2026-01-01"): ArchivePlan => ({
  archiveId: "a",
  stream,
  date,
  firstId,
  lastId,
  key: "k"
})

const rowsOf = (plan: ArchivePlan) =>
  Effect.flatMap(SnapshotRepo, (repo) =>
    Effect.map(Stream.runCollect(repo.rows(plan)), (pages) => Chunk.toReadonlyArray(pages).flat())
  )

const allIds = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(sql<{ id: number }>`SELECT id FROM snapshots ORDER BY id`, (rows) => rows.map((row) => row.id))
)

describe("append", () => {
  it.scoped("stores every column as it is, and the payload as text byte for byte", () =>
    Effect.gen(function* () {
      expect(yield* append(snapshot(2), snapshot(3, trade))).toEqual({
        inserted: 2,
        duplicates: 0,
        rejected: 0
      })
      const sql = yield* SqlClient.SqlClient
      expect(yield* sql`SELECT *, typeof(data) AS type FROM snapshots`).toEqual([
        {
          id: 1,
          exchange: "binance",
          symbol: "btcusdt",
          data_type: "orderbook",
          exchange_sequence_id: "2",
          timestamp: newYear + 2000,
          exchange_timestamp: newYear + 1500,
          data: '{"n":2,"s":"btcusdt ü €"}',
          type: "text"
        },
        {
          id: 2,
          exchange: "binance",
          symbol: "btcusdt",
          data_type: "trade",
          exchange_sequence_id: "3",
          timestamp: newYear + 3000,
          exchange_timestamp: null,
          data: '{"n":3,"s":"btcusdt ü €"}',
          type: "text"
        }
      ])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("ignores and counts what is already stored, within a batch too", () =>
    Effect.gen(function* () {
      yield* append(snapshot(1), snapshot(2))
      expect(yield* append(snapshot(2), snapshot(3), snapshot(3), snapshot(3, trade))).toEqual({
        inserted: 2,
        duplicates: 2,
        rejected: 0,
        exceptions: [{ stream: 0, duplicates: 2, rejected: 0 }]
      })
    }).pipe(Effect.provide(storage))
  )

  it.scoped(
    "keeps a message with another message's id under an id of its own, in order, and journals it once",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const data = (text: string) => ({ data: Buffer.from(text) })
        const again = (from: number, to: number) =>
          range(from, to).map((n) =>
            snapshot(n, book, { ...data("again"), timestamp: newYear + (n + 1000) * 1000 })
          )
        yield* append(...range(0, 900).map((n) => snapshot(n)), snapshot(900, trade))
        // the exchange counts anew from 5 on; a duplicate of the first counting comes in between, and one of the second
        const batch = [snapshot(899), ...again(5, 450), snapshot(7), ...again(440, 450), snapshot(901, trade)]
        const appended = yield* append(...batch)
        expect(appended).toEqual({
          inserted: 446,
          duplicates: 12,
          rejected: 0,
          exceptions: [{ stream: 0, duplicates: 12, rejected: 0 }]
        })
        expect(yield* append(...again(450, 460))).toMatchObject({ inserted: 10 })
        expect(yield* append(...again(450, 460))).toMatchObject({ inserted: 0, duplicates: 10 })
        const rows = yield* sql<{ id: string; timestamp: number }>`
        SELECT exchange_sequence_id AS id, timestamp FROM snapshots WHERE data_type = 'orderbook' AND id > 901 ORDER BY snapshots.id`
        expect(rows.map(({ id }) => id.replace(/~[0-9a-f]{8}$/, "~"))).toEqual(
          range(5, 460).map((n) => `${n}~`)
        )
        expect(rows.map(({ timestamp }) => timestamp)).toEqual(
          range(5, 460).map((n) => newYear + (n + 1000) * 1000)
        )
        const events = yield* sql<{
          payload: string
        }>`SELECT payload FROM journal WHERE tag = 'Discontinuity'`
        expect(events.map(({ payload }): unknown => JSON.parse(payload))).toMatchObject([
          {
            stream: book,
            reason: "id reused",
            after: newYear + 899_000,
            before: newYear + 1_005_000,
            at: newYear + 1_005_000
          }
        ])
      }).pipe(Effect.provide(storage))
  )

  it.scoped("recognizes a message that its exchange sent again in another envelope", () =>
    Effect.gen(function* () {
      const twice: ReadonlyArray<readonly [exchange: string, first: string, again: string]> = [
        [
          "binance",
          '{"e":"trade","E":1700000000123,"s":"X","t":5,"p":"1"}',
          '{"e":"trade","E":1700000000125,"s":"X","t":5,"p":"1"}'
        ],
        [
          "bybit",
          '{"topic":"t","ts":1,"type":"delta","data":[{"i":"5"}]}',
          '{"topic":"t","ts":22,"type":"delta","data":[{"i":"5"}]}'
        ],
        [
          "coinbase",
          '{"channel":"market_trades","timestamp":"2026-01-01T00:00:00.1Z","sequence_num":3,"events":[{"type":"update","trades":[{"trade_id":"5"}]}]}',
          '{"channel":"market_trades","timestamp":"2026-01-01T00:00:09Z","sequence_num":1,"events":[{"type":"snapshot","trades":[{"trade_id":"5"}]}]}'
        ],
        [
          "kraken",
          '{"channel":"trade","type":"update","data":[{"trade_id":5}]}',
          '{"channel":"trade","type":"snapshot","data":[{"trade_id":5}]}'
        ],
        [
          "upbit",
          '{"type":"trade","timestamp":1,"sequential_id":5,"stream_type":"REALTIME"}',
          '{"type":"trade","timestamp":9,"sequential_id":5,"stream_type":"SNAPSHOT"}'
        ]
      ]
      for (const [exchange, first, again] of twice) {
        const stream = { exchange, symbol: "X", dataType: "trade" } as const
        const message = (text: string) => snapshot(5, stream, { data: Buffer.from(text) })
        yield* append(message(first))
        expect(yield* append(message(again))).toMatchObject({ inserted: 0, duplicates: 1 })
        expect(yield* append(message(again.replace(/5(?=[^5]*$)/, "6")))).toMatchObject({ inserted: 1 })
      }
    }).pipe(Effect.provide(storage))
  )

  it.scoped("skips the rows that the database refuses, warns once, and commits the rest", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        CREATE TRIGGER refuse BEFORE INSERT ON snapshots WHEN NEW.exchange_sequence_id IN ('150', '151', '950')
        BEGIN SELECT RAISE(ABORT, 'not this one'); END`
      const warnings: Array<HashMap.HashMap<string, unknown>> = []
      const logger = Logger.make(({ annotations }) => void warnings.push(annotations))
      const appended = yield* append(...range(0, 1000).map((n) => snapshot(n))).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      expect(appended).toEqual({
        inserted: 997,
        duplicates: 0,
        rejected: 3,
        exceptions: [{ stream: 0, duplicates: 0, rejected: 3 }]
      })
      expect(warnings.map((annotations) => Object.fromEntries(annotations))).toEqual([
        {
          module: "storage",
          messages: 3,
          stream: "binance:btcusdt:orderbook",
          exchangeSequenceId: "150",
          reason: expect.stringContaining("not this one")
        }
      ])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("stores nothing of a batch whose transaction fails, and continues afterwards", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* append(snapshot(-1))
      const pages = yield* sql<{ page_count: number }>`PRAGMA page_count`
      yield* sql.unsafe(`PRAGMA max_page_count = ${(pages[0]?.page_count ?? 0) + 2}`)
      const many = range(0, 3000).map((n) => snapshot(n, book, { data: Buffer.alloc(500, "x") }))
      const error = yield* Effect.flip(append(...many))
      expect(error.code).toBe("SQLITE_FULL")
      expect(yield* allIds).toEqual([1])
      yield* sql`PRAGMA max_page_count = 1000000`
      expect(yield* append(...many)).toMatchObject({ inserted: 3000 })
    }).pipe(Effect.provide(storage))
  )
})

describe("nextRange", () => {
  const next = (stream: StreamId, after = 0, through = 1_000_000, maxRows = 1_000_000) =>
    Effect.flatMap(SnapshotRepo, (repo) => repo.nextRange({ stream, after, through, maxRows }))

  it.scoped("ends where the date changes, at the given id, and at the maximum number of rows", () =>
    Effect.gen(function* () {
      yield* append(
        ...range(0, 5).map((n) => snapshot(n)),
        snapshot(5, trade),
        ...range(6, 9).map((n) => snapshot(n, book, { timestamp: newYear + day + n }))
      )
      expect(yield* next(book)).toEqual(
        Option.some({ date: "2026-01-01", firstId: 1, lastId: 5, firstTimestamp: newYear })
      )
      expect(yield* next(book, 5)).toMatchObject(Option.some({ date: "2026-01-02", firstId: 7, lastId: 9 }))
      expect(yield* next(book, 0, 3)).toMatchObject(Option.some({ firstId: 1, lastId: 3 }))
      expect(yield* next(book, 0, 100, 2)).toMatchObject(Option.some({ firstId: 1, lastId: 2 }))
      expect(yield* next(book, 9)).toEqual(Option.none())
      expect(yield* next({ ...book, symbol: "none" })).toEqual(Option.none())
    }).pipe(Effect.provide(storage))
  )

  it.scoped("ends where the data reach their maximum size, with one row at least", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const kilobytes = [30, 30, 30, 30, 500, 1, 1, 99, 1, ...range(0, 12_000).map(() => 0.01)]
      yield* append(
        ...kilobytes.map((size, n) => snapshot(n, book, { data: Buffer.alloc(size * 1000, 97) })),
        snapshot(1, trade)
      )
      const ends: Array<number> = []
      while (true) {
        const after = ends.at(-1) ?? 0
        const next = yield* repo.nextRange({
          stream: book,
          after,
          through: 100_000,
          maxRows: 100_000,
          maxBytes: 100_000
        })
        if (Option.isNone(next)) break
        expect(next.value.firstId).toBe(after + 1)
        ends.push(next.value.lastId)
      }
      expect(ends).toEqual([3, 4, 5, 7, 9, 10_009, 12_009])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("archives every row exactly once, also where times jump back and forth over midnight", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const times = FastCheck.sample(
        FastCheck.array(FastCheck.integer({ min: -3, max: 3 }), { minLength: 30, maxLength: 60 }),
        { numRuns: 5, seed: 1 }
      )
      for (const [round, offsets] of times.entries()) {
        const stream = { ...book, symbol: `s${round}` }
        yield* append(
          ...offsets.map((offset, n) => snapshot(n, stream, { timestamp: newYear + offset * 1000 }))
        )
        const seen: Array<string> = []
        while (true) {
          const found = yield* next(stream)
          if (Option.isNone(found)) break
          const plan = planOf(stream, found.value.firstId, found.value.lastId, found.value.date)
          const rows = yield* rowsOf(plan)
          expect(rows.every((row) => dateOf(row.timestamp) === plan.date)).toBe(true)
          expect(yield* repo.purge(plan, rows.length, unnoted)).toBe(rows.length)
          seen.push(...rows.map((row) => row.exchangeSequenceId))
        }
        expect(seen.map(Number).sort((a, b) => a - b)).toEqual(range(0, offsets.length))
      }
    }).pipe(Effect.provide(storage))
  )
})

describe("streams", () => {
  it.scoped("names each stream that has rows once", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      expect(yield* repo.streams).toEqual([])
      const streams = ["binance", "bybit", "okx"].flatMap((exchange) =>
        ["btcusdt", "ethusdt"].flatMap((symbol) =>
          exchange === "bybit"
            ? [{ ...trade, exchange, symbol }]
            : [book, trade].map((stream) => ({ ...stream, exchange, symbol }))
        )
      )
      yield* append(...streams.flatMap((stream) => [snapshot(1, stream), snapshot(2, stream)]).reverse())
      expect(yield* repo.streams).toEqual(streams)
      const [plan] = yield* queryPlansOf(repo.streams, /./)
      expect(
        plan?.filter((step) => /SEARCH snapshots/.test(step)).map((step) => /\(.*\)/.exec(step)?.[0])
      ).toEqual(["(exchange=? AND symbol=? AND data_type>?)", "(exchange=? AND symbol>?)", "(exchange>?)"])
    }).pipe(Effect.provide(storage))
  )
})

describe("rows and purge", () => {
  it.scoped("read and delete the rows of the plan and no others, while inserts go on", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const streams = [book, trade, { ...book, symbol: "ethusdt" }]
      yield* append(...range(0, 12_000).map((n) => snapshot(n, streams[n % 3] ?? book)))
      const plan = planOf(book, 1, 11_000)
      let inserted = 100_000
      const rows = yield* repo.rows(plan).pipe(
        Stream.tap(() => append(snapshot(inserted++))),
        Stream.runCollect,
        Effect.map((pages) => Chunk.toReadonlyArray(pages).flat())
      )
      const expected = range(0, 11_000).filter((n) => n % 3 === 0)
      expect(rows.map((row) => Number(row.exchangeSequenceId))).toEqual(expected)
      expect(rows.map((row) => row.id)).toEqual(expected.map((n) => n + 1))
      const parts: Array<PurgedRows> = []
      const note = (part: PurgedRows) => Effect.sync(() => void parts.push(part))
      const [purged] = yield* Effect.all(
        [repo.purge(plan, expected.length, note), append(snapshot(200_000))],
        {
          concurrency: "unbounded"
        }
      )
      expect(purged).toBe(expected.length)
      const left = yield* allIds
      expect(left.filter((id) => id <= 11_000 && id % 3 === 1)).toEqual([])
      expect(left.filter((id) => id <= 12_000)).toHaveLength(12_000 - expected.length)
      expect(parts.map(({ isLast }) => isLast)).toEqual(parts.map((_, n) => n === parts.length - 1))
      expect(parts.at(-1)?.throughId).toBe(plan.lastId)
      expect(parts.reduce((sum, { rows }) => sum + rows, 0)).toBe(expected.length)
    }).pipe(Effect.provide(storage))
  )

  /** Plans all rows of a stream that there are. */
  const planned = (stream: StreamId) =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const through = yield* repo.lastId
      const found = yield* repo.nextRange({ stream, after: 0, through, maxRows: 1_000_000 })
      const { date, firstId, lastId } = Option.getOrThrow(found)
      return planOf(stream, firstId, lastId, date)
    })
  const idsOf = (plan: ArchivePlan) => Effect.map(rowsOf(plan), (rows) => rows.map((row) => row.id))

  it.scoped("are limited by bytes if rows are large, each once and in order", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const sql = yield* SqlClient.SqlClient
      const kilobytes = [
        ...range(0, 300).map(() => 1),
        300,
        300,
        20_000,
        1,
        70_000,
        ...range(0, 90).map(() => 1000),
        1
      ]
      for (const [n, size] of kilobytes.entries()) {
        yield* append(snapshot(n, book, { data: Buffer.alloc(size * 1000, 97) }), snapshot(n, trade))
      }
      const plan = planOf(book, 1, kilobytes.length * 2)
      const pages = Chunk.toReadonlyArray(yield* Stream.runCollect(repo.rows(plan)))
      const bytes = pages.map((page) => page.reduce((sum, { data }) => sum + data.length, 0))
      for (const [i, page] of pages.entries()) if (page.length > 1) expect(bytes[i]).toBeLessThan(10_000_000)
      expect(pages.length).toBeLessThan(30)
      expect(pages.flat().map((row) => [row.exchangeSequenceId, row.data.length])).toEqual(
        kilobytes.map((size, n) => [String(n), size * 1000])
      )
      const parts: Array<PurgedRows> = []
      const note = (part: PurgedRows) => Effect.sync(() => void parts.push(part))
      expect(yield* repo.purge(plan, kilobytes.length, note)).toBe(kilobytes.length)
      expect(parts.length).toBeGreaterThan(2)
      expect(parts.reduce((sum, { rows }) => sum + rows, 0)).toBe(kilobytes.length)
      expect(yield* sql`SELECT count(*) AS n FROM snapshots`).toEqual([{ n: kilobytes.length }])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("find the rows of each stream's plan, whichever was planned or read last", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      yield* append(...range(0, 9000).map((n) => snapshot(n, n % 2 === 0 ? book : trade)))
      const books = yield* planned(book)
      const trades = yield* planned(trade)
      const odd = range(0, 9000).filter((id) => id % 2 === 1)
      const even = odd.map((id) => id + 1)
      expect(yield* idsOf(books)).toEqual(odd)
      expect(yield* idsOf(trades)).toEqual(even)
      const pages = yield* Stream.runCollect(Stream.zip(repo.rows(books), repo.rows(trades)))
      const both = Chunk.toReadonlyArray(pages)
      expect(both.flatMap(([rows]) => rows.map((row) => row.id))).toEqual(odd)
      expect(both.flatMap(([, rows]) => rows.map((row) => row.id))).toEqual(even)
      expect(yield* repo.purge(books, 4500, unnoted)).toBe(4500)
      expect(yield* idsOf(trades)).toEqual(even)
      expect(yield* repo.purge(trades, 4500, unnoted)).toBe(4500)
      expect(yield* allIds).toEqual([])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("include rows that arrived after a range was planned", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      yield* append(snapshot(1), snapshot(2))
      yield* repo.nextRange({ stream: book, after: 0, through: 1_000_000, maxRows: 1_000_000 })
      yield* append(snapshot(3))
      expect(yield* idsOf(planOf(book, 1, 1_000_000))).toEqual([1, 2, 3])
      const plan = yield* planned(book)
      yield* append(snapshot(4))
      expect(yield* idsOf(plan)).toEqual([1, 2, 3])
      expect(yield* idsOf(planOf(book, 2, 4))).toEqual([2, 3, 4])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("continue after a purge that failed halfway, in the same process", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const sql = yield* SqlClient.SqlClient
      yield* append(...range(0, 12_000).map((n) => snapshot(n)))
      const plan = yield* planned(book)
      expect(yield* idsOf(plan)).toHaveLength(12_000)
      yield* sql`
        CREATE TEMP TRIGGER keep BEFORE DELETE ON main.snapshots WHEN OLD.id = 7000
        BEGIN SELECT RAISE(ABORT, 'not yet'); END`
      yield* Effect.flip(repo.purge(plan, 12_000, unnoted))
      yield* sql`DROP TRIGGER keep`
      const left = range(5001, 12_001)
      expect(yield* allIds).toEqual(left)
      expect(yield* idsOf(plan)).toEqual(left)
      expect(yield* Effect.flip(repo.purge(plan, 12_000, unnoted))).toEqual(
        new RowsDiffer({ expected: 12_000, found: 7000 })
      )
      expect(yield* allIds).toEqual(left)
      expect(yield* repo.purge(plan, 7000, unnoted)).toBe(7000)
      expect(yield* allIds).toEqual([])
    }).pipe(Effect.provide(storage))
  )

  it.scoped("delete nothing if a row was deleted since the rows were read", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      const sql = yield* SqlClient.SqlClient
      yield* append(...range(0, 6000).map((n) => snapshot(n)))
      const plan = yield* planned(book)
      expect(yield* idsOf(plan)).toHaveLength(6000)
      yield* sql`DELETE FROM snapshots WHERE id = 5999`
      expect(yield* Effect.flip(repo.purge(plan, 6000, unnoted))).toEqual(
        new RowsDiffer({ expected: 6000, found: 5999 })
      )
      expect(yield* allIds).toHaveLength(5999)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("delete nothing if the deletion cannot be journalled", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      yield* append(...range(0, 6000).map((n) => snapshot(n)))
      const plan = yield* planned(book)
      const full = new DatabaseError({ cause: new Error("no room") })
      const note = ({ isLast }: PurgedRows) => (isLast ? full : Effect.void)
      expect(yield* Effect.flip(repo.purge(plan, 6000, note))).toEqual(full)
      expect(yield* allIds).toEqual(range(5001, 6001))
      expect(yield* repo.purge(plan, 1000, unnoted)).toBe(1000)
    }).pipe(Effect.provide(storage))
  )

  it.scoped("find the rows to delete by their ids, without scanning the whole stream each time", () =>
    Effect.gen(function* () {
      const repo = yield* SnapshotRepo
      yield* append(...range(0, 10).map((n) => snapshot(n)))
      const plans = yield* queryPlansOf(
        repo.purge(planOf(book, 1, 10), 10, unnoted),
        /^(DELETE|INSERT).*id IN \(SELECT id FROM temp.archive_rows/s
      )
      const byId = "SEARCH snapshots USING INTEGER PRIMARY KEY (rowid=?)"
      expect(plans.map((steps) => steps.filter((step) => / snapshots/.test(step)))).toEqual([[byId], [byId]])
    }).pipe(Effect.provide(storage))
  )
})
