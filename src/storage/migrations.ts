import { Migrator, SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** The schema, step by step. Ids only grow; a step that was released is never changed. */
export const migrations = Migrator.fromRecord({
  "1_snapshots": Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`
      CREATE TABLE snapshots (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        exchange TEXT NOT NULL,
        symbol TEXT NOT NULL,
        data_type TEXT NOT NULL,
        exchange_sequence_id TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        exchange_timestamp INTEGER,
        data TEXT NOT NULL,
        UNIQUE (exchange, symbol, data_type, exchange_sequence_id)
      )`
  ),
  "2_journal": Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`
      CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        tag TEXT NOT NULL,
        stream TEXT,
        payload TEXT NOT NULL
      )`
  )
})

/** The id of the newest step: a database with a newer one was made by a newer version. */
export const schemaVersion = 2

/** Where the migrator notes which steps were taken. */
export const migrationsTable = "schema_migrations"
