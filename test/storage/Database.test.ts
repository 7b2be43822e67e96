import { spawn } from "node:child_process"
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer } from "effect"
import * as Database from "../../src/storage/Database.ts"
import { SnapshotRepo } from "../../src/storage/SnapshotRepo.ts"
import { transaction } from "../../src/storage/transaction.ts"
import { batchOf, book, range, snapshot } from "../support/snapshots.ts"
import { storageOn, temporaryFolder } from "../support/storage.ts"
import { openDatabase } from "../support/stored.ts"

const withFile = <A, E>(
  test: (path: string) => Effect.Effect<A, E, FileSystem.FileSystem>
): Effect.Effect<A, unknown> =>
  temporaryFolder.pipe(
    Effect.flatMap((folder) => test(`${folder}/sub/collector.db`)),
    Effect.scoped,
    Effect.provide(NodeContext.layer)
  )

const open = (path: string) =>
  Effect.scoped(Layer.build(Database.layer(path).pipe(Layer.provide(NodeContext.layer))))

/** Holds an exclusive lock on the database from another process until the effect ends. */
const lockedWhile = <A, E>(path: string, effect: Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.async<ReturnType<typeof spawn>>((resume) => {
      const child = spawn(process.execPath, [
        "-e",
        `const db = require("better-sqlite3")(${JSON.stringify(path)});
         db.exec("BEGIN IMMEDIATE"); process.stdout.write("locked"); setInterval(() => {}, 1000)`
      ])
      child.stdout.once("data", () => resume(Effect.succeed(child)))
    }),
    () => effect,
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("Database", () => {
  it.live("creates a durable database, with its folder", () =>
    withFile((path) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        expect(yield* sql`PRAGMA journal_mode`).toEqual([{ journal_mode: "wal" }])
        expect(yield* sql`PRAGMA synchronous`).toEqual([{ synchronous: 2 }])
      }).pipe(Effect.provide(storageOn(path)))
    )
  )

  it.live("refuses a file that is not a database, and leaves it unchanged", () =>
    withFile((path) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        yield* fs.makeDirectory(path.replace(/\/[^/]*$/, ""), { recursive: true })
        yield* fs.writeFileString(path, "dear diary, today I recorded nothing")
        const error = yield* Effect.flip(open(path))
        expect(error.message).toBe(`DATABASE_PATH=${path}: is not an SQLite database, and is left as it is`)
        expect(yield* fs.readFileString(path)).toBe("dear diary, today I recorded nothing")
      })
    )
  )

  it.live("refuses a folder, and a damaged database", () =>
    withFile((path) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        yield* fs.makeDirectory(path, { recursive: true })
        expect((yield* Effect.flip(open(path))).message).toContain("is not a file")
        const damaged = `${path}2`
        yield* fs.writeFileString(damaged, `SQLite format 3\0${"x".repeat(5000)}`)
        expect((yield* Effect.flip(open(damaged))).message).toContain("SQLITE_NOTADB")
      })
    )
  )

  it.live("refuses a database of a newer version", () =>
    withFile((path) =>
      Effect.gen(function* () {
        yield* Effect.flatMap(
          SqlClient.SqlClient,
          (sql) => sql`INSERT INTO schema_migrations (migration_id, name) VALUES (999, 'future')`
        ).pipe(Effect.provide(storageOn(path)))
        const error = yield* Effect.flip(open(path))
        expect(error.message).toContain("was made by a newer version (schema 999")
      })
    )
  )

  it.live("reports a lock of another process as an error, and works again when it is gone", () =>
    withFile((path) =>
      Effect.gen(function* () {
        const repo = yield* SnapshotRepo
        yield* repo.append(batchOf([snapshot(1)]))
        const error = yield* lockedWhile(path, Effect.flip(repo.append(batchOf([snapshot(2)]))))
        expect(error.code).toBe("SQLITE_BUSY")
        yield* Effect.sleep("100 millis")
        expect(yield* repo.append(batchOf([snapshot(2)]))).toMatchObject({ inserted: 1 })
      }).pipe(Effect.provide(storageOn(path)))
    )
  )

  it.live("leaves its thread free while it waits for another process's lock", () =>
    withFile((path) =>
      Effect.gen(function* () {
        const repo = yield* SnapshotRepo
        yield* repo.append(batchOf([snapshot(1)]))
        let turns = 0
        const turn = Effect.delay(
          Effect.sync(() => {
            turns++
          }),
          "10 millis"
        )
        const error = yield* lockedWhile(
          path,
          Effect.raceFirst(Effect.flip(repo.append(batchOf([snapshot(2)]))), Effect.forever(turn))
        )
        expect(error.code).toBe("SQLITE_BUSY")
        expect(turns).toBeGreaterThan(2)
      }).pipe(Effect.provide(storageOn(path)))
    )
  )

  it.live("restores what a process was about to put back when it ended, if nothing else is there", () =>
    withFile((path) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const lastId = Effect.flatMap(SnapshotRepo, (repo) => repo.lastId)
        yield* Effect.flatMap(SnapshotRepo, (repo) => repo.append(batchOf([snapshot(1)]))).pipe(
          Effect.provide(storageOn(path))
        )
        yield* fs.rename(path, `${path}.restored`)
        yield* fs.writeFileString(`${path}-wal`, "of the one that was removed")
        expect(yield* Effect.provide(lastId, storageOn(path))).toBe(1)
        yield* fs.writeFileString(`${path}.restored`, "not needed")
        expect(yield* Effect.provide(lastId, storageOn(path))).toBe(1)
      })
    )
  )

  it.live(
    "takes the write lock at a transaction's first statement, so that what it read still holds when it writes",
    () =>
      withFile((path) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const other = yield* openDatabase(path, "write")
          yield* other`PRAGMA busy_timeout = 0`
          const write = (client: SqlClient.SqlClient) =>
            client`INSERT INTO archive_requests (report) VALUES ('x')`
          const inBetween = yield* transaction(sql)(
            Effect.gen(function* () {
              yield* sql`SELECT count(*) FROM archive_requests`
              const theirs = yield* Effect.exit(write(other)).pipe(
                // Or it would be a statement of this transaction.
                Effect.mapInputContext((context: Context.Context<never>) =>
                  Context.omit(SqlClient.TransactionConnection)(context)
                )
              )
              yield* write(sql)
              return theirs
            })
          )
          expect(Exit.isFailure(inBetween)).toBe(true)
          // nested ones are parts of the first
          yield* transaction(sql)(
            Effect.zipRight(
              write(sql),
              Effect.exit(transaction(sql)(Effect.zipRight(write(sql), Effect.fail("no"))))
            )
          )
          yield* write(other)
          expect(yield* sql`SELECT count(*) AS n FROM archive_requests`).toEqual([{ n: 3 }])
        }).pipe(Effect.scoped, Effect.provide(storageOn(path)))
      )
  )

  it.live(
    "reports a database that can only be read as an error, and works again when it can be written",
    () =>
      withFile((path) =>
        Effect.gen(function* () {
          const repo = yield* SnapshotRepo
          const sql = yield* SqlClient.SqlClient
          yield* sql`PRAGMA query_only = 1`
          const error = yield* Effect.flip(repo.append(batchOf([snapshot(1)])))
          expect(error.message).toBe("SQLITE_READONLY: attempt to write a readonly database")
          yield* sql`PRAGMA query_only = 0`
          expect(yield* repo.append(batchOf([snapshot(1)]))).toMatchObject({ inserted: 1 })
        }).pipe(Effect.provide(storageOn(path)))
      )
  )

  it.live("names damaged pages in its error", () =>
    withFile((path) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const many = batchOf(range(0, 2000).map((n) => snapshot(n, book, { data: Buffer.alloc(300, "x") })))
        yield* Effect.flatMap(SnapshotRepo, (repo) => repo.append(many)).pipe(Effect.provide(storageOn(path)))
        const bytes = yield* fs.readFile(path)
        bytes.fill(0xff, 65_536, bytes.length - 65_536)
        yield* fs.writeFile(path, bytes)
        const error = yield* Effect.flatMap(SnapshotRepo, (repo) =>
          Effect.flip(Effect.zipRight(repo.streams, repo.append(many)))
        ).pipe(
          Effect.provide(storageOn(path)),
          Effect.catchAll((error) => Effect.succeed(error))
        )
        expect("message" in error ? error.message : "").toMatch(
          /SQLITE_CORRUPT.*: database disk image is malformed/
        )
      })
    )
  )
})
