import * as Reactivity from "@effect/experimental/Reactivity"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, type Scope } from "effect"

/** Makes a new SQLite database for what is too large for memory; it need not survive anything. Closed with the scope. */
export const temporaryDatabase = (
  path: string
): Effect.Effect<SqliteClient.SqliteClient, never, Scope.Scope> =>
  SqliteClient.make({ filename: path, disableWAL: true }).pipe(
    Effect.tap((sql) =>
      Effect.orDie(
        Effect.all([
          sql`PRAGMA journal_mode = OFF`,
          sql`PRAGMA synchronous = OFF`,
          sql`PRAGMA temp_store = FILE`,
          sql`PRAGMA cache_size = -65536`
        ])
      )
    ),
    Effect.provide(Reactivity.layer)
  )
