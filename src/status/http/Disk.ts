import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { diskSpace, fileSize } from "../../storage/diskSpace.ts"

/** Bytes on the disk of the database. */
export interface Disk {
  readonly database: number
  readonly wal: number
  readonly outbox: number
  readonly free: number
}

/** Measures once. What does not exist yet has 0 bytes; null while not even its folder exists. */
export const lookAtDisk = (options: {
  readonly databasePath: string
  readonly outboxDirectory: string
}): Effect.Effect<Disk | null> =>
  Effect.all(
    {
      database: fileSize(options.databasePath),
      wal: fileSize(`${options.databasePath}-wal`),
      outbox: Effect.flatMap(filesIn(options.outboxDirectory), (files) =>
        Effect.map(Effect.forEach(files, fileSize, { concurrency: 4 }), (sizes) =>
          sizes.reduce((sum, size) => sum + size, 0)
        )
      ),
      free: Effect.map(diskSpace(options.databasePath), ({ free }) => free)
    },
    { concurrency: "unbounded" }
  ).pipe(Effect.orElseSucceed(() => null))

const filesIn = (directory: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.tryPromise(() => readdir(directory)).pipe(
    Effect.map((names) => names.map((name) => join(directory, name))),
    Effect.orElseSucceed(() => [])
  )
