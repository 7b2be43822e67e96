import { SqlClient, type SqlError } from "@effect/sql"
import { Effect } from "effect"
import { contentHash, idOfReuse } from "../domain/contentHash.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { yieldToEventLoop } from "./eventLoop.ts"
import { makeRunningTime } from "./RunningTime.ts"
import type { StreamNumber } from "./StreamNumbers.ts"
import { transaction } from "./transaction.ts"

/** The messages of a batch, by position, whose ids were archived before. */
export interface ArchivedMessages {
  readonly same: ReadonlySet<number>
  /** Messages whose ids belonged to different messages that were archived. */
  readonly reused: ReadonlySet<number>
}

/**
 * Recognizes messages whose rows were archived and purged: for every stream at least the last 1,000,000 of them, or those of the
 * last 24 hours where these are fewer. Ids that are whole numbers take a few bytes each, others their length.
 *
 * A message is identified by its id and a hash of its content. For messages archived by an older version there is no hash: their
 * ids alone decide that they are the same.
 *
 * Most messages are recognized as new without a table lookup: their id is a number above all archived ones of the stream.
 */
export interface ArchivedIds {
  /** Looks up the messages of a batch, for the transaction that appends it. */
  readonly among: (
    batch: SnapshotBatch,
    numbers: ReadonlyArray<StreamNumber>
  ) => Effect.Effect<ArchivedMessages, SqlError.SqlError>
  /**
   * Remembers the rows that the condition selects from `snapshots`, all of one stream of this exchange. For the transaction that
   * deletes them.
   */
  readonly remember: (
    stream: StreamNumber,
    exchange: string,
    condition: string,
    values: ReadonlyArray<unknown>
  ) => Effect.Effect<void, SqlError.SqlError>
  /** Forgets what need not be known any more, of all streams, recorded or not, a little at a time. */
  readonly forget: Effect.Effect<void, DatabaseError>
}

export interface ArchivedIdsLimits {
  /** Messages kept for each stream. */
  readonly messages: number
  /** Measured by how long the database was in use, not by the wall clock, which can be set. */
  readonly millis: number
  /** How many messages are forgotten at once. */
  readonly messagesPerGeneration: number
}

export const archivedIdsLimits: ArchivedIdsLimits = {
  messages: 1_000_000,
  millis: 86_400_000,
  messagesPerGeneration: 100_000
}

