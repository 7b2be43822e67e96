import type { SqlClient } from "@effect/sql"
import { Effect, Stream } from "effect"
import { makeUnsettled, unsettling } from "../domain/makeUnsettled.ts"
import { decodeEntry, readRowsOf } from "./EventJournal.ts"

/** Returns what is unsettled according to the journal in the database; also works on a read-only connection. */
export const unsettledNow = (sql: SqlClient.SqlClient) =>
  Effect.suspend(() => {
    const unsettled = makeUnsettled()
    const entries = readRowsOf(sql, unsettling).pipe(
      Stream.flattenIterables,
      Stream.mapEffect((row) => decodeEntry(row))
    )
    return Stream.runForEach(entries, ({ event }) => Effect.sync(() => unsettled.add(event))).pipe(
      Effect.map(unsettled.now)
    )
  })
