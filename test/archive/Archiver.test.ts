import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import {
  Chunk,
  Duration,
  Effect,
  Fiber,
  Layer,
  Logger,
  Option,
  Schedule,
  Stream,
  TestClock,
  TestServices
} from "effect"
import { Archiver } from "../../src/archive/Archiver.ts"
import { ArchiveStore, ArchiveStoreError, type LocalObject } from "../../src/archive/ArchiveStore.ts"
import { ParquetError, ParquetWriter } from "../../src/archive/ParquetWriter.ts"
import { journalPrefix } from "../../src/domain/Archive.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { asleep } from "../support/asleep.ts"
import { patience } from "../support/pace.ts"
import { batchOf, book, newYear, range, snapshot, trade } from "../support/snapshots.ts"
import { storageOn, temporaryFolder } from "../support/storage.ts"

/** A store in memory whose next calls can be made to fail. */
interface Faults {
  /** What the next puts answer, in order; after that they work. */
  readonly puts: Array<"Failed" | "Refused" | "vanish" | "short" | "lost" | "overtaken">
  /** What the next heads answer instead. */
  readonly heads: Array<"Refused">
  /** Keys that the store never takes, and says nothing of. */
  refuses: (key: string) => boolean
  /** The store takes nothing, but answers. */
  isReadOnly: boolean
  /** The store takes nothing and answers nothing. */
  isDown: boolean
  /** Is written at the end of every file. */
  suffix: string
  /** What a put that is overtaken finds in its place. */
  overtaking: LocalObject | undefined
}

interface World {
  readonly folder: string
  readonly faults: Faults
  /** Of rows. */
  readonly objects: Map<string, LocalObject>
  /** Parts of the journal: they count as no puts. */
  readonly journal: Map<string, LocalObject>
  readonly outbox: string
  /** What every object is read as. */
  content: string
  readonly puts: Array<{ readonly key: string; readonly at: number }>
  /** The prefixes that were listed. */
  readonly listed: Array<string>
}

const storeIn = (world: World) =>
  Layer.effect(
    ArchiveStore,
    Effect.map(Effect.clock, (clock) =>
      ArchiveStore.of({
        put: (object) =>
          Effect.suspend(() => {
            if (world.faults.isDown || world.faults.isReadOnly || world.faults.refuses(object.key)) {
              world.puts.push({ key: object.key, at: clock.unsafeCurrentTimeMillis() })
              return new ArchiveStoreError({
                operation: "put",
                key: object.key,
                kind: "Failed",
                reason: "500"
              })
            }
            if (!object.key.startsWith("exchange=")) {
              world.journal.set(object.key, object)
              return Effect.void
            }
            world.puts.push({ key: object.key, at: clock.unsafeCurrentTimeMillis() })
            const fault = world.faults.puts.shift()
            if (fault === "Failed" || fault === "Refused") {
              return new ArchiveStoreError({ operation: "put", key: object.key, kind: fault, reason: "503" })
            }
            if (fault === "lost") {
              world.objects.set(object.key, object)
              return new ArchiveStoreError({ operation: "put", key: object.key, kind: "Refused", reason: "" })
            }
            if (fault === "overtaken" && world.faults.overtaking !== undefined) {
              world.objects.set(object.key, world.faults.overtaking)
              return new ArchiveStoreError({
                operation: "put",
                key: object.key,
                kind: "Conflict",
                reason: ""
              })
            }
            if (fault === "short") world.objects.set(object.key, { ...object, size: object.size - 1 })
            else if (fault !== "vanish") world.objects.set(object.key, object)
            return Effect.void
          }),
        head: (key) =>
          Effect.suspend(() => {
            if (world.faults.isDown || world.faults.refuses(key)) {
              return new ArchiveStoreError({ operation: "head", key, kind: "Failed", reason: "500" })
            }
            if (key.startsWith("exchange=") && world.faults.heads.shift() !== undefined) {
              return new ArchiveStoreError({ operation: "head", key, kind: "Refused", reason: "403" })
            }
            return Effect.succeed(
              Option.map(Option.fromNullable(world.objects.get(key) ?? world.journal.get(key)), (object) => ({
                key,
                size: object.size,
                sha256: Option.some(object.sha256)
              }))
            )
          }),
        tryOut: Effect.suspend(() =>
          world.faults.isReadOnly
            ? new ArchiveStoreError({ operation: "put", key: "", kind: "Refused", reason: "500" })
            : Effect.void
        ),
        get: () => Stream.make(new TextEncoder().encode(world.content)),
        list: (prefix) => {
          world.listed.push(prefix)
          return Stream.empty
        }
      })
    )
  )

