import { SqlClient, type SqlError } from "@effect/sql"
import { Effect } from "effect"
import { contentHash, idOfReuse } from "../domain/contentHash.ts"
import type { Snapshot } from "../domain/Snapshot.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"

/**
 * Finds the messages, by position, whose id is in the table already, and whether with the same content, which makes it the same
 * message.
 */
export const findStored = (
  messages: ReadonlyArray<Snapshot>
): Effect.Effect<ReadonlyMap<number, boolean>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const found = new Map<number, boolean>()
    for (let from = 0; from < messages.length; from += messagesPerLookup) {
      const values = Array.from({ length: messagesPerLookup }, (_, i) => keyOf(messages[from + i])).flat()
      for (const { data, n } of yield* sql.unsafe<{ n: number; data: Uint8Array }>(lookup, values)) {
        const message = messages[from + n]
        if (message !== undefined)
          found.set(from + n, hashOf(message) === contentHash(message.stream.exchange, data))
      }
    }
    return found
  })

/** Returns the message under an id of its own, because its id belongs to another message. */
export const underOwnId = (message: Snapshot): Snapshot => ({
  ...message,
  exchangeSequenceId: idOfReuse(message.exchangeSequenceId, hashOf(message))
})

const hashOf = ({ data, stream }: Snapshot): number => contentHash(stream.exchange, data)

const keyOf = (message: Snapshot | undefined): ReadonlyArray<string | null> =>
  message === undefined
    ? noKey
    : [message.stream.exchange, message.stream.symbol, message.stream.dataType, message.exchangeSequenceId]

/** Reused ids of one stream in a batch. */
export interface StreamReuse {
  /** The stream's position in the batch. */
  readonly position: number
  /**
   * The receive times of the first message that had another message's id, and of the message before it in the batch; undefined if
   * there is none.
   */
  readonly first: { readonly at: number; readonly after: number | null } | undefined
}

/** Returns the streams that have messages in a batch; `reused` holds the positions of messages that had another message's id. */
export const reuseIn = (batch: SnapshotBatch, reused: ReadonlySet<number>): ReadonlyArray<StreamReuse> => {
  const firsts = new Map<number, StreamReuse["first"]>()
  const lasts = new Map<number, number>()
  let row = 0
  for (const block of batch.blocks) {
    for (let i = 0; i < block.length; i++, row++) {
      const position = block.stream[i] ?? 0
      const at = block.timestamp[i] ?? 0
      if (reused.has(row) && firsts.get(position) === undefined) {
        firsts.set(position, { at, after: lasts.get(position) ?? null })
      }
      lasts.set(position, at)
    }
  }
  return Array.from(lasts.keys(), (position) => ({ position, first: firsts.get(position) }))
}

const messagesPerLookup = 50

const noKey = [null, null, null, null]

const lookup = `WITH keys (n, exchange, symbol, data_type, id) AS (VALUES ${Array.from(
  { length: messagesPerLookup },
  (_, n) => `(${n}, ?, ?, ?, ?)`
).join()})
  SELECT n, CAST(data AS BLOB) AS data FROM keys CROSS JOIN snapshots AS s
  ON s.exchange = keys.exchange AND s.symbol = keys.symbol AND s.data_type = keys.data_type
    AND s.exchange_sequence_id = keys.id`
