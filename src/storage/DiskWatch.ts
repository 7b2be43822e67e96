import { Clock, Effect, Option, Schedule } from "effect"
import { DiskSpace } from "../domain/JournalEvent.ts"
import { monotonicMillis } from "../monotonicMillis.ts"
import { diskSpace, fileSize } from "./diskSpace.ts"
import { EventJournal } from "./EventJournal.ts"

/** Sizes in bytes. */
interface DiskState {
  /** Free space on the file system of the database. */
  readonly free: number
  /** The database including its WAL. */
  readonly database: number
}

/**
 * Watches the file system of the database. While less than `minFree` bytes are free it warns once a minute and archives at once,
 * which frees space; the start and the end of that are journalled as soon as the journal can be written.
 */
export const watchDisk = (options: {
  readonly databasePath: string
  readonly minFree: number
  readonly archive: Effect.Effect<unknown>
}): Effect.Effect<never, never, EventJournal> =>
  Effect.gen(function* () {
    const journal = yield* EventJournal
    let last: "low" | "enough" = "enough"
    /** Events still to be journalled: there may have been no room for them. */
    let untold: ReadonlyArray<typeof DiskSpace.Type> = []
    let warnedAt = Number.NEGATIVE_INFINITY

    const look = Effect.gen(function* () {
      const disk = yield* Effect.option(diskState(options.databasePath))
      if (Option.isNone(disk)) return
      const { database, free } = disk.value
      const state: typeof last = free < options.minFree ? "low" : "enough"
      const now = yield* monotonicMillis
      if (state === "low" && now - warnedAt >= millisBetweenWarnings) {
        warnedAt = now
        yield* Effect.logWarning("disk nearly full, archiving now").pipe(
          Effect.annotateLogs({ free, minimum: options.minFree, database })
        )
        yield* options.archive
      }
      if (state !== last) {
        last = state
        const at = (yield* Clock.currentTimeMillis) * 1000
        untold = [...untold, DiskSpace.make({ at, state, free, database })]
        if (state === "enough") {
          warnedAt = Number.NEGATIVE_INFINITY
          yield* Effect.logInfo("disk has room again").pipe(Effect.annotateLogs({ free, database }))
        }
      }
      if (untold.length === 0) return
      yield* journal.appendAll(untold)
      untold = []
    }).pipe(Effect.ignore, Effect.annotateLogs({ module: "storage" }))

    return yield* Effect.zipRight(Effect.repeat(look, Schedule.spaced("5 seconds")), Effect.never)
  })

/** Reads the current free space and size. */
const diskState = (databasePath: string): Effect.Effect<DiskState, unknown> =>
  Effect.gen(function* () {
    const { free } = yield* diskSpace(databasePath)
    const sizes = yield* Effect.forEach(["", "-wal", "-shm"], (suffix) =>
      fileSize(`${databasePath}${suffix}`)
    )
    return { free, database: sizes.reduce((sum, size) => sum + size, 0) }
  })

const millisBetweenWarnings = 60_000