/** Writes the sequence ids of the rows, so that a file says what is in it. */
const idWriter = (world: World) =>
  Layer.effect(
    ParquetWriter,
    Effect.map(FileSystem.FileSystem, (fs) =>
      ParquetWriter.of({
        write: ({ pages, path }) =>
          Effect.gen(function* () {
            const ids = Chunk.toReadonlyArray(yield* Stream.runCollect(pages)).flatMap((page) =>
              Array.from(page.columns[3] ?? [], String)
            )
            const text = `${ids.join()}${world.faults.suffix}`
            yield* Effect.orDie(fs.makeDirectory(path.replace(/\/[^/]*$/, ""), { recursive: true }))
            yield* fs
              .writeFileString(path, text)
              .pipe(Effect.mapError((cause) => new ParquetError({ path, cause })))
            return { rows: ids.length, size: text.length, sha256: yield* sha256Of(text) }
          })
      })
    )
  )

const sha256Of = (text: string) =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
    (digest) => Buffer.from(digest).toString("hex")
  )

const archiverIn = (world: World, retries?: Schedule.Schedule<unknown>) =>
  Archiver.layer({
    serverName: "server/1",
    outboxDirectory: world.outbox,
    interval: Duration.hours(1),
    ...(retries === undefined ? {} : { retries })
  }).pipe(
    Layer.provide(storeIn(world)),
    Layer.provide(idWriter(world)),
    Layer.provideMerge(storageOn(`${world.folder}/collector.db`))
  )

const withWorld = <A, E>(test: (world: World) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  temporaryFolder.pipe(
    Effect.flatMap((folder) =>
      test({
        folder,
        outbox: `${folder}/outbox`,
        content: "",
        faults: {
          puts: [],
          heads: [],
          refuses: () => false,
          isReadOnly: false,
          isDown: false,
          suffix: "",
          overtaking: undefined
        },
        objects: new Map(),
        journal: new Map(),
        puts: [],
        listed: []
      })
    ),
    Effect.scoped,
    Effect.provide(NodeContext.layer)
  )

const append = (...snapshots: ReadonlyArray<ReturnType<typeof snapshot>>) =>
  Effect.flatMap(SnapshotRepo, (repo) => repo.append(batchOf(snapshots)))

const rowsLeft = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(sql<{ n: number }>`SELECT count(*) AS n FROM snapshots`, (rows) => rows[0]?.n)
)

const tags = Effect.flatMap(EventJournal, (journal) =>
  Effect.map(Stream.runCollect(journal.entries), (entries) =>
    Chunk.toReadonlyArray(entries).map(({ event }) => event._tag)
  )
)

const cycle = Effect.flatMap(Archiver, (archiver) => archiver.runCycle)

/** Lets real time pass until a condition holds: files and SQLite know nothing of the test's clock. */
const until = (condition: () => boolean) =>
  TestServices.provideLive(
    Effect.repeat(Effect.sleep("5 millis"), { until: condition }).pipe(Effect.timeout(patience), Effect.orDie)
  )

/** For what should not happen: nothing is waited for. */
const settle = TestServices.provideLive(Effect.sleep("100 millis"))

