import { SqlClient } from "@effect/sql"
import { Context, Data, Effect, Layer } from "effect"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { diskSpace, sizeOf } from "./diskSpace.ts"

/** Recording would take the room that archiving needs. */
export class DiskReserved extends Data.TaggedError("DiskReserved")<{ readonly free: number }> {
  override get message() {
    return `the disk of the database has ${Math.floor(this.free / 1024 ** 2)} MiB left, which archiving needs`
  }
}

/**
 * Keeps some room on the database's disk for archiving: a Parquet file in the outbox, and what the journal and the purge write.
 * Without it a disk that was filled while the store was down would stay full when it is back. The reserve is a quarter of
 * `minFree`, but at most an eighth of the disk, bytes. Messages leave all of it, what receiving tells the journal leaves
 * half of it, and new archives a quarter: those that fail leave their files in the outbox.
 */
export class DiskReserve extends Context.Tag("collector/DiskReserve")<
  DiskReserve,
  {
    /** Fails if there is no room for a batch: neither besides the reserve nor in the database's own free pages. */
    readonly admitBatch: (batch: SnapshotBatch) => Effect.Effect<void, DiskReserved>
    /** The same for events that receiving tells of. They can wait in memory, where those of a stream become one. */
    readonly admitEvents: Effect.Effect<void, DiskReserved>
    /** How many rows a new archive may have, so that there is room for its file; without bound while there is plenty. */
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
          const log = yield* sizeOf(`${options.databasePath}-wal`)
          return { free: free - log, reserve: Math.min(options.minFree / 4, size / 8) }
        }).pipe(Effect.orElseSucceed(() => ({ free: Number.POSITIVE_INFINITY, reserve: 0 })))
        const ownPages = Effect.map(
          sql<{ bytes: number }>`
            SELECT freelist_count * page_size AS bytes FROM pragma_freelist_count, pragma_page_size`,
          ([row]) => row?.bytes ?? 0
        ).pipe(Effect.orElseSucceed(() => 0))

        /** Admits so many bytes if they leave this part of the reserve, or half of that if they fit into free pages. */
        const admit = (bytes: number, part: number) =>
          Effect.gen(function* () {
            const fits = ({ free, reserve }: { readonly free: number; readonly reserve: number }) =>
              free >= part * reserve + Math.min(bytes, reserve)
            if (fits(yield* look)) return
            // What is in the log may be old, and the log has room to give back.
            yield* Effect.ignore(sql`PRAGMA wal_checkpoint(TRUNCATE)`)
            const disk = yield* look
            if (fits(disk)) return
            if (disk.free >= (part * disk.reserve) / 2 && (yield* ownPages) >= bytes) return
            return yield* new DiskReserved({ free: disk.free })
          })

        return DiskReserve.of({
          // They are in the log and in the database for a while.
          admitBatch: (batch) => admit(2 * batch.blocks.reduce((sum, { bytes }) => sum + bytes.length, 0), 1),
          admitEvents: admit(bytesOfEvents, 0.5),
          rowsPerArchive: Effect.map(look, ({ free, reserve }) => {
            if (free >= 4 * reserve) return Number.MAX_SAFE_INTEGER
            const rows = Math.floor(Math.min(free - reserve / 4, reserve) / bytesPerRow)
            return rows >= fewestRows ? rows : 0
          })
        })
      })
    )
}

/** What events take at most, as a rule. */
const bytesOfEvents = 65_536

/** What a row may take of a Parquet file, with room for the log beside it. */
const bytesPerRow = 2000

const fewestRows = 500