export const makeArchivedIds = (
  limits: ArchivedIdsLimits
): Effect.Effect<ArchivedIds, never, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const runningTime = yield* makeRunningTime
    const summaries = new Map<StreamNumber, Summary>()

    const summaryOf = (stream: StreamNumber) =>
      Effect.suspend(() => {
        const known = summaries.get(stream)
        if (known !== undefined) return Effect.succeed(known)
        return Effect.map(
          sql<{ highest: number | null; texts: number }>`
            SELECT (SELECT max(id) FROM archived_ids WHERE stream = ${stream} AND id < '') AS highest,
              EXISTS (SELECT 1 FROM archived_ids WHERE stream = ${stream} AND id >= '') AS texts`,
          ([row]): Summary => {
            const summary = { highest: row?.highest ?? Number.NEGATIVE_INFINITY, texts: row?.texts === 1 }
            summaries.set(stream, summary)
            return summary
          }
        )
      })

    /**
     * Returns those of a stream's ids that are in the table, with their hashes in hexadecimal, or nothing where there is none.
     */
    const find = (stream: StreamNumber, ids: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const found = new Map<string, string>()
        for (const [integers, sameKind] of [
          [true, ids.filter(isInteger)],
          [false, ids.filter((id) => !isInteger(id))]
        ] as const) {
          for (let from = 0; from < sameKind.length; from += idsPerLookup) {
            const slice = sameKind.slice(from, from + idsPerLookup)
            const values = Array.from({ length: idsPerLookup }, (_, i) => slice[i] ?? null)
            const rows = yield* sql.unsafe<{ id: string; hash: string }>(
              integers ? findIntegers : findTexts,
              [stream, ...values]
            )
            for (const { hash, id } of rows) found.set(id, hash)
          }
        }
        return found
      })

    const among: ArchivedIds["among"] = (batch, numbers) =>
      Effect.gen(function* () {
        const streams = yield* Effect.forEach(numbers, summaryOf)
        const suspects = suspectsOf(batch, streams)
        const same = new Set<number>()
        const reused = new Set<number>()
        for (const [position, rows] of suspects) {
          const stream = numbers[position] ?? 0
          const exchange = batch.streams[position]?.exchange ?? ""
          const found = yield* find(
            stream,
            Array.from(rows, ([, { id }]) => id)
          )
          const others = new Map<number, string>()
          for (const [row, { data, id }] of rows) {
            const known = found.get(id)
            if (known === undefined) continue
            const hash = known === "" ? 0 : contentHash(exchange, data)
            if (known === "" || hash === Number.parseInt(known, 16)) same.add(row)
            else others.set(row, idOfReuse(id, hash))
          }
          const foundOthers = yield* find(stream, Array.from(others.values()))
          for (const [row, id] of others) (foundOthers.has(id) ? same : reused).add(row)
        }
        return { same, reused }
      })

    const remember: ArchivedIds["remember"] = (stream, exchange, condition, values) =>
      Effect.gen(function* () {
        const now = yield* runningTime
        const [latest] = yield* sql<{ generation: number; messages: number }>`
          SELECT generation, messages FROM archived_generations
          WHERE stream = ${stream} ORDER BY generation DESC LIMIT 1`
        const isFull = latest !== undefined && latest.messages >= limits.messagesPerGeneration
        const generation = (latest?.generation ?? 0) + (isFull ? 1 : 0)
        const rows = yield* sql.unsafe<{ data: Uint8Array }>(
          `SELECT CAST(data AS BLOB) AS data FROM snapshots NOT INDEXED WHERE ${condition} ORDER BY id`,
          values
        )
        // SQLite has no such hash function: one statement takes the hashes of all rows, four bytes each.
        const hashes = Buffer.alloc(4 * rows.length)
        for (const [i, { data }] of rows.entries()) hashes.writeUInt32BE(contentHash(exchange, data), 4 * i)
        yield* sql.unsafe(
          `INSERT INTO archived_ids (stream, id, generation, hash)
           SELECT ?, ${canonical}, ?, substr(?, 4 * row_number() OVER (ORDER BY snapshots.id) - 3, 4)
           FROM snapshots NOT INDEXED WHERE ${condition}
           ON CONFLICT DO UPDATE SET generation = excluded.generation, hash = excluded.hash`,
          [stream, generation, hashes, ...values]
        )
        yield* sql`
          INSERT INTO archived_generations (stream, generation, messages, at)
          VALUES (${stream}, ${generation}, changes(), ${now})
          ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, at = excluded.at`
        summaries.delete(stream)
      })

    const forget: ArchivedIds["forget"] = Effect.gen(function* () {
      const now = yield* runningTime
      const streams = yield* sql<{ stream: StreamNumber }>`SELECT DISTINCT stream FROM archived_generations`
      for (const { stream } of streams) yield* forgetOf(stream, now)
    }).pipe(Effect.mapError(DatabaseError.from), Effect.withSpan("storage.forget"))

    const forgetOf = (stream: StreamNumber, now: number) =>
      Effect.gen(function* () {
        const generations = yield* sql<{ generation: number; messages: number; at: number }>`
          SELECT generation, messages, at FROM archived_generations
          WHERE stream = ${stream} ORDER BY generation DESC`
        let newer = 0
        const old = generations.filter(({ at, messages }) => {
          const isOld = newer >= limits.messages || at < now - limits.millis
          newer += messages
          return isOld
        })
        const last = old[0]
        if (last === undefined) return
        let after: IdPlace = { id: "-9223372036854775808", integer: 1 }
        while (true) {
          const [next]: ReadonlyArray<IdPlace> = yield* sql.unsafe<IdPlace>(
            `SELECT CAST(id AS TEXT) AS id, typeof(id) = 'integer' AS integer FROM archived_ids
             WHERE stream = ? AND id > ${placeholder(after)}
             ORDER BY archived_ids.id LIMIT 1 OFFSET ${idsPerForget - 1}`,
            [stream, after.id]
          )
          yield* inTransaction(
            sql.unsafe(
              `DELETE FROM archived_ids WHERE stream = ? AND id >= ${placeholder(after)}
               ${next === undefined ? "" : `AND id <= ${placeholder(next)}`} AND generation <= ?`,
              [stream, after.id, ...(next === undefined ? [] : [next.id]), last.generation]
            )
          )
          if (next === undefined) break
          after = next
          yield* yieldToEventLoop
        }
        yield* inTransaction(
          sql`DELETE FROM archived_generations WHERE stream = ${stream} AND generation <= ${last.generation}`
        )
        summaries.delete(stream)
      })

    const inTransaction = transaction(sql)
    return { among, remember, forget }
  })

