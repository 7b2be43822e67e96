import * as NodeFs from "node:fs/promises"
import { dirname } from "node:path"
import { SqlClient, SqlError } from "@effect/sql"
import { Clock, Context, Effect, Option, Schedule } from "effect"
import { DatabaseRestored } from "../domain/JournalEvent.ts"
import { EventJournal } from "./EventJournal.ts"
import { StorageFaults } from "./StorageFaults.ts"

/** What happened to a file while it was in use. */
export type FileFault = typeof DatabaseRestored.Type.reason

/** The file of the open database: SQLite keeps writing to it after it was removed, without an error. */
export class DatabaseFile extends Context.Tag("collector/DatabaseFile")<
  DatabaseFile,
  {
    readonly path: string
    /** Checks the file at the path and the write-ahead log beside it: a fault if either is not the one that is open. */
    readonly fault: Effect.Effect<Option.Option<FileFault>>
    /**
     * Puts the open database back at its path, whole, and then runs `last`; nothing else is committed before that. A foreign file
     * at the path is moved aside. A failure leaves the open database as it is, and the call can be retried.
     */
    readonly putBack: <A, E, R>(last: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError.SqlError, R>
  }
>() {}

/** Makes the service for a file at the path that has just been opened. */
export const makeDatabaseFile = (
  path: string,
  sql: SqlClient.SqlClient
): Effect.Effect<DatabaseFile["Type"]> =>
  Effect.gen(function* () {
    const database = yield* identityOf(path)
    // Created by the first statement; it stays the same while the database is open.
    let wal = yield* identityOf(`${path}-wal`)

    const fault = Effect.gen(function* (): Effect.fn.Return<Option.Option<FileFault>> {
      const [now, walNow] = yield* Effect.all([identityOf(path), identityOf(`${path}-wal`)])
      if (now === undefined) return Option.some("removed")
      if (now !== database) return Option.some("replaced")
      wal ??= walNow
      return walNow === wal ? Option.none() : Option.some("log removed")
    })

    const putBack: DatabaseFile["Type"]["putBack"] = (last) =>
      Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* sql.reserve
          yield* onDisk(async () => {
            await NodeFs.mkdir(dirname(path), { recursive: true })
            for (const suffix of [unfinished, restorable])
              await NodeFs.rm(`${path}${suffix}`, { force: true })
          })
          yield* connection.executeUnprepared("VACUUM INTO ?", [`${path}${unfinished}`], undefined)
          const now = new Date(yield* Clock.currentTimeMillis).toISOString().replace(/[-:.]/g, "")
          const [there, walThere] = yield* Effect.all([identityOf(path), identityOf(`${path}-wal`)])
          yield* onDisk(async () => {
            await sync(`${path}${unfinished}`)
            await NodeFs.rename(`${path}${unfinished}`, `${path}${restorable}`)
            if (there !== undefined && there !== database) {
              const aside = `${path}.replaced-${now}`
              await NodeFs.rename(path, aside)
              if (walThere !== undefined && walThere !== wal) {
                await NodeFs.rename(`${path}-wal`, `${aside}-wal`)
              }
            }
            await takeRestored(path)
          })
          return yield* last
        })
      ).pipe(Effect.uninterruptible)

    return DatabaseFile.of({ path, fault, putBack })
  })

/** Suffix of a whole copy that will replace a database that was removed, left when a process ended just then. */
const restorable = ".restored"
const unfinished = ".unfinished"

/** Moves a whole copy to the path; a log already there would be mistaken for the copy's own. */
const takeRestored = async (path: string) => {
  for (const suffix of ["-wal", "-shm"]) await NodeFs.rm(`${path}${suffix}`, { force: true })
  await NodeFs.rename(`${path}${restorable}`, path)
  await sync(dirname(path))
}

/** If there is no database at the path but a copy that was to be put there, puts it there. */
export const finishPuttingBack = (path: string): Effect.Effect<void, SqlError.SqlError> =>
  onDisk(async () => {
    const [database, copy] = await Promise.all([isThere(path), isThere(`${path}${restorable}`)])
    if (!database && copy) await takeRestored(path)
  })

/**
 * Checks the file every two seconds: one that was removed or replaced is put back, and then `restart` opens it. /health reports
 * it for a minute from then on.
 */
export const watchDatabaseFile = (
  restart: Effect.Effect<never>
): Effect.Effect<never, never, DatabaseFile | EventJournal | StorageFaults | SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const file = yield* DatabaseFile
    const journal = yield* EventJournal
    const faults = yield* StorageFaults
    const sql = yield* SqlClient.SqlClient
    const tell = (fault: FileFault, at?: number) =>
      faults.tell({
        what: "file",
        severity: "unhealthy",
        reason: `${faultText[fault]} while it was in use, see the log`,
        ...(at === undefined ? {} : { at })
      })

    const [restored] = yield* Effect.orElseSucceed(
      sql<{ at: number; reason: FileFault }>`
        SELECT at, payload ->> 'reason' AS reason FROM (SELECT * FROM journal ORDER BY id DESC LIMIT 1000)
        WHERE tag = 'DatabaseRestored' ORDER BY id DESC LIMIT 1`,
      () => []
    )
    if (restored !== undefined) yield* tell(restored.reason, restored.at)

    const look = Effect.gen(function* () {
      const fault = yield* file.fault
      if (Option.isNone(fault)) return
      yield* tell(fault.value)
      yield* Effect.logError(`${faultText[fault.value]} while in use, restoring it as it was`).pipe(
        Effect.annotateLogs({ path: file.path })
      )
      yield* journal.append(DatabaseRestored.make({ reason: fault.value }))
      return yield* file.putBack(restart)
    }).pipe(
      Effect.catchAll((error) =>
        Effect.logError("could not restore the database file, retrying").pipe(
          Effect.annotateLogs({ path: file.path, reason: String(error) })
        )
      ),
      Effect.annotateLogs({ module: "storage" })
    )
    return yield* Effect.zipRight(Effect.repeat(look, Schedule.spaced("2 seconds")), Effect.never)
  })

export const faultText: Readonly<Record<FileFault, string>> = {
  removed: "the database's file was removed",
  replaced: "the database's file was replaced by another one",
  "log removed": "the database's write-ahead log was removed"
}

/** Device and inode; undefined if there is no such file. */
const identityOf = (path: string): Effect.Effect<string | undefined> =>
  Effect.tryPromise(() => NodeFs.stat(path, { bigint: true })).pipe(
    Effect.map(({ dev, ino }) => `${dev}:${ino}`),
    Effect.orElseSucceed(() => undefined)
  )

const isThere = (path: string): Promise<boolean> =>
  NodeFs.stat(path).then(
    () => true,
    () => false
  )

const sync = async (path: string) => {
  const handle = await NodeFs.open(path, "r")
  await handle.sync().finally(() => handle.close())
}

const onDisk = (work: () => Promise<void>): Effect.Effect<void, SqlError.SqlError> =>
  Effect.tryPromise({ try: work, catch: (cause) => new SqlError.SqlError({ cause, message: String(cause) }) })
