import { DuckDBInstance, type Json } from "@duckdb/node-api"
import { Effect } from "effect"

/** Runs one query in a DuckDB of its own. Integers of 64 bits come as text. */
export const duckdb = (sql: string): Effect.Effect<ReadonlyArray<Record<string, Json>>> =>
  Effect.promise(async () => {
    const instance = await DuckDBInstance.create(":memory:")
    const connection = await instance.connect()
    try {
      const reader = await connection.runAndReadAll(sql)
      return reader.getRowObjectsJson()
    } finally {
      connection.closeSync()
      instance.closeSync()
    }
  })