describe("a cycle", () => {
  it.effect("archives each stream and date into one object, and purges only its rows", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(
          ...range(0, 3).map((n) => snapshot(n)),
          snapshot(7, trade),
          snapshot(8, book, { timestamp: newYear + 86_400_000_000 })
        )
        const outcome = yield* cycle
        expect(outcome.failed).toEqual([])
        expect(
          outcome.archived.map(({ file, plan }) => [plan.date, plan.stream.dataType, file.rows])
        ).toEqual([
          ["2026-01-01", "orderbook", 3],
          ["2026-01-02", "orderbook", 1],
          ["2026-01-01", "trade", 1]
        ])
        expect(Array.from(world.objects.keys(), (key) => key.replace(/[0-9a-f]{24}/, "ID"))).toEqual([
          "exchange=binance/symbol=btcusdt/data_type=orderbook/date=2026-01-01/server%2F1_20260101T000000000Z_ID.parquet",
          "exchange=binance/symbol=btcusdt/data_type=orderbook/date=2026-01-02/server%2F1_20260102T000000000Z_ID.parquet",
          "exchange=binance/symbol=btcusdt/data_type=trade/date=2026-01-01/server%2F1_20260101T000000007Z_ID.parquet"
        ])
        expect(yield* rowsLeft).toBe(0)
        const fs = yield* FileSystem.FileSystem
        expect((yield* fs.readDirectory(world.outbox)).filter((name) => name.endsWith(".parquet"))).toEqual(
          []
        )
        expect((yield* tags).slice(0, 6)).toEqual([
          "ArchivePlanned",
          "ArchiveWritten",
          "ArchiveUploaded",
          "ArchiveVerified",
          "ArchiveRowsPurged",
          "ArchivePurged"
        ])
        expect(yield* Effect.flatMap(Archiver, (archiver) => archiver.counts)).toMatchObject({
          archives: 3,
          rows: 5,
          pending: 0
        })
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("retries an upload after 1, 2, 4 and 8 seconds, then leaves it to the next cycle", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(snapshot(1))
        world.faults.puts.push("Failed", "Failed", "Failed", "Failed", "Failed")
        const running = yield* Effect.fork(cycle)
        for (const [attempt, seconds] of [1, 2, 4, 8].entries()) {
          yield* until(() => world.puts.length === attempt + 1)
          yield* asleep
          yield* TestClock.adjust(Duration.millis(seconds * 1000 - 1))
          yield* settle
          expect(world.puts).toHaveLength(attempt + 1)
          yield* TestClock.adjust("1 millis")
        }
        yield* until(() => world.puts.length === 5)
        const outcome = yield* Fiber.join(running)
        expect(outcome.failed).toHaveLength(1)
        expect(yield* rowsLeft).toBe(1)
        const fs = yield* FileSystem.FileSystem
        expect(
          (yield* fs.readDirectory(world.outbox)).filter((name) => name.endsWith(".parquet"))
        ).toHaveLength(1)
        expect((yield* cycle).archived).toHaveLength(1)
        expect(new Set(world.puts.map((put) => put.key)).size).toBe(1)
        expect(yield* rowsLeft).toBe(0)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect(
    "deletes nothing if the object is missing or has another length, and puts it again in the next cycle",
    () =>
      withWorld((world) =>
        Effect.gen(function* () {
          for (const fault of ["vanish", "short"] as const) {
            yield* append(snapshot(world.puts.length))
            world.faults.puts.push(fault)
            expect((yield* cycle).failed).toHaveLength(1)
            expect(yield* rowsLeft).toBe(1)
            world.objects.clear()
            expect((yield* cycle).archived).toHaveLength(1)
            expect(yield* rowsLeft).toBe(0)
          }
        }).pipe(Effect.provide(archiverIn(world)))
      )
  )

  it.effect("returns what was done and what failed if it fails halfway", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* append(snapshot(1))
        yield* sql`
          CREATE TRIGGER broken BEFORE INSERT ON journal WHEN NEW.tag = 'JournalSegmentPlanned'
          BEGIN SELECT RAISE(ABORT, 'no room'); END`
        const outcome = yield* cycle
        expect(outcome.archived).toHaveLength(1)
        expect(outcome.failed).toEqual([{ what: "the cycle", reason: expect.stringContaining("no room") }])
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("lists few days of the archived journal, or everything if the clock was wrong", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const listed = (date: string) =>
          TestClock.setTime(Date.parse(date)).pipe(
            Effect.zipRight(append(snapshot(world.puts.length))),
            Effect.zipRight(cycle),
            Effect.provide(archiverIn(world)),
            Effect.map(() => world.listed.splice(0))
          )
        const all = ["_journal/", "journal/"]
        const days = (...dates: ReadonlyArray<string>) =>
          dates.flatMap((date) => [`_journal/${date}/`, `journal/date=${date}/`])
        expect(yield* listed("1970-01-01")).toEqual(days("1970-01-01", "1970-01-02"))
        expect(yield* listed("2026-11-01")).toEqual(all)
        expect(yield* listed("2026-11-02")).toEqual(days("2026-11-01", "2026-11-02", "2026-11-03"))
        yield* listed("2030-01-01")
        expect(yield* listed("2026-11-03")).toEqual(all)
      })
    )
  )

  it.effect("archives the rest if one archive is refused", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(snapshot(1), snapshot(1, trade))
        world.faults.puts.push("Refused")
        const outcome = yield* cycle
        expect([outcome.archived.length, outcome.failed.length]).toEqual([1, 1])
        expect(yield* rowsLeft).toBe(1)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )
})

