import type { SqlClient } from "@effect/sql"
import { Chunk, Effect, Option, Stream } from "effect"
import { makeUnsettled, unsettling } from "../domain/makeUnsettled.ts"
import { decodeEntry, type JournalRow } from "./EventJournal.ts"

/** What is unsettled, as far as the journal in the database says; for a connection that may only read, too. */
export const unsettledNow = (sql: SqlClient.SqlClient) =>
  Effect.suspend(() => {
    const unsettled = makeUnsettled()
    const rows = Stream.paginateChunkEffect(0, (after) =>
      Effect.map(
        sql<JournalRow>`
          SELECT id, at, tag, stream, payload FROM journal
          WHERE id > ${after} AND ${sql.literal(isUnsettling)} ORDER BY id LIMIT ${rowsPerPage}`,
        (page) => [
          Chunk.unsafeFromArray(page),
          Option.map(Option.fromNullable(page[rowsPerPage - 1]), ({ id }) => id)
        ]
      )
    )
    return Stream.runForEach(Stream.mapEffect(rows, decodeEntry), ({ event }) =>
      Effect.sync(() => unsettled.add(event))
    ).pipe(Effect.map(unsettled.now))
  })

const rowsPerPage = 1000

/** As the partial index has it, which serves no other spelling. */
const isUnsettling = `tag IN (${unsettling.map((tag) => `'${tag}'`).join(", ")})`