/** What is known of a stream's archived ids without a table lookup. */
interface Summary {
  /** The highest numeric id; rounded. */
  readonly highest: number
  /** Whether there are non-numeric ids. */
  readonly texts: boolean
}

/** A message that may have been archived. */
interface Suspect {
  readonly id: string
  readonly data: Uint8Array
}

/** An id in the order of the table: numbers first. */
interface IdPlace {
  readonly id: string
  readonly integer: number
}

const idsPerLookup = 100
const idsPerForget = 20_000

/** Returns the positions of the messages that may have been archived, for each stream, by its position. */
const suspectsOf = (batch: SnapshotBatch, streams: ReadonlyArray<Summary>) => {
  const suspects = new Map<number, Map<number, Suspect>>()
  if (streams.every((stream) => stream.highest === Number.NEGATIVE_INFINITY && !stream.texts)) return suspects
  let row = 0
  for (const block of batch.blocks) {
    for (let i = 0; i < block.length; i++, row++) {
      const position = block.stream[i] ?? 0
      const stream = streams[position]
      const id = block.exchangeSequenceId[i] ?? ""
      if (stream === undefined || isNew(stream, id)) continue
      const start = i === 0 ? 0 : (block.ends[i - 1] ?? 0)
      const suspect = { id, data: block.bytes.subarray(start, block.ends[i] ?? start) }
      const rows = suspects.get(position)
      if (rows === undefined) suspects.set(position, new Map([[row, suspect]]))
      else rows.set(row, suspect)
    }
  }
  return suspects
}

const isNew = ({ highest, texts }: Summary, id: string): boolean =>
  !texts && (highest === Number.NEGATIVE_INFINITY || Number(id) > highest)

/** The SQL equivalent is `canonical`. 18 digits always fit into 64 bits. */
const isInteger = (id: string): boolean => id.length <= 18 && /^(?:0|-?[1-9]\d*)$/.test(id)

const canonical = `CASE WHEN length(exchange_sequence_id) <= 18
  AND CAST(CAST(exchange_sequence_id AS INTEGER) AS TEXT) = exchange_sequence_id
  THEN CAST(exchange_sequence_id AS INTEGER) ELSE exchange_sequence_id END`

/** Without the plus all ids, texts too, would be compared as numbers, which the order of the table does not support. */
const placeholder = ({ integer }: IdPlace): string => (integer === 1 ? "+CAST(? AS INTEGER)" : "?")

const lookup = (value: string): string =>
  `SELECT CAST(id AS TEXT) AS id, hex(hash) AS hash FROM archived_ids
   WHERE stream = ? AND id IN (${Array.from({ length: idsPerLookup }, () => value).join()})`
const findIntegers = lookup("CAST(? AS INTEGER)")
const findTexts = lookup("?")
