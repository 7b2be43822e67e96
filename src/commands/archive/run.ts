import * as Reactivity from "@effect/experimental/Reactivity"
import { FileSystem, type Path } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Console, Data, Effect, Exit, Layer, Option, Scope } from "effect"
import { Archiver } from "../../archive/Archiver.ts"
import { withoutSdkWarning } from "../../archive/s3/sdkWarning.ts"
import { loadSettings } from "../../Config.ts"
import { DatabaseUnusable, type StartupError } from "../../domain/StartupError.ts"
import type { CycleOutcome } from "../../domain/StorageAnswers.ts"
import type { StorageSettings } from "../../domain/StorageSettings.ts"
import { exchanges } from "../../exchange/registry.ts"
import { requestCycle, takeAnswer, withdraw } from "../../storage/ArchiveRequests.ts"
import * as Database from "../../storage/Database.ts"
import { DatabaseError } from "../../storage/DatabaseError.ts"
import * as DatabaseLock from "../../storage/DatabaseLock.ts"
import { EventJournal } from "../../storage/EventJournal.ts"
import { SnapshotRepo } from "../../storage/SnapshotRepo.ts"
import { archiver, archiveTarget } from "../../thread/storing.ts"
import { logsToStderr } from "../options.ts"

/** Not everything could be archived. */
export class ArchivesFailed extends Data.TaggedError("ArchivesFailed")<{ readonly failed: number }> {
  override get message() {
    return `not all was archived, what failed is kept and tried again: ${this.failed} ${this.failed === 1 ? "failure" : "failures"}`
  }
}

export const run = () =>
  Effect.gen(function* () {
    yield* withoutSdkWarning
    const settings = yield* loadSettings(exchanges)
    const path = settings.databasePath
    const fs = yield* FileSystem.FileSystem
    if (!(yield* Effect.orDie(fs.exists(path)))) {
      return yield* new DatabaseUnusable({
        path,
        reason: "there is no database yet, and so nothing to archive"
      })
    }
    const outcome = yield* cycleOf(settings)
    for (const { file, plan } of outcome.archived) {
      yield* Console.log(`archived ${plan.key}: ${file.rows} rows, ${file.size} bytes`)
    }
    for (const { reason, what } of outcome.failed) yield* Console.log(`failed   ${what}: ${reason}`)
    const rows = outcome.archived.reduce((sum, { file }) => sum + file.rows, 0)
    yield* Console.log(
      outcome.archived.length + outcome.failed.length === 0
        ? "There was nothing to archive."
        : `${outcome.archived.length} archives with ${rows} rows, ${outcome.failed.length} failed.`
    )
    if (outcome.failed.length > 0) return yield* new ArchivesFailed({ failed: outcome.failed.length })
  })

/** Runs a cycle under the database's lock. If another process has the lock, asks that process to run one. */
const cycleOf = (
  settings: StorageSettings
): Effect.Effect<CycleOutcome, StartupError, FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(tryLock(settings.databasePath), (lock) =>
    Option.isSome(lock) ? Effect.ensuring(ownCycle(settings), lock.value) : othersCycle(settings)
  )

/** Takes the lock; the returned effect releases it. None if another process has it. */
const tryLock = (path: string) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    return yield* DatabaseLock.lock(path).pipe(
      Scope.extend(scope),
      Effect.as(Option.some(Scope.close(scope, Exit.void))),
      Effect.onError(() => Scope.close(scope, Exit.void)),
      Effect.catchTag("ResourceUnavailable", () => Effect.succeedNone)
    )
  })

const ownCycle = (settings: StorageSettings) =>
  Effect.flatMap(Archiver, (archiver) => archiver.runCycle).pipe(
    Effect.provide(
      archiver(settings).pipe(
        Layer.provide(archiveTarget(settings)),
        Layer.provide(SnapshotRepo.layer),
        Layer.provide(EventJournal.layer),
        Layer.provide(Database.layer(settings.databasePath)),
        Layer.provideMerge(logsToStderr)
      )
    ),
    Effect.catchTag("DatabaseError", (error) =>
      Effect.fail(new DatabaseUnusable({ path: settings.databasePath, reason: error.message }))
    )
  )

/** Waits for the answer of the process that has the lock, or for the end of that process. */
const othersCycle = (
  settings: StorageSettings
): Effect.Effect<CycleOutcome, StartupError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    yield* Console.log("The collector is running, and is asked to archive now.")
    const sql = yield* SqliteClient.make({ filename: settings.databasePath, disableWAL: true })
    yield* Effect.mapError(sql`PRAGMA busy_timeout = 10000`, DatabaseError.from)
    const wait = Effect.gen(function* () {
      const id = yield* requestCycle
      for (let attempt = 1; ; attempt++) {
        const answer = yield* takeAnswer(id)
        if (Option.isSome(answer)) return answer
        yield* Effect.sleep("200 millis")
        if (attempt % 10 !== 0) continue
        const lock = yield* tryLock(settings.databasePath)
        if (Option.isSome(lock)) {
          yield* lock.value
          yield* withdraw(id)
          return Option.none<CycleOutcome>()
        }
      }
    }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
    return yield* wait
  }).pipe(
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.catchTag("DatabaseError", (error) =>
      Effect.fail(new DatabaseUnusable({ path: settings.databasePath, reason: error.message }))
    ),
    Effect.flatMap(
      Option.match({ onNone: () => cycleOf(settings), onSome: (outcome) => Effect.succeed(outcome) })
    )
  )
