import { Migrator, SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** The schema, step by step. Ids only grow; a released step is never changed. */
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
  ),
  /** What recognizes an archived message again: see ArchivedIds.ts. `id` has no type on purpose: a number or a text. */
  "3_archived_ids": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      CREATE TABLE streams (
        number INTEGER PRIMARY KEY,
        exchange TEXT NOT NULL,
        symbol TEXT NOT NULL,
        data_type TEXT NOT NULL,
        UNIQUE (exchange, symbol, data_type)
      )`
    yield* sql`
      CREATE TABLE archived_ids (
        stream INTEGER NOT NULL,
        id NOT NULL,
        generation INTEGER NOT NULL,
        PRIMARY KEY (stream, id)
      ) WITHOUT ROWID`
    yield* sql`
      CREATE TABLE archived_generations (
        stream INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (stream, generation)
      ) WITHOUT ROWID`
  }),
  /** Messages committed but not yet in a MessagesCommitted event, and the process's signs of life. */
  "4_counts": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      CREATE TABLE message_counts (
        stream INTEGER NOT NULL,
        hour INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (stream, hour)
      ) WITHOUT ROWID`
    yield* sql`
      CREATE TABLE collector (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        journal TEXT NOT NULL,
        process TEXT,
        last_seen INTEGER
      )`
    yield* sql`INSERT INTO collector (only, journal) VALUES (1, lower(hex(randomblob(8))))`
    yield* sql`CREATE TABLE archive_requests (id INTEGER PRIMARY KEY AUTOINCREMENT, report TEXT)`
  }),
  /** When each connection was last heard, as JSON, and the last message of each stream: what the next process starts from. */
  "5_last_heard": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`ALTER TABLE collector ADD COLUMN heard TEXT`
    yield* sql`ALTER TABLE streams ADD COLUMN last_id TEXT`
    yield* sql`ALTER TABLE streams ADD COLUMN last_at INTEGER`
  }),
  /** The `contentHash` of an archived message, big-endian; null where an older version archived it. */
  "6_archived_hashes": Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`ALTER TABLE archived_ids ADD COLUMN hash BLOB`
  ),
  /** How long the database was in use: archived ids are remembered by that time, not by a clock that can be set. */
  "7_running_time": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`ALTER TABLE collector ADD COLUMN running INTEGER NOT NULL DEFAULT 0`
    yield* sql`UPDATE archived_generations SET at = 0`
  }),
  /** What the journal says about coverage (JSON); up to which entry, and since when, microseconds, the archive has it. */
  "8_checkpoint": Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`
      CREATE TABLE checkpoint (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        state TEXT NOT NULL,
        archived_id INTEGER NOT NULL,
        archived_at INTEGER NOT NULL
      )`
  ),
  /**
   * For what is unsettled, which is queried in every cycle, and for the state of archives, which is queried at every start: few
   * entries of many.
   */
  "9_journal_indexes": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      CREATE INDEX journal_unsettling ON journal (id) WHERE tag IN ('ProcessStarted', 'ProcessStopped', 'StreamSilent',
        'StreamHeard', 'StreamUnreadable', 'StreamReadable', 'ClockStepped')`
    yield* sql`
      CREATE INDEX journal_archives ON journal (id) WHERE tag IN ('ArchivePlanned', 'JournalSegmentPlanned',
        'ArchiveWritten', 'ArchiveUploaded', 'ArchiveVerified', 'ArchiveRowsPurged', 'ArchivePurged', 'ArchiveAbandoned',
        'ArchiveFailed', 'JournalSegmentArchived', 'JournalEpochBegan')`
  })
})

/** The id of the newest step: a database with a newer one was made by a newer version. */
export const schemaVersion = 9

/** The table in which the migrator records the steps taken. */
export const migrationsTable = "schema_migrations"
