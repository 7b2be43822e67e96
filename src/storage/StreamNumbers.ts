import { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import type { DatabaseError } from "./DatabaseError.ts"
import { transaction } from "./transaction.ts"

/** The number that stands for a stream in compact tables. */
export type StreamNumber = number

/** Looks up the numbers of streams, and assigns one to new streams, in a transaction of its own: a number is permanent. */
export type StreamNumbers = (
  streams: ReadonlyArray<StreamId>
) => Effect.Effect<ReadonlyArray<StreamNumber>, DatabaseError>

export const makeStreamNumbers: Effect.Effect<StreamNumbers, never, SqlClient.SqlClient> = Effect.map(
  SqlClient.SqlClient,
  (sql) => {
    const known = new Map<string, StreamNumber>()
    const find = (stream: StreamId) => sql<{ number: number }>`
      SELECT number FROM streams
      WHERE exchange = ${stream.exchange} AND symbol = ${stream.symbol} AND data_type = ${stream.dataType}`
    const learn = (stream: StreamId) =>
      sql`
        INSERT INTO streams (exchange, symbol, data_type)
        VALUES (${stream.exchange}, ${stream.symbol}, ${stream.dataType}) ON CONFLICT DO NOTHING`.pipe(
        Effect.zipRight(find(stream))
      )
    return (streams) =>
      Effect.gen(function* () {
        const unknown = streams.filter((stream) => !known.has(streamKey(stream)))
        if (unknown.length > 0) {
          const found = yield* Effect.forEach(unknown, learn).pipe(
            transaction(sql),
            Effect.catchTag("SqlError", Effect.die)
          )
          for (const [i, stream] of unknown.entries()) {
            const number = found[i]?.[0]?.number
            if (number !== undefined) known.set(streamKey(stream), number)
          }
        }
        return streams.map((stream) => known.get(streamKey(stream)) ?? 0)
      })
  }
)
