import Database from "better-sqlite3"

/** The table of the collector, in a database as anybody would open it. */
export const openDatabase = (
  path: string,
  options: { readonly pageSize?: number } = {}
): Database.Database => {
  const database = new Database(path)
  if (options.pageSize !== undefined) database.pragma(`page_size = ${options.pageSize}`)
  database.pragma("journal_mode = WAL")
  database.pragma("synchronous = FULL")
  database.exec(`
    CREATE TABLE IF NOT EXISTS snapshots (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      exchange TEXT NOT NULL,
      symbol TEXT NOT NULL,
      data_type TEXT NOT NULL,
      exchange_sequence_id TEXT NOT NULL,
      timestamp INTEGER NOT NULL,
      exchange_timestamp INTEGER,
      data TEXT NOT NULL,
      UNIQUE (exchange, symbol, data_type, exchange_sequence_id)
    )`)
  return database
}

export const insertStatement = `
  INSERT INTO snapshots (exchange, symbol, data_type, exchange_sequence_id, timestamp, exchange_timestamp, data)
  VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