describe("a store that fails", () => {
  const symbols = ["a", "b", "c", "d"]
  const streams = symbols.map((symbol) => ({ ...book, symbol }))
  const appendToAll = (from: number, to: number) =>
    append(...streams.flatMap((stream) => range(from, to).map((n) => snapshot(n, stream))))
  /** Refuses for ever the first keys that match and are put. */
  const refuseFirst = (world: World, count: number, pattern: RegExp) => {
    const refused = new Set<string>()
    world.faults.refuses = (key) => {
      if (refused.size < count && pattern.test(key)) refused.add(key)
      return refused.has(key)
    }
    return refused
  }
  const never = Schedule.recurs(0)

  it.effect("on two objects forever delays no others, even of their streams, and is retried last", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const refused = refuseFirst(world, 2, /exchange=/)
        yield* appendToAll(0, 3)
        const first = yield* cycle
        expect(first.failed.map(({ what }) => what)).toEqual([...refused])
        expect(first.archived.map(({ plan }) => plan.stream.symbol)).toEqual(["c", "d"])
        for (const n of range(1, 4)) {
          yield* appendToAll(n * 3, n * 3 + 3)
          const tried = world.puts.length
          const { archived, failed } = yield* cycle
          // the clock stands still, and of what was planned at the same time any may come first
          const last = failed.map(({ what }) => what)
          expect(last.toSorted()).toEqual([...refused].sort())
          expect(archived.map(({ plan }) => plan.stream.symbol)).toEqual(["c", "d", "a", "b"])
          expect(world.puts.slice(tried).map(({ key }) => key)).toEqual([
            ...archived.slice(0, 2).map(({ plan }) => plan.key),
            ...last,
            ...archived.slice(2).map(({ plan }) => plan.key)
          ])
          expect(yield* rowsLeft).toBe(6)
        }
        expect(world.journal.size).toBeGreaterThan(3)
        world.faults.refuses = () => false
        expect((yield* cycle).archived.map(({ plan }) => plan.key).sort()).toEqual([...refused].sort())
        expect(yield* rowsLeft).toBe(0)
        const rows = Array.from(world.objects.values(), ({ path }) => path)
        expect(new Set(rows).size).toBe(rows.length)
      }).pipe(Effect.provide(archiverIn(world, never)))
    )
  )

  it.effect("takes no more than its share of a cycle, and each failing archive gets its turn", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const many = range(0, 40).map((n) => ({ ...book, symbol: `s${n}` }))
        world.faults.refuses = (key) => /symbol=s\d/.test(key)
        yield* append(
          ...many.map((stream) => snapshot(1, stream)),
          ...many.map((stream) => snapshot(2, stream))
        )
        const tried = new Set<string>()
        for (const _ of range(0, 4)) {
          yield* append(snapshot(world.puts.length))
          const before = world.puts.length
          const running = yield* Effect.fork(cycle)
          while (running.unsafePoll() === null) {
            yield* TestClock.adjust("5 seconds")
            yield* TestServices.provideLive(Effect.sleep("1 millis"))
          }
          const { archived } = yield* Fiber.join(running)
          expect(archived).toHaveLength(1)
          const times = world.puts.slice(before).map(({ at }) => at)
          expect(Math.max(...times) - Math.min(...times)).toBeLessThan(20 * 60_000)
          for (const { key } of world.puts.slice(before)) tried.add(/symbol=(\w+)/.exec(key)?.[1] ?? "")
        }
        expect(many.filter(({ symbol }) => !tried.has(symbol))).toEqual([])
      }).pipe(
        Effect.provide(archiverIn(world, Schedule.recurs(4).pipe(Schedule.addDelay(() => "4 seconds"))))
      )
    )
  )

  it.effect("on a part of the journal has its entries archived in another part", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const refused = refuseFirst(world, 1, /^_journal\/\d/)
        yield* append(snapshot(1))
        expect((yield* cycle).failed).toHaveLength(1)
        expect(world.journal.size).toBe(0)
        expect((yield* cycle).failed.map(({ what }) => what)).toEqual([...refused])
        expect(world.journal.size).toBeGreaterThan(0)
        yield* append(snapshot(2))
        expect((yield* cycle).failed).toEqual([])
      }).pipe(Effect.provide(archiverIn(world, never)))
    )
  )

  it.effect("on a part planned under a key of the old layout still receives it after a restart", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const old = yield* Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          world.faults.refuses = (key) => key.startsWith(journalPrefix)
          yield* append(snapshot(1))
          expect((yield* cycle).failed).toHaveLength(1)
          const [planned] = yield* sql<{ key: string }>`
            SELECT payload ->> '$.plan.key' AS key FROM journal WHERE tag = 'JournalSegmentPlanned'`
          const key = planned?.key ?? ""
          const old = key.replace("_journal/", "journal/date=").replace(/journal$/, "parquet")
          yield* sql`UPDATE journal SET payload = replace(payload, ${key}, ${old})`
          return old
        }).pipe(Effect.provide(archiverIn(world, never)))
        world.faults.refuses = () => false
        yield* Effect.gen(function* () {
          yield* append(snapshot(2))
          expect((yield* cycle).failed).toEqual([])
        }).pipe(Effect.provide(archiverIn(world, never)))
        expect(old).toMatch(/^journal\/date=[^/]*\/[^/]*\.parquet$/)
        const keys = Array.from(world.journal.keys())
        expect(keys.filter((key) => !key.startsWith(journalPrefix))).toEqual([old])
        expect(keys.length).toBeGreaterThan(1)
      })
    )
  )

  it.effect.each(["isDown", "isReadOnly"] as const)(
    "completely (%s) ends the cycle at once, writes nothing more, and gets everything once it is back",
    (fault) =>
      withWorld((world) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          world.faults[fault] = true
          for (const n of range(0, 3)) {
            yield* appendToAll(n * 3, n * 3 + 3)
            expect(yield* cycle).toMatchObject({
              archived: [],
              failed: [{ reason: expect.stringContaining("500") }]
            })
          }
          expect(world.puts).toHaveLength(1)
          expect(yield* fs.readDirectory(world.outbox)).toHaveLength(1)
          expect(yield* rowsLeft).toBe(36)
          world.faults[fault] = false
          const { archived, failed } = yield* cycle
          expect(failed).toEqual([])
          expect(archived.reduce((sum, { file }) => sum + file.rows, 0)).toBe(36)
          expect(yield* rowsLeft).toBe(0)
        }).pipe(Effect.provide(archiverIn(world, never)))
      )
  )
})

