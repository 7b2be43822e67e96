import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, TestClock, TestServices } from "effect"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { StorageFaults } from "../../src/storage/StorageFaults.ts"
import { watchWal } from "../../src/storage/WalWatch.ts"
import { eventually } from "../support/process.ts"
import { batchOf, book, range, snapshot } from "../support/snapshots.ts"
import { storageOn, temporaryFolder } from "../support/storage.ts"
import { openDatabase } from "../support/stored.ts"

const limit = 2_000_000

const inFolder = <A, E>(test: (path: string) => Effect.Effect<A, E>) =>
  temporaryFolder.pipe(
    Effect.flatMap((folder) => test(`${folder}/collector.db`)),
    Effect.scoped,
    Effect.provide(NodeContext.layer)
  )

/** 4 MB. */
const fill = Effect.flatMap(SnapshotRepo, (repo) =>
  repo.append(batchOf(range(0, 4000).map((n) => snapshot(n, book, { data: Buffer.alloc(1000, "x") }))))
)

describe("the write-ahead log", () => {
  it.live("is reported while another reader keeps it large", () =>
    inFolder((path) =>
      Effect.gen(function* () {
        const faults = yield* StorageFaults
        const reader = yield* openDatabase(path, "read")
        yield* reader`BEGIN`
        yield* reader`SELECT count(*) FROM snapshots`
        yield* fill
        yield* Effect.forkScoped(watchWal({ databasePath: path, limit, patience: Duration.zero }))
        yield* eventually(
          "a fault",
          Effect.map(faults.all, (all) => all.length > 0)
        )
        expect(yield* faults.all).toMatchObject([
          {
            severity: "degraded",
            reason: expect.stringMatching(/^the write-ahead log has \d+ MiB, another program/)
          }
        ])
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(storageOn(path), StorageFaults.layer)))
    )
  )

  it.effect("is not reported while it can be emptied", () =>
    inFolder((path) =>
      Effect.gen(function* () {
        const faults = yield* StorageFaults
        yield* fill
        yield* Effect.forkScoped(watchWal({ databasePath: path, limit }))
        for (let seconds = 0; seconds < 120; seconds += 5) {
          yield* TestClock.adjust("5 seconds")
          yield* TestServices.provideLive(Effect.sleep("5 millis"))
        }
        expect(yield* faults.all).toEqual([])
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(storageOn(path), StorageFaults.layer)))
    )
  )
})
