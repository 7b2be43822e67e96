import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Fiber, Layer, Option, Stream, TestClock, TestServices } from "effect"
import { Archiver } from "../../src/archive/Archiver.ts"
import { ArchiveStore, ArchiveStoreError, type LocalObject } from "../../src/archive/ArchiveStore.ts"
import { ParquetError, ParquetWriter } from "../../src/archive/ParquetWriter.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { batchOf, book, newYear, range, snapshot, trade } from "../support/snapshots.ts"
import { storageOn, temporaryFolder } from "../support/storage.ts"

/** A store in memory whose next calls can be made to fail. */
interface Faults {
  /** What the next puts answer, in order; after that they work. */
  readonly puts: Array<"Failed" | "Refused" | "vanish" | "short">
}

interface World {
  readonly folder: string
  readonly faults: Faults
  readonly objects: Map<string, LocalObject>
  readonly puts: Array<{ readonly key: string; readonly at: number }>
}

const storeIn = (world: World) =>
  Layer.effect(
    ArchiveStore,
    Effect.map(Effect.clock, (clock) =>
      ArchiveStore.of({
        put: (object) =>
          Effect.suspend(() => {
            world.puts.push({ key: object.key, at: clock.unsafeCurrentTimeMillis() })
            const fault = world.faults.puts.shift()
            if (fault === "Failed" || fault === "Refused") {
              return new ArchiveStoreError({ operation: "put", key: object.key, kind: fault, reason: "503" })
            }
            if (fault === "short") world.objects.set(object.key, { ...object, size: object.size - 1 })
            else if (fault !== "vanish") world.objects.set(object.key, object)
            return Effect.void
          }),
        head: (key) =>
          Effect.sync(() =>
            Option.map(Option.fromNullable(world.objects.get(key)), (object) => ({
              key,
              size: object.size,
              sha256: Option.some(object.sha256)
            }))
          ),
        get: () => Stream.empty,
        list: () => Stream.empty
      })
    )
  )

/** Writes the sequence ids of the rows, so that a file says what is in it. */
const idWriter = Layer.effect(
  ParquetWriter,
  Effect.map(FileSystem.FileSystem, (fs) =>
    ParquetWriter.of({
      write: ({ pages, path }) =>
        Effect.gen(function* () {
          const ids = Chunk.toReadonlyArray(yield* Stream.runCollect(pages)).flatMap((page) =>
            Array.from(page.columns[3] ?? [], String)
          )
          yield* fs
            .writeFileString(path, ids.join())
            .pipe(Effect.mapError((cause) => new ParquetError({ path, cause })))
          return { rows: ids.length, size: ids.join().length, sha256: yield* sha256Of(ids.join()) }
        })
    })
  )
)

const sha256Of = (text: string) =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
    (digest) => Buffer.from(digest).toString("hex")
  )

const archiverIn = (world: World) =>
  Archiver.layer({
    serverName: "server/1",
    outboxDirectory: world.folder,
    interval: Duration.hours(1)
  }).pipe(
    Layer.provide(storeIn(world)),
    Layer.provide(idWriter),
    Layer.provideMerge(storageOn(`${world.folder}/collector.db`))
  )

