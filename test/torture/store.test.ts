import { createHash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Console, Context, Duration, Effect, Layer, Logger, LogLevel, Schedule, Stream } from "effect"
import { Archiver } from "../../src/archive/Archiver.ts"
import { ArchiveStore } from "../../src/archive/ArchiveStore.ts"
import { download } from "../../src/archive/download.ts"
import * as HyparquetReader from "../../src/archive/HyparquetReader.ts"
import * as HyparquetWriter from "../../src/archive/HyparquetWriter.ts"
import { ParquetReader } from "../../src/archive/ParquetReader.ts"
import * as S3ArchiveStore from "../../src/archive/S3ArchiveStore.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { freshBucket, s3Settings } from "../support/s3.ts"
import { s3Server, s3ServerName } from "../support/s3Bucket.ts"
import { batchOf, book, range, snapshot, trade } from "../support/snapshots.ts"
import { storageOn, temporaryFolder } from "../support/storage.ts"
import { query } from "../support/stored.ts"
import { faults, makeFaultProxy } from "./faultProxy.ts"

const timeouts = { connect: "1 second", idle: "1 second", request: "1 second" } as const

const rowsPerFault = 300

describe(`a store that fails (${s3ServerName})`, () => {
  it.scopedLive(
    "costs only time: nothing is deleted before it is safe, and everything is archived afterwards",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const server = yield* s3Server
        const bucket = freshBucket("torture")
        const direct = Layer.build(S3ArchiveStore.layer(s3Settings(server, bucket)))
        const store = Context.get(yield* direct, ArchiveStore)
        const abandoned = new Set<string>()
        const proxy = yield* makeFaultProxy(server.endpoint, (key, bytes) => {
          abandoned.add(key)
          const path = `${folder}/short`
          writeFileSync(path, bytes)
          const sha256 = createHash("sha256").update(bytes).digest("hex")
          return Effect.runPromise(store.put({ key, path, size: bytes.length, sha256 }))
        })
        const settings = s3Settings({ ...server, endpoint: proxy.endpoint }, bucket)
        const database = `${folder}/collector.db`
        const services = Archiver.layer({
          serverName: "torture",
          outboxDirectory: `${folder}/outbox`,
          interval: Duration.hours(1),
          retries: Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(1))
        }).pipe(
          Layer.provide(HyparquetWriter.layer()),
          Layer.provideMerge(S3ArchiveStore.layer(settings, timeouts)),
          Layer.provideMerge(storageOn(database)),
          Layer.provideMerge(HyparquetReader.layer),
          Layer.provideMerge(Logger.minimumLogLevel(LogLevel.None))
        )
        yield* Effect.gen(function* () {
          const archiver = yield* Archiver
          const repo = yield* SnapshotRepo
          for (const [n, fault] of faults.entries()) {
            const from = n * rowsPerFault
            yield* repo.append(
              batchOf(range(from, from + rowsPerFault).map((id) => snapshot(id, id % 3 === 0 ? trade : book)))
            )
            yield* proxy.set(fault)
            const during = yield* archiver.runCycle
            // an answer that is lost is no loss: the next attempt finds the object
            const isSeenThrough = fault === "answer lost"
            expect(during.failed.length > 0, fault).toBe(!isSeenThrough)
            expect(yield* rowsIn(database), fault).toBe(isSeenThrough ? 0 : rowsPerFault)
            yield* proxy.set(undefined)
            const after = yield* archiver.runCycle
            expect(after.failed, fault).toEqual([])
            // another object lies under the key of each stream: the rows are in a second one
            if (fault === "wrong length") {
              expect(during.failed.map(({ what }) => what)).toEqual(
                expect.arrayContaining(Array.from(abandoned))
              )
            }
            expect(yield* rowsIn(database), fault).toBe(0)
          }
          expect(abandoned.size).toBe(2)
          const ids = yield* archivedIds(folder, abandoned)
          expect(ids.length).toBe(faults.length * rowsPerFault)
          expect(new Set(ids).size).toBe(ids.length)
        }).pipe(Effect.provide(services))
        yield* Console.log(`survived ${faults.length} faults of the store: ${faults.join(", ")}`)
      }).pipe(Effect.provide(NodeContext.layer))
  )
})

const rowsIn = (database: string) =>
  Effect.map(query<{ n: number }>(database, "SELECT count(*) AS n FROM snapshots"), ([row]) => row?.n)

/** The ids of all messages in the store, as they are in its objects. */
const archivedIds = (folder: string, abandoned: ReadonlySet<string>) =>
  Effect.gen(function* () {
    const store = yield* ArchiveStore
    const reader = yield* ParquetReader
    const fs = yield* FileSystem.FileSystem
    const ids: Array<string> = []
    yield* Stream.runForEach(
      Stream.filter(store.list("exchange="), ({ key }) => !abandoned.has(key)),
      ({ key }) =>
        Effect.gen(function* () {
          yield* download(key, `${folder}/object`)
          yield* Stream.runForEach(
            reader.pages(`${folder}/object`, { columns: ["exchange_sequence_id"] }),
            (page) => Effect.sync(() => ids.push(...(page.columns[0] ?? []).map(String)))
          )
          yield* fs.remove(`${folder}/object`)
        })
    )
    return ids
  })
