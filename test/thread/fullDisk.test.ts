import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { renameSync, statfsSync } from "node:fs"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, LogLevel, type Scope } from "effect"
import { Storage } from "../../src/storage/Storage.ts"
import * as StorageServices from "../../src/thread/storing.ts"
import { makeFolder } from "../support/process.ts"
import { batchOf, book, range, snapshot } from "../support/snapshots.ts"
import { archivedRows, countRows } from "../support/stored.ts"

/** A file system of its own of this size, in memory. */
const fileSystem = (size: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.flatMap(makeFolder, (folder) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder])
        return folder
      }),
      () => Effect.sync(() => execFileSync("umount", [folder]))
    )
  )

const mayMount = (): boolean => {
  try {
    return Effect.runSync(Effect.as(Effect.scoped(fileSystem("1m")), true))
  } catch {
    return false
  }
}

/** Rows of a kB that cannot be compressed much. */
const batch = (n: number) =>
  batchOf(
    range(n * 500, n * 500 + 500).map((i) =>
      snapshot(i, book, { data: Buffer.from(randomBytes(500).toString("hex")) })
    )
  )

describe.skipIf(!mayMount())(
  "a disk that filled up while the store was down (needs permission to mount)",
  () => {
    it.scopedLive("is emptied once the store is back, and loses nothing that was committed", () =>
      Effect.gen(function* () {
        const disk = yield* fileSystem("64m")
        const store = yield* makeFolder
        const archive = `${store}/archive`
        const storage = StorageServices.layer(
          {
            databasePath: `${disk}/collector.db`,
            outboxDirectory: `${disk}/outbox`,
            serverName: "test",
            archiveInterval: Duration.hours(1),
            archiveStore: { _tag: "File", directory: archive },
            logDirectives: { level: LogLevel.None, modules: new Map() },
            logDirectory: `${disk}/logs`
          },
          { name: "test", startedAt: Date.now() * 1000 },
          Effect.never
        ).pipe(Layer.provide(NodeContext.layer))
        yield* Effect.gen(function* () {
          const { append, runCycle } = yield* Storage
          let n = 0
          const fill = Effect.gen(function* () {
            const from = n
            while (n < 1000) {
              const result = yield* Effect.either(append(batch(n)))
              if (result._tag === "Left") {
                expect(result.left.message).toMatch(
                  /the database's disk has \d+ MiB left, reserved for archiving/
                )
                break
              }
              n++
            }
            return n - from
          })
          // another folder is in its place: as below the mount point of a disk that is gone
          renameSync(archive, `${archive}.away`)
          expect(yield* fill).toBeGreaterThan(20)
          for (let cycle = 0; cycle < 3; cycle++) {
            expect((yield* runCycle).archived).toEqual([])
            yield* fill
          }
          const { bavail, bsize } = statfsSync(disk)
          expect(bavail * bsize).toBeGreaterThan(0)

          renameSync(`${archive}.away`, archive)
          const outcome = yield* runCycle
          expect(outcome.failed).toEqual([])
          expect(yield* countRows(`${disk}/collector.db`)).toBe(0)
          const rows = yield* archivedRows(archive)
          expect(new Set(rows.map(({ id }) => id)).size).toBe(n * 500)
          expect(rows).toHaveLength(n * 500)
          // and it goes on
          expect(yield* fill).toBeGreaterThan(10)
        }).pipe(Effect.provide(storage))
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
    )
  }
)