describe("the journal's archive", () => {
  /** Each time a part is planned, or each of its steps is told of, something else happens. */
  const eventful = (tags: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql.unsafe(`
        CREATE TRIGGER eventful AFTER INSERT ON journal WHEN NEW.tag IN (${tags}) BEGIN
          INSERT INTO journal (at, tag, payload) VALUES
            (${newYear}, 'DiskSpace', '{"_tag":"DiskSpace","at":${newYear},"state":"low","free":1,"database":1}'),
            (NEW.at, 'DiskSpace', '{"_tag":"DiskSpace","at":1,"state":"low","free":1,"database":1}');
        END`)
    )

  it.effect("ends even if every part causes new entries, which the next cycle takes", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* eventful("'JournalSegmentPlanned', 'ArchiveWritten', 'JournalSegmentArchived'")
        yield* append(snapshot(1))
        for (let before = 0, n = 0; n < 4; n++) {
          expect((yield* cycle).failed).toEqual([])
          expect(world.journal.size - before).toBeGreaterThan(0)
          expect(world.journal.size - before).toBeLessThan(5)
          before = world.journal.size
        }
        yield* sql`DROP TRIGGER eventful`
        yield* cycle
        yield* cycle
        const rows = yield* sql<{ payload: string }>`
          SELECT payload FROM journal WHERE tag = 'JournalSegmentPlanned' ORDER BY id`
        const parts = rows.map(({ payload }) => JSON.parse(payload).plan)
        expect(parts.map(({ firstId }) => firstId)).toEqual([
          1,
          ...parts.slice(0, -1).map(({ lastId }) => lastId + 1)
        ])
        const unarchived = yield* sql`
          SELECT 1 FROM journal WHERE tag = 'DiskSpace' AND id > ${parts.at(-1).lastId}`
        expect(unarchived).toEqual([])
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )
})

