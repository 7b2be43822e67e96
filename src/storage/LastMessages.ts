import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, Schema } from "effect"
import { LastMessage } from "../domain/LastMessage.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { DatabaseError } from "./DatabaseError.ts"
import type { StreamNumber } from "./StreamNumbers.ts"

/** Remembers the last message of each stream of a batch; for the transaction that appends the batch. */
export const rememberLast = (
  batch: SnapshotBatch,
  numbers: ReadonlyArray<StreamNumber>
): Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const seen = new Uint8Array(numbers.length)
    for (const block of batch.blocks.toReversed()) {
      for (let i = block.length - 1; i >= 0; i--) {
        const position = block.stream[i] ?? 0
        if (seen[position] === 1) continue
        seen[position] = 1
        yield* sql`
          UPDATE streams SET last_id = ${block.exchangeSequenceId[i] ?? ""}, last_at = ${block.timestamp[i] ?? 0}
          WHERE number = ${numbers[position] ?? 0}`
      }
    }
  })

/** The remembered last messages. */
export const lastMessages: Effect.Effect<
  ReadonlyArray<LastMessage>,
  DatabaseError,
  SqlClient.SqlClient
> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`
    SELECT exchange, symbol, data_type AS dataType, last_id AS id, last_at AS at
    FROM streams WHERE last_id IS NOT NULL`
).pipe(
  Effect.flatMap(
    Schema.decodeUnknown(
      Schema.Array(
        Schema.Struct({ ...LastMessage.fields.stream.fields, id: Schema.String, at: Schema.Number })
      )
    )
  ),
  Effect.map((rows) => rows.map(({ at, id, ...stream }) => ({ stream, exchangeSequenceId: id, at }))),
  Effect.mapError(DatabaseError.from)
)
