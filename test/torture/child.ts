import { appendFileSync, existsSync, readFileSync } from "node:fs"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Duration, Effect, Layer, Logger, LogLevel, Schedule, Stream } from "effect"
import { Archiver } from "../../src/archive/Archiver.ts"
import { ArchiveStore, ArchiveStoreError } from "../../src/archive/ArchiveStore.ts"
import * as FileArchiveStore from "../../src/archive/FileArchiveStore.ts"
import * as HyparquetWriter from "../../src/archive/HyparquetWriter.ts"
import { ParquetWriter } from "../../src/archive/ParquetWriter.ts"
import type { JournalEvent } from "../../src/domain/JournalEvent.ts"
import type { Snapshot } from "../../src/domain/Snapshot.ts"
import { SnapshotQueue } from "../../src/ingest/SnapshotQueue.ts"
import * as Database from "../../src/storage/Database.ts"
import * as DatabaseLock from "../../src/storage/DatabaseLock.ts"
import { EventJournal } from "../../src/storage/EventJournal.ts"
import * as ProcessLife from "../../src/storage/ProcessLife.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { message } from "./messages.ts"

/**
 * A collector without sockets that makes 2,000 messages a second and archives every 2 s, and kills itself with SIGKILL at
 * a step that its environment names. Whatever it has handed to storage it notes in `sent`, what storage took in `taken`.
 */
const folder = process.env.TORTURE_FOLDER ?? ""
/** The step, as `before ArchiveWritten`; none: it is killed from outside. */
const killAt = process.env.TORTURE_KILL_AT ?? ""
/** Makes no messages, and ends when all is archived. */
const isDraining = process.env.TORTURE_DRAIN === "1"
const store = process.env.TORTURE_STORE ?? "healthy"

const step = (name: string) =>
  Effect.sync(() => {
    if (name === killAt) process.kill(process.pid, "SIGKILL")
  })

const around = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
  step(`before ${name}`).pipe(Effect.zipRight(effect), Effect.zipLeft(step(`after ${name}`)))

const journal = Layer.effect(
  EventJournal,
  Effect.map(EventJournal, (real) => {
    const aroundAll = <A, E, R>(events: ReadonlyArray<JournalEvent>, effect: Effect.Effect<A, E, R>) =>
      events.reduceRight((inner, event) => around(event._tag, inner), effect)
    return EventJournal.of({
      ...real,
      append: (...events) => aroundAll(events, real.append(...events)),
      appendAll: (events) => aroundAll(events, real.appendAll(events)),
      appendOf: (stream, ...events) => aroundAll(events, real.appendOf(stream, ...events))
    })
  })
).pipe(Layer.provide(EventJournal.layer))

const repo = Layer.effect(
  SnapshotRepo,
  Effect.map(SnapshotRepo, (real) =>
    SnapshotRepo.of({
      ...real,
      append: (batch) => around("append", real.append(batch)),
      purge: (plan, expected, note) => around("purge", real.purge(plan, expected, note))
    })
  )
).pipe(Layer.provide(SnapshotRepo.layer))

const writer = Layer.effect(
  ParquetWriter,
  Effect.map(ParquetWriter, (real) =>
    ParquetWriter.of({
      write: (options) =>
        around("write", real.write({ ...options, pages: Stream.tap(options.pages, () => step("a page")) }))
    })
  )
).pipe(Layer.provide(HyparquetWriter.layer()))

let puts = 0

const archiveStore = Layer.effect(
  ArchiveStore,
  Effect.map(ArchiveStore, (real) =>
    ArchiveStore.of({
      ...real,
      put: (object) =>
        around(
          "put",
          Effect.suspend(() => {
            puts++
            const failure = new ArchiveStoreError({
              operation: "put",
              key: object.key,
              kind: puts % 2 === 0 ? "Failed" : "Refused",
              reason: "503"
            })
            if (store === "slow") return Effect.delay(real.put(object), "300 millis")
            if (store !== "failing" || puts % 3 === 0) return real.put(object)
            // an answer that is lost: the object is there all the same
            return puts % 3 === 1 ? Effect.zipRight(real.put(object), failure) : failure
          })
        ),
      head: (key) => around("head", real.head(key))
    })
  )
).pipe(Layer.provide(FileArchiveStore.layer({ directory: `${folder}/archive` })))

const services = Archiver.layer({
  serverName: "torture",
  outboxDirectory: `${folder}/outbox`,
  interval: Duration.seconds(2),
  maxRowsPerArchive: 1500,
  journal: { millis: 5000, entries: 200 }
}).pipe(
  Layer.provide(writer),
  Layer.provide(archiveStore),
  Layer.provideMerge(repo),
  Layer.provideMerge(
    ProcessLife.layer({
      process: { name: String(process.pid), startedAt: Date.now() * 1000 },
      server: "torture"
    })
  ),
  Layer.provideMerge(journal),
  Layer.provideMerge(Database.layer(`${folder}/collector.db`)),
  Layer.provide(DatabaseLock.layer(`${folder}/collector.db`))
)

/** The number in the last whole line of a file. */
const lastLine = (file: string): number => {
  if (!existsSync(file)) return 0
  const lines = readFileSync(file, "utf8").split("\n")
  return Number(lines.at(-2) ?? 0)
}

const perTick = 100

const ingest = Effect.gen(function* () {
  const { append } = yield* SnapshotRepo
  const sent = lastLine(`${folder}/sent`)
  // As an exchange does after a reconnect: some of the last messages come again, archived or not, and those that were lost.
  let next = Math.max(0, lastLine(`${folder}/taken`) - 500)
  const commit = Effect.gen(function* () {
    const to = next < sent ? sent : next + perTick
    const batch = yield* batchOf(next, to)
    appendFileSync(`${folder}/sent`, `${Math.max(sent, to)}\n`)
    yield* append(batch)
    appendFileSync(`${folder}/taken`, `${to}\n`)
    next = to
  })
  yield* Effect.repeat(commit, Schedule.spaced("50 millis"))
})

const batchOf = (from: number, to: number) =>
  Effect.gen(function* () {
    const queue = yield* SnapshotQueue
    const now = Date.now() * 1000
    for (let n = from; n < to; n++) queue.unsafeOffer(snapshotOf(n, now))
    return yield* queue.takeAll
  }).pipe(Effect.provide(SnapshotQueue.layer({ capacity: to - from + 1 })))

const snapshotOf = (n: number, timestamp: number): Snapshot => {
  const { data, id, stream } = message(n)
  return { stream, exchangeSequenceId: id, timestamp, exchangeTimestamp: null, data: Buffer.from(data) }
}

const drain = Effect.gen(function* () {
  const archiver = yield* Archiver
  const { lastId, streams } = yield* SnapshotRepo
  const cycle = Effect.gen(function* () {
    yield* archiver.runCycle
    return (yield* streams).length === 0 && (yield* lastId) === 0
  })
  yield* Effect.repeat(cycle, { until: (isEmpty) => isEmpty, schedule: Schedule.recurs(50) })
})

const main = Effect.gen(function* () {
  if (isDraining) return yield* drain
  const archiver = yield* Archiver
  appendFileSync(`${folder}/starts`, "started\n")
  return yield* Effect.all([ingest, archiver.run], { concurrency: "unbounded", discard: true })
}).pipe(
  Effect.provide(
    services.pipe(
      Layer.provideMerge(NodeContext.layer),
      Layer.provideMerge(Logger.minimumLogLevel(LogLevel.None))
    )
  )
)

NodeRuntime.runMain(main, { disableErrorReporting: false })