describe("a new process", () => {
  it.effect("resumes what the last one left, under the same key, and archives newer rows separately", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* Effect.gen(function* () {
          yield* append(...range(0, 10).map((n) => snapshot(n)))
          world.faults.puts.push("Refused")
          yield* cycle
          yield* append(...range(10, 15).map((n) => snapshot(n)))
        }).pipe(Effect.provide(archiverIn(world)))
        const outcome = yield* cycle.pipe(Effect.provide(archiverIn(world)))
        expect(outcome.archived.map(({ file }) => file.rows)).toEqual([10, 5])
        expect(new Set(world.puts.map((put) => put.key)).size).toBe(2)
      })
    )
  )

  it.effect("warns once if the store does not have the last object, and continues there", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const warnings = (use: Effect.Effect<unknown, unknown, Archiver | SnapshotRepo>) =>
          Effect.gen(function* () {
            const told: Array<string> = []
            const logger = Logger.make(({ logLevel, message }) => {
              if (logLevel.label !== "INFO") told.push(String(message))
            })
            yield* Effect.provide(
              Effect.orDie(use),
              Layer.provideMerge(archiverIn(world), Logger.replace(Logger.defaultLogger, logger))
            )
            return told
          })
        const record = (n: number) => Effect.zipRight(append(snapshot(n)), cycle)
        expect(yield* warnings(record(1))).toEqual([])
        expect(yield* warnings(record(2))).toEqual([])
        world.journal.clear()
        expect(yield* warnings(Effect.zipRight(record(3), record(4)))).toEqual([
          expect.stringContaining("last archived object not found")
        ])
        expect(yield* warnings(record(5))).toEqual([])
        expect(world.objects.size).toBe(5)
      })
    )
  )

  it.effect("rewrites a local file that is missing or damaged", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        for (const damage of ["remove", "overwrite"] as const) {
          yield* Effect.gen(function* () {
            yield* append(snapshot(1000 + world.puts.length))
            world.faults.puts.push("Refused")
            yield* cycle
          }).pipe(Effect.provide(archiverIn(world)))
          const name = (yield* fs.readDirectory(world.outbox)).find((file) => file.endsWith(".parquet")) ?? ""
          yield* damage === "remove"
            ? fs.remove(`${world.outbox}/${name}`)
            : fs.writeFileString(`${world.outbox}/${name}`, "x")
          const outcome = yield* cycle.pipe(Effect.provide(archiverIn(world)))
          expect(outcome.archived).toHaveLength(1)
        }
      })
    )
  )
})

