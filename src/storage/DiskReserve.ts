import { SqlClient } from "@effect/sql"
import { Context, Data, Effect, Layer } from "effect"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { diskSpace, fileSize } from "./diskSpace.ts"

/** Recording would take the space that archiving needs. */
export class DiskReserved extends Data.TaggedError("DiskReserved")<{ readonly free: number }> {
  override get message() {
    return `the database's disk has ${Math.floor(this.free / 1024 ** 2)} MiB left, reserved for archiving`
  }
}

/**
 * Reserves space on the database's disk for archiving: a Parquet file in the outbox, and what the journal and the purge write.
 * Without it a disk that filled up while the store was down would stay full once the store is back. The reserve is a quarter of
 * `minFree`, but at most an eighth of the disk, bytes. Messages must leave all of it, events from receiving half of it, and new
 * archives a quarter: archives that fail leave their files in the outbox.
 */
export class DiskReserve extends Context.Tag("collector/DiskReserve")<
  DiskReserve,
  {
    /** Fails if there is no room for a batch, neither beyond the reserve nor in the database's own free pages. */
    readonly admitBatch: (batch: SnapshotBatch) => Effect.Effect<void, DiskReserved>
    /** The same for events from receiving. They can wait in memory, where those of a stream are merged. */
    readonly admitEvents: Effect.Effect<void, DiskReserved>
    /** How many rows a new archive can have so that there is room for its file; unbounded while there is plenty. */
    readonly rowsPerArchive: Effect.Effect<number>
  }
>() {
  static readonly layer = (options: { readonly databasePath: string; readonly minFree: number }) =>
    Layer.effect(
      this,
      Effect.map(SqlClient.SqlClient, (sql) => {
        const look = Effect.gen(function* () {
          const { free, size } = yield* diskSpace(options.databasePath)
          // What is in the log needs as much room again before it is in the database.
          const log = yield* fileSize(`${options.databasePath}-wal`)
          return { free: free - log, reserve: Math.min(options.minFree / 4, size / 8) }
        }).pipe(Effect.orElseSucceed(() => ({ free: Number.POSITIVE_INFINITY, reserve: 0 })))
        /** The contents of the log may be old, and the log may have room to give back. */
        const lookAgain = Effect.zipRight(Effect.ignore(sql`PRAGMA wal_checkpoint(TRUNCATE)`), look)
        const ownPages = Effect.map(
          sql<{ bytes: number }>`
            SELECT freelist_count * page_size AS bytes FROM pragma_freelist_count, pragma_page_size`,
          ([row]) => row?.bytes ?? 0
        ).pipe(Effect.orElseSucceed(() => 0))

        /** Admits a number of bytes if they leave this part of the reserve, or half of that if they fit into free pages. */
        const admit = (bytes: number, part: number) =>
          Effect.gen(function* () {
            const fits = ({ free, reserve }: FreeSpace) => free >= part * reserve + Math.min(bytes, reserve)
            if (fits(yield* look)) return
            const disk = yield* lookAgain
            if (fits(disk)) return
            if (disk.free >= (part * disk.reserve) / 2 && (yield* ownPages) >= bytes) return
            return yield* new DiskReserved({ free: disk.free })
          })

        return DiskReserve.of({
          // The batch is in the log and in the database for a while.
          admitBatch: (batch) => admit(2 * batch.blocks.reduce((sum, { bytes }) => sum + bytes.length, 0), 1),
          admitEvents: admit(bytesOfEvents, 0.5),
          rowsPerArchive: Effect.gen(function* () {
            const isPlenty = ({ free, reserve }: FreeSpace) => free >= 4 * reserve
            if (isPlenty(yield* look)) return Number.MAX_SAFE_INTEGER
            const disk = yield* lookAgain
            if (isPlenty(disk)) return Number.MAX_SAFE_INTEGER
            const rows = Math.floor(Math.min(disk.free - disk.reserve / 4, disk.reserve) / bytesPerRow)
            return rows >= fewestRows ? rows : 0
          })
        })
      })
    )
}

/** Bytes of the disk: what is free once the log is in the database, and what recording leaves to archiving. */
interface FreeSpace {
  readonly free: number
  readonly reserve: number
}

/** How much events take at most, as a rule. */
const bytesOfEvents = 65_536

/** How much of a Parquet file a row can take, with room for the log beside it. */
const bytesPerRow = 2000

const fewestRows = 500
