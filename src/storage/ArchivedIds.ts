import { SqlClient, type SqlError } from "@effect/sql"
import { Clock, Effect } from "effect"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import { transaction } from "./Database.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { yieldToEventLoop } from "./eventLoop.ts"
import type { StreamNumber } from "./StreamNumbers.ts"

/**
 * Knows messages again whose rows were archived and purged: of every stream at least the last 1,000,000 of them, or those
 * of the last 24 hours where these are fewer. Ids that are whole numbers take a few bytes each, others their length.
 *
 * Most messages are told new without a look into the table: their id is a number above all archived ones of the stream.
 */
export interface ArchivedIds {
  /** The positions in the batch of messages that were archived before. For the transaction that appends it. */
  readonly among: (
    batch: SnapshotBatch,
    numbers: ReadonlyArray<StreamNumber>
  ) => Effect.Effect<ReadonlySet<number>, SqlError.SqlError>
  /**
   * Remembers the rows that the condition selects from `snapshots`, all of one stream. For the transaction that deletes
   * them.
   */
  readonly remember: (
    stream: StreamNumber,
    condition: string,
    values: ReadonlyArray<unknown>
  ) => Effect.Effect<void, SqlError.SqlError>
  /** Forgets what need not be known any more of any stream, recorded or not, a little at a time. */
  readonly forget: Effect.Effect<void, DatabaseError>
}

export interface ArchivedIdsLimits {
  /** Of each stream. */
  readonly messages: number
  readonly millis: number
  /** What is forgotten at once. */
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
  Effect.map(SqlClient.SqlClient, (sql) => {
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

    /** Of these ids of a stream, those that are in the table. */
    const find = (stream: StreamNumber, ids: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const found = new Set<string>()
        for (const [integers, these] of [
          [true, ids.filter(isInteger)],
          [false, ids.filter((id) => !isInteger(id))]
        ] as const) {
          for (let from = 0; from < these.length; from += idsPerLookup) {
            const slice = these.slice(from, from + idsPerLookup)
            const values = Array.from({ length: idsPerLookup }, (_, i) => slice[i] ?? null)
            const rows = yield* sql.unsafe<{ id: string }>(integers ? findIntegers : findTexts, [
              stream,
              ...values
            ])
            for (const { id } of rows) found.add(id)
          }
        }
        return found
      })

    const among: ArchivedIds["among"] = (batch, numbers) =>
      Effect.gen(function* () {
        const streams = yield* Effect.forEach(numbers, summaryOf)
        const suspects = suspectsOf(batch, streams)
        const archived = new Set<number>()
        for (const [position, rows] of suspects) {
          const found = yield* find(
            numbers[position] ?? 0,
            Array.from(rows, ([, id]) => id)
          )
          for (const [row, id] of rows) if (found.has(id)) archived.add(row)
        }
        return archived
      })

    const remember: ArchivedIds["remember"] = (stream, condition, values) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const [latest] = yield* sql<{ generation: number; messages: number }>`
          SELECT generation, messages FROM archived_generations
          WHERE stream = ${stream} ORDER BY generation DESC LIMIT 1`
        const isFull = latest !== undefined && latest.messages >= limits.messagesPerGeneration
        const generation = (latest?.generation ?? 0) + (isFull ? 1 : 0)
        yield* sql.unsafe(
          `INSERT INTO archived_ids (stream, id, generation)
           SELECT ?, ${canonical}, ? FROM snapshots NOT INDEXED WHERE ${condition}
           ON CONFLICT DO UPDATE SET generation = excluded.generation`,
          [stream, generation, ...values]
        )
        yield* sql`
          INSERT INTO archived_generations (stream, generation, messages, at)
          VALUES (${stream}, ${generation}, changes(), ${now})
          ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, at = excluded.at`
        summaries.delete(stream)
      })

    const forget: ArchivedIds["forget"] = Effect.gen(function* () {
      const streams = yield* sql<{ stream: StreamNumber }>`SELECT DISTINCT stream FROM archived_generations`
      for (const { stream } of streams) yield* forgetOf(stream)
    }).pipe(Effect.mapError(DatabaseError.from))

    const forgetOf = (stream: StreamNumber) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
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
        let after: Place = { id: "-9223372036854775808", integer: 1 }
        while (true) {
          const [next]: ReadonlyArray<Place> = yield* sql.unsafe<Place>(
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

/** What is known of a stream's archived ids without a look into the table. */
interface Summary {
  /** Of those that are numbers; rounded. */
  readonly highest: number
  /** Whether there are others. */
  readonly texts: boolean
}

/** An id in the order of the table: numbers first. */
interface Place {
  readonly id: string
  readonly integer: number
}

const idsPerLookup = 100
const idsPerForget = 20_000

/** For each stream, by its position: the positions and ids of those messages that may have been archived. */
const suspectsOf = (batch: SnapshotBatch, streams: ReadonlyArray<Summary>) => {
  const suspects = new Map<number, Map<number, string>>()
  if (streams.every((stream) => stream.highest === Number.NEGATIVE_INFINITY && !stream.texts)) return suspects
  let row = 0
  for (const block of batch.blocks) {
    for (let i = 0; i < block.length; i++, row++) {
      const position = block.stream[i] ?? 0
      const stream = streams[position]
      const id = block.exchangeSequenceId[i] ?? ""
      if (stream === undefined || isNew(stream, id)) continue
      const rows = suspects.get(position)
      if (rows === undefined) suspects.set(position, new Map([[row, id]]))
      else rows.set(row, id)
    }
  }
  return suspects
}

const isNew = ({ highest, texts }: Summary, id: string): boolean =>
  !texts && (highest === Number.NEGATIVE_INFINITY || Number(id) > highest)

/** The same question in SQL is `canonical`. 18 digits always fit into 64 bits. */
const isInteger = (id: string): boolean => id.length <= 18 && /^(?:0|-?[1-9]\d*)$/.test(id)

const canonical = `CASE WHEN length(exchange_sequence_id) <= 18
  AND CAST(CAST(exchange_sequence_id AS INTEGER) AS TEXT) = exchange_sequence_id
  THEN CAST(exchange_sequence_id AS INTEGER) ELSE exchange_sequence_id END`

/** Without the plus the ids would be compared as numbers, texts too, which the order of the table does not serve. */
const placeholder = ({ integer }: Place): string => (integer === 1 ? "+CAST(? AS INTEGER)" : "?")

const lookup = (value: string): string =>
  `SELECT CAST(id AS TEXT) AS id FROM archived_ids
   WHERE stream = ? AND id IN (${Array.from({ length: idsPerLookup }, () => value).join()})`
const findIntegers = lookup("CAST(? AS INTEGER)")
const findTexts = lookup("?")