describe("exactly once", () => {
  it.effect("quarantines unknown files, and removes finished and unfinished ones", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        yield* append(snapshot(1))
        yield* cycle
        const [done = ""] = Array.from(world.puts, ({ key }) => key.slice(-32))
        const unknown = `${"0".repeat(24)}.parquet`
        yield* Effect.forEach([done, unknown, `${unknown}.part`, "notes.txt"], (name) =>
          fs.writeFileString(`${world.outbox}/${name}`, "x")
        )
        yield* fs.makeDirectory(`${world.outbox}/quarantine`)
        yield* fs.writeFileString(`${world.outbox}/quarantine/${unknown}`, "of an earlier time")
        yield* cycle
        expect(yield* fs.readDirectory(world.outbox)).toEqual(["quarantine"])
        expect((yield* fs.readDirectory(`${world.outbox}/quarantine`)).sort()).toEqual([
          unknown,
          `${unknown}.2`,
          `${unknown}.part`,
          "notes.txt"
        ])
        expect(world.objects.size).toBe(1)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("accepts the object of an unconfirmed upload, even if the file would now differ", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(snapshot(1), snapshot(2))
        world.faults.puts.push("lost")
        world.faults.heads.push("Refused")
        expect((yield* cycle).failed).toHaveLength(1)
        const fs = yield* FileSystem.FileSystem
        for (const name of yield* fs.readDirectory(world.outbox)) yield* fs.remove(`${world.outbox}/${name}`)
        // as a newer version of the encoder would
        world.faults.suffix = " "
        expect((yield* cycle).archived.map(({ file }) => file.rows)).toEqual([2])
        expect(world.puts).toHaveLength(1)
        expect(yield* rowsLeft).toBe(0)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("accepts it even if the upload overtakes the rewritten file", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(snapshot(1), snapshot(2))
        world.faults.puts.push("lost")
        world.faults.heads.push("Refused")
        yield* cycle
        const [object] = world.objects.values()
        const fs = yield* FileSystem.FileSystem
        for (const name of yield* fs.readDirectory(world.outbox)) yield* fs.remove(`${world.outbox}/${name}`)
        world.faults.suffix = " "
        world.objects.clear()
        world.faults.puts.push("overtaken")
        world.faults.overtaking = object
        expect((yield* cycle).archived).toHaveLength(1)
        expect(Array.from(world.objects.values())).toEqual([object])
        expect(yield* rowsLeft).toBe(0)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("gives up a key that has another object for a new key, and never counts that object", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(snapshot(1), snapshot(2))
        world.faults.puts.push("overtaken")
        world.faults.overtaking = { key: "", path: "", size: 3, sha256: "of a part" }
        const first = yield* cycle
        expect(first.archived).toEqual([])
        expect(first.failed).toHaveLength(1)
        expect(yield* rowsLeft).toBe(2)
        const second = yield* cycle
        expect(second).toMatchObject({ archived: [{ file: { rows: 2 } }], failed: [] })
        const [abandoned, key] = Array.from(world.objects.keys())
        expect(first.failed[0]?.what).toBe(abandoned)
        expect(second.archived[0]?.plan.key).toBe(key)
        expect(yield* rowsLeft).toBe(0)
        const fs = yield* FileSystem.FileSystem
        expect(yield* fs.readDirectory(world.outbox)).toEqual([])
        expect((yield* tags).filter((tag) => tag === "ArchiveAbandoned")).toHaveLength(1)
        expect(yield* Effect.flatMap(Archiver, (archiver) => archiver.counts)).toMatchObject({ pending: 0 })
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("keeps a key whose object has our content, even if the store says otherwise", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(snapshot(1))
        world.faults.puts.push("overtaken")
        world.faults.overtaking = { key: "", path: "", size: 3, sha256: "a lie" }
        world.content = "1"
        yield* cycle
        expect((yield* tags).filter((tag) => tag === "ArchiveAbandoned")).toEqual([])
        expect((yield* cycle).archived).toHaveLength(1)
        expect(world.objects.size).toBe(1)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("stops if the database has other rows than the object, and deletes none", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* append(snapshot(1), snapshot(2), snapshot(3))
        // taken, and its answer lost: the object has three rows
        world.faults.puts.push("lost")
        world.faults.heads.push("Refused")
        yield* cycle
        yield* sql`DELETE FROM snapshots WHERE id = 2`
        expect((yield* cycle).failed.map(({ reason }) => reason)).toEqual([
          "the database has 2 rows of the archive where there should be 3: none is deleted"
        ])
        expect(yield* rowsLeft).toBe(2)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("resumes a half-done purge, from the file in the outbox if the object is gone", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* append(...range(0, 6000).map((n) => snapshot(n)))
        yield* sql`
          CREATE TRIGGER full BEFORE DELETE ON snapshots WHEN OLD.id > 5000
          BEGIN SELECT RAISE(ABORT, 'no room'); END`
        expect((yield* cycle).failed.map(({ reason }) => reason)).toEqual([
          expect.stringContaining("no room")
        ])
        expect(yield* rowsLeft).toBe(1000)
        yield* sql`DROP TRIGGER full`
        const objects = Array.from(world.objects)
        world.objects.clear()
        expect((yield* cycle).failed).toHaveLength(1)
        expect(yield* rowsLeft).toBe(1000)
        expect((yield* cycle).archived.map(({ file }) => file.rows)).toEqual([6000])
        expect(Array.from(world.objects)).toEqual(objects)
        expect(yield* rowsLeft).toBe(0)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("keeps the remaining rows of an archive whose object and file are both gone", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const sql = yield* SqlClient.SqlClient
        yield* append(...range(0, 6000).map((n) => snapshot(n)))
        yield* sql`
          CREATE TRIGGER full BEFORE DELETE ON snapshots WHEN OLD.id > 5000
          BEGIN SELECT RAISE(ABORT, 'no room'); END`
        yield* cycle
        yield* sql`DROP TRIGGER full`
        world.objects.clear()
        for (const name of yield* fs.readDirectory(world.outbox)) yield* fs.remove(`${world.outbox}/${name}`)
        yield* cycle
        expect((yield* cycle).failed.map(({ reason }) => reason)).toEqual([
          "5000 of its rows are deleted, and neither the store nor the outbox has its file any more"
        ])
        expect(yield* rowsLeft).toBe(1000)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )
})

describe("the schedule", () => {
  it.effect("runs a cycle at the start and every hour, and a cycle that fails does not end it", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const archiver = yield* Archiver
        yield* append(snapshot(1))
        const running = yield* Effect.fork(archiver.run)
        yield* until(() => world.objects.size === 1)
        yield* asleep
        yield* append(snapshot(2))
        yield* TestClock.adjust("59 minutes")
        yield* settle
        expect(world.objects.size).toBe(1)
        yield* TestClock.adjust("1 minutes")
        yield* until(() => world.objects.size === 2)
        yield* asleep
        world.faults.puts.push("Refused")
        yield* append(snapshot(3))
        yield* TestClock.adjust("1 hours")
        yield* until(() => world.puts.length === 3)
        yield* asleep
        yield* TestClock.adjust("1 hours")
        yield* until(() => world.objects.size === 3)
        yield* Fiber.interrupt(running)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )
})

describe("a checkpoint of the journal", () => {
  const checkpoints = (world: World) =>
    Array.from(world.journal.keys()).filter((key) => key.endsWith(".checkpoint.json.gz"))
  const tell = (count: number) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* (yield* EventJournal).append({ _tag: "StreamHeard", at: newYear, stream: book, after: null })
      yield* sql`
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
        INSERT INTO journal (at, tag, stream, payload)
          SELECT at, tag, stream, payload FROM numbers, journal
          WHERE n > 1 AND id = (SELECT max(id) FROM journal)`
    })

  it.effect("is made once a day, and after every 50,000 entries", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* TestClock.setTime(newYear / 1000)
        yield* tell(10)
        yield* cycle
        expect(checkpoints(world)).toHaveLength(1)
        yield* tell(10)
        yield* cycle
        expect(checkpoints(world)).toHaveLength(1)
        yield* TestClock.adjust("1 day")
        yield* tell(10)
        yield* cycle
        expect(checkpoints(world)).toHaveLength(2)
        yield* tell(50_000)
        yield* cycle
        expect(checkpoints(world)).toHaveLength(3)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect("that the store refuses is made again in the next cycle, and delays nothing", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        yield* TestClock.setTime(newYear / 1000)
        world.faults.refuses = (key) => key.endsWith(".checkpoint.json.gz")
        yield* append(snapshot(1))
        expect((yield* cycle).failed).toEqual([])
        expect(yield* rowsLeft).toBe(0)
        expect(checkpoints(world)).toEqual([])
        expect(yield* fs.readDirectory(world.outbox)).toEqual([])
        // left by a process that was killed
        yield* fs.writeFileString(`${world.outbox}/${"0".repeat(24)}.checkpoint.json.gz`, "")
        world.faults.refuses = () => false
        yield* append(snapshot(2))
        expect((yield* cycle).failed).toEqual([])
        expect(checkpoints(world)).toHaveLength(1)
        expect(yield* fs.readDirectory(world.outbox)).toEqual([])
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )
})
