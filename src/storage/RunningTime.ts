import { SqlClient, type SqlError } from "@effect/sql"
import { Effect } from "effect"
import { monotonicMillis } from "../monotonicMillis.ts"

/** How long this database was in use, milliseconds, over all processes: a time that cannot be set. Each read also stores it. */
export type RunningTime = Effect.Effect<number, SqlError.SqlError>

export const makeRunningTime: Effect.Effect<RunningTime, never, SqlClient.SqlClient> = Effect.gen(
  function* () {
    const sql = yield* SqlClient.SqlClient
    let noted = yield* monotonicMillis
    return Effect.gen(function* () {
      const now = yield* monotonicMillis
      const [row] = yield* sql<{ running: number }>`
        UPDATE collector SET running = running + ${now - noted} RETURNING running`
      noted = now
      return row?.running ?? 0
    })
  }
)
