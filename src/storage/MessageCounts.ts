import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, Schema } from "effect"
import { MessagesCommitted } from "../domain/JournalEvent.ts"
import { microsPerHour } from "../domain/micros.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { StreamId } from "../domain/StreamId.ts"
import { DatabaseError } from "./DatabaseError.ts"
import type { StreamNumber } from "./StreamNumbers.ts"

/** Messages of a stream that were committed, by hour of receipt. */
export interface MessageCount {
  readonly stream: StreamNumber
  /** Hours since the epoch. */
  readonly hour: number
  readonly messages: number
  /** Receive times, microseconds. */
  readonly first: number
  readonly last: number
}

/** Counts the messages of a batch, without the rows that are skipped. */
export const countsOf = (
  batch: SnapshotBatch,
  numbers: ReadonlyArray<StreamNumber>,
  skipped: ReadonlySet<number>
): ReadonlyArray<MessageCount> => {
  const counts = new Map<string, { -readonly [K in keyof MessageCount]: MessageCount[K] }>()
  const latest: Array<{ -readonly [K in keyof MessageCount]: MessageCount[K] } | undefined> = []
  let row = 0
  for (const block of batch.blocks) {
    for (let i = 0; i < block.length; i++, row++) {
      if (skipped.has(row)) continue
      const position = block.stream[i] ?? 0
      const timestamp = block.timestamp[i] ?? 0
      const hour = Math.floor(timestamp / microsPerHour)
      let count = latest[position]
      if (count === undefined || count.hour !== hour) {
        const key = `${position} ${hour}`
        count = counts.get(key) ?? {
          stream: numbers[position] ?? 0,
          hour,
          messages: 0,
          first: timestamp,
          last: timestamp
        }
        counts.set(key, count)
        latest[position] = count
      }
      count.messages++
      if (timestamp < count.first) count.first = timestamp
      if (timestamp > count.last) count.last = timestamp
    }
  }
  return Array.from(counts.values())
}

/** Counts the rows with ids above `after`: for a batch of which the database refused or ignored some. */
export const countRowsAfter = (
  after: number
): Effect.Effect<ReadonlyArray<MessageCount>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql<MessageCount>`
      SELECT streams.number AS stream, timestamp / 3600000000 AS hour, count(*) AS messages,
        min(timestamp) AS first, max(timestamp) AS last
      FROM snapshots JOIN streams USING (exchange, symbol, data_type)
      WHERE snapshots.id > ${after} GROUP BY 1, 2`
  )

/** Adds counts to those that are not journalled yet. */
export const addCounts = (
  counts: ReadonlyArray<MessageCount>
): Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.forEach(
      counts,
      ({ first, hour, last, messages, stream }) => sql`
        INSERT INTO message_counts (stream, hour, messages, first, last)
        VALUES (${stream}, ${hour}, ${messages}, ${first}, ${last})
        ON CONFLICT DO UPDATE SET messages = messages + excluded.messages,
          first = min(first, excluded.first), last = max(last, excluded.last)`,
      { discard: true }
    )
  )

/** Where a page of counts ends: the number of a stream, and one of its hours. */
export interface CountPlace {
  readonly number: StreamNumber
  readonly hour: number
}

/** The place before all counts. */
export const countsBegin: CountPlace = { number: Number.MIN_SAFE_INTEGER, hour: 0 }

/**
 * Returns at most this many of the counts after a place that are not journalled yet, as the events that will journal them, and
 * the place of the last one, undefined if there are none.
 */
export const countsAfter = (
  place: CountPlace,
  limit: number
): Effect.Effect<
  { readonly events: ReadonlyArray<typeof MessagesCommitted.Type>; readonly last: CountPlace | undefined },
  DatabaseError,
  SqlClient.SqlClient
> =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`
      SELECT number, exchange, symbol, data_type AS dataType, hour, messages, first, last
      FROM message_counts CROSS JOIN streams ON number = message_counts.stream
      WHERE (message_counts.stream, hour) > (${place.number}, ${place.hour})
      ORDER BY message_counts.stream, hour LIMIT ${limit}`
  ).pipe(
    Effect.flatMap(Schema.decodeUnknown(Schema.Array(CountRow()))),
    Effect.map((rows) => ({
      events: rows.map(({ first, hour, last, messages, number: _, ...stream }) =>
        MessagesCommitted.make({ stream, hour, messages, first, last })
      ),
      last: rows.at(-1)
    })),
    Effect.mapError(DatabaseError.from)
  )

/** All counts that are not journalled yet, as the events that will journal them. */
export const openCounts: Effect.Effect<
  ReadonlyArray<typeof MessagesCommitted.Type>,
  DatabaseError,
  SqlClient.SqlClient
> = Effect.map(countsAfter(countsBegin, Number.MAX_SAFE_INTEGER), ({ events }) => events)

function CountRow() {
  return Schema.Struct({
    ...StreamId.fields,
    number: Schema.Int,
    hour: Schema.Int,
    messages: Schema.Int,
    first: Schema.Number,
    last: Schema.Number
  })
}