const withWorld = <A, E>(test: (world: World) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  temporaryFolder.pipe(
    Effect.flatMap((folder) => test({ folder, faults: { puts: [] }, objects: new Map(), puts: [] })),
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
    Effect.repeat(Effect.sleep("5 millis"), { until: condition }).pipe(
      Effect.timeout("20 seconds"),
      Effect.orDie
    )
  )

const settle = TestServices.provideLive(Effect.sleep("100 millis"))

describe("a cycle", () => {
  it.effect("makes one object for each stream and date, and purges just its rows", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(
          ...range(0, 3).map((n) => snapshot(n)),
          snapshot(7, trade),
          snapshot(8, book, { timestamp: newYear + 86_400_000_000 })
        )
        const report = yield* cycle
        expect(report.failed).toEqual([])
        expect(report.archived.map(({ file, plan }) => [plan.date, plan.stream.dataType, file.rows])).toEqual(
          [
            ["2026-01-01", "orderbook", 3],
            ["2026-01-02", "orderbook", 1],
            ["2026-01-01", "trade", 1]
          ]
        )
        expect(Array.from(world.objects.keys(), (key) => key.replace(/[0-9a-f]{24}/, "ID"))).toEqual([
          "exchange=binance/symbol=btcusdt/data_type=orderbook/date=2026-01-01/server%2F1_20260101T000000000Z_ID.parquet",
          "exchange=binance/symbol=btcusdt/data_type=orderbook/date=2026-01-02/server%2F1_20260102T000000000Z_ID.parquet",
          "exchange=binance/symbol=btcusdt/data_type=trade/date=2026-01-01/server%2F1_20260101T000000007Z_ID.parquet"
        ])
        expect(yield* rowsLeft).toBe(0)
        const fs = yield* FileSystem.FileSystem
        expect((yield* fs.readDirectory(world.folder)).filter((name) => name.endsWith(".parquet"))).toEqual(
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

  it.effect("tries an upload again after 1, 2, 4 and 8 seconds, then leaves it to the next cycle", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(snapshot(1))
        world.faults.puts.push("Failed", "Failed", "Failed", "Failed", "Failed")
        const running = yield* Effect.fork(cycle)
        for (const [attempt, seconds] of [1, 2, 4, 8].entries()) {
          yield* until(() => world.puts.length === attempt + 1)
          yield* settle
          yield* TestClock.adjust(Duration.millis(seconds * 1000 - 1))
          yield* settle
          expect(world.puts).toHaveLength(attempt + 1)
          yield* TestClock.adjust("1 millis")
        }
        yield* until(() => world.puts.length === 5)
        const report = yield* Fiber.join(running)
        expect(report.failed).toHaveLength(1)
        expect(yield* rowsLeft).toBe(1)
        const fs = yield* FileSystem.FileSystem
        expect(
          (yield* fs.readDirectory(world.folder)).filter((name) => name.endsWith(".parquet"))
        ).toHaveLength(1)
        expect((yield* cycle).archived).toHaveLength(1)
        expect(new Set(world.puts.map((put) => put.key)).size).toBe(1)
        expect(yield* rowsLeft).toBe(0)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )

  it.effect(
    "deletes nothing when the object is not there, or has another length; the next cycle puts it again",
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

  it.effect("does not let one archive that is refused stop the others", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* append(snapshot(1), snapshot(1, trade))
        world.faults.puts.push("Refused")
        const report = yield* cycle
        expect([report.archived.length, report.failed.length]).toEqual([1, 1])
        expect(yield* rowsLeft).toBe(1)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )
})

describe("a new process", () => {
  it.effect("goes on with what the last one left, under the same key, and archives newer rows apart", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        yield* Effect.gen(function* () {
          yield* append(...range(0, 10).map((n) => snapshot(n)))
          world.faults.puts.push("Refused")
          yield* cycle
          yield* append(...range(10, 15).map((n) => snapshot(n)))
        }).pipe(Effect.provide(archiverIn(world)))
        const report = yield* cycle.pipe(Effect.provide(archiverIn(world)))
        expect(report.archived.map(({ file }) => file.rows)).toEqual([10, 5])
        expect(new Set(world.puts.map((put) => put.key)).size).toBe(2)
      })
    )
  )

  it.effect("writes a local file again that is gone or damaged", () =>
    withWorld((world) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        for (const damage of ["remove", "overwrite"] as const) {
          yield* Effect.gen(function* () {
            yield* append(snapshot(1000 + world.puts.length))
            world.faults.puts.push("Refused")
            yield* cycle
          }).pipe(Effect.provide(archiverIn(world)))
          const name = (yield* fs.readDirectory(world.folder)).find((file) => file.endsWith(".parquet")) ?? ""
          yield* damage === "remove"
            ? fs.remove(`${world.folder}/${name}`)
            : fs.writeFileString(`${world.folder}/${name}`, "x")
          const report = yield* cycle.pipe(Effect.provide(archiverIn(world)))
          expect(report.archived).toHaveLength(1)
        }
      })
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
        yield* settle
        yield* append(snapshot(2))
        yield* TestClock.adjust("59 minutes")
        yield* settle
        expect(world.objects.size).toBe(1)
        yield* TestClock.adjust("1 minutes")
        yield* until(() => world.objects.size === 2)
        yield* settle
        world.faults.puts.push("Refused")
        yield* append(snapshot(3))
        yield* TestClock.adjust("1 hours")
        yield* until(() => world.puts.length === 3)
        yield* settle
        yield* TestClock.adjust("1 hours")
        yield* until(() => world.objects.size === 3)
        yield* Fiber.interrupt(running)
      }).pipe(Effect.provide(archiverIn(world)))
    )
  )
})
