import { existsSync } from "node:fs"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Logger, LogLevel, Schedule } from "effect"
import type { StorageSettings } from "../../src/domain/StorageSettings.ts"
import { Batcher } from "../../src/ingest/Batcher.ts"
import { EventRecorder } from "../../src/ingest/EventRecorder.ts"
import { SnapshotQueue } from "../../src/ingest/SnapshotQueue.ts"
import { Storage } from "../../src/storage/Storage.ts"
import * as StorageThread from "../../src/thread/StorageThread.ts"
import * as StorageServices from "../../src/thread/storing.ts"
import { pace } from "../support/pace.ts"
import { eventually } from "../support/process.ts"
import { batchOf, range, snapshot } from "../support/snapshots.ts"
import { temporaryFolder } from "../support/storage.ts"
import { archivedRows, countRows } from "../support/stored.ts"

/** The built entry of the thread: Node runs no TypeScript there. */
const entry = new URL("../../dist/storageThread.js", import.meta.url)

const settingsIn = (folder: string, more: Partial<StorageSettings> = {}): StorageSettings => ({
  databasePath: `${folder}/collector.db`,
  outboxDirectory: `${folder}/outbox`,
  serverName: "test",
  archiveInterval: Duration.hours(1),
  archiveStore: { _tag: "File", directory: `${folder}/archive` },
  logDirectives: { level: LogLevel.None, modules: new Map() },
  logDirectory: `${folder}/logs`,
  ...more
})

const inFolder = <A, E>(test: (folder: string) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  temporaryFolder.pipe(
    Effect.flatMap(test),
    Effect.scoped,
    Effect.provide(NodeContext.layer),
    Logger.withMinimumLogLevel(LogLevel.None)
  )

const batch = (from: number, to: number) => batchOf(range(from, to).map((n) => snapshot(n)))

/** A thread that ends, with the code 3, at the first batch it is given after it has committed it. */
const diesOnAppend = (folder: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => {
    const file = `${folder}/dying.mjs`
    return Effect.as(
      fs.writeFileString(
        file,
        `import { existsSync, writeFileSync } from "node:fs"
         import { parentPort } from "node:worker_threads"
         if (!existsSync(${JSON.stringify(`${folder}/died`)})) {
           parentPort.on("message", (message) => {
             if (JSON.stringify(message[1]?.[2]?._tag) !== '"Append"') return
             writeFileSync(${JSON.stringify(`${folder}/died`)}, "")
             setTimeout(() => process.exit(3), 100)
           })
         }
         await import(${JSON.stringify(entry.href)})`
      ),
      new URL(`file://${file}`)
    )
  })

/** Waits until it is open. */
const threadOf = (settings: StorageSettings, entry: URL) =>
  Layer.unwrapEffect(
    Effect.map(StorageThread.begin(settings), (begun) => StorageThread.layer(begun, entry))
  ).pipe(Layer.tap((services) => Context.get(services, StorageThread.StorageLife).opened))

const kinds: ReadonlyArray<[string, (settings: StorageSettings) => Layer.Layer<Storage, unknown>]> = [
  [
    "the calling thread",
    (settings) =>
      Layer.provide(
        StorageServices.layer(settings, { name: "test", startedAt: Date.now() * 1000 }, Effect.never),
        NodeContext.layer
      )
  ],
  ["a thread of its own", (settings) => threadOf(settings, entry)]
]

describe.skipIf(!existsSync(entry))("Storage (needs the built program)", () => {
  describe.each(kinds)("on %s", (_, layerOf) => {
    it.live("commits batches, counts duplicates, and archives", () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const storage = yield* Storage
          const first = batch(0, 5000)
          expect(yield* storage.append(first)).toEqual({ inserted: 5000, duplicates: 0, rejected: 0 })
          expect(yield* storage.append(first)).toEqual({
            inserted: 0,
            duplicates: 5000,
            rejected: 0,
            exceptions: [{ stream: 0, duplicates: 5000, rejected: 0 }]
          })
          expect(yield* storage.append(batch(4999, 5001))).toMatchObject({ inserted: 1, duplicates: 1 })
          yield* storage.runCycle
          expect(yield* storage.archiverCounts).toMatchObject({ rows: 5001, pending: 0 })
        }).pipe(Effect.provide(layerOf(settingsIn(folder))))
      )
    )

    it.live("fails to start with the reason", () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          yield* fs.writeFileString(`${folder}/collector.db`, "no database at all")
          const error = yield* Effect.flip(Effect.scoped(Layer.build(layerOf(settingsIn(folder)))))
          expect(error).toMatchObject({ _tag: "DatabaseUnusable", path: `${folder}/collector.db` })
        })
      )
    )
  })

  it.live("restarts after its thread died, and accepts the batch again", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const dying = yield* diesOnAppend(folder)
        yield* Effect.gen(function* () {
          const storage = yield* Storage
          const first = batch(0, 100)
          yield* Effect.exit(storage.append(first))
          yield* Effect.sleep("200 millis")
          const again = yield* Effect.retry(storage.append(first), Schedule.spaced("100 millis"))
          expect(again.inserted + again.duplicates).toBe(100)
          yield* storage.runCycle
          expect(yield* archivedRows(`${folder}/archive`)).toHaveLength(100)
        }).pipe(Effect.provide(threadOf(settingsIn(folder), dying)))
      })
    )
  )

  it.live("loses nothing if the thread dies, with a queue of two seconds and an interval of five", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const dying = yield* diesOnAppend(folder)
        const perSecond = 500
        const ingest = Batcher.layer({ interval: Duration.seconds(5) }).pipe(
          Layer.provide(EventRecorder.layer({ heard: Effect.succeed({}) })),
          Layer.provideMerge(
            Layer.merge(
              SnapshotQueue.layer({ capacity: Math.ceil(2 * perSecond * pace) }),
              threadOf(settingsIn(folder), dying)
            )
          )
        )
        const counts = yield* Effect.gen(function* () {
          const queue = yield* SnapshotQueue
          const batcher = yield* Batcher
          let n = 0
          const offering = yield* Effect.sync(() => {
            for (let i = 0; i < perSecond / 50; i++) queue.unsafeOffer(snapshot(n++))
          }).pipe(Effect.schedule(Schedule.spaced("20 millis")), Effect.fork)
          const done = Effect.map(batcher.counts, ({ committed, duplicates }) => committed + duplicates)
          yield* eventually(
            "the commit after the death",
            Effect.map(done, (rows) => rows > 0)
          )
          yield* Fiber.interrupt(offering)
          yield* eventually(
            "all to be committed",
            Effect.map(done, (rows) => rows === n)
          )
          return { offered: n, ...(yield* queue.counts) }
        }).pipe(Effect.provide(ingest))
        expect(existsSync(`${folder}/died`)).toBe(true)
        expect(counts).toMatchObject({ received: counts.offered, dropped: 0, unreleased: 0 })
        const archived = (yield* archivedRows(`${folder}/archive`)).length
        expect(archived + (yield* countRows(`${folder}/collector.db`))).toBe(counts.offered)
      })
    )
  )

  it.live("gives up when the thread dies five times within a minute", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        yield* fs.writeFileString(`${folder}/dead.mjs`, "process.exit(7)")
        const entry = new URL(`file://${folder}/dead.mjs`)
        const error = yield* Effect.flip(Effect.scoped(Layer.build(threadOf(settingsIn(folder), entry))))
        expect(error.message).toContain("died 5 times within a minute")
      })
    )
  )
})
