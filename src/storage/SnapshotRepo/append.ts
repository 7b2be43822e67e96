import { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { Discontinuity } from "../../domain/ExchangeEvent.ts"
import type { Heard } from "../../domain/JournalEvent.ts"
import type { Snapshot } from "../../domain/Snapshot.ts"
import { type SnapshotBatch, snapshotsOf } from "../../domain/SnapshotBatch.ts"
import type { Appended } from "../../domain/StorageAnswers.ts"
import { streamKey } from "../../domain/StreamId.ts"
import type { makeArchivedIds } from "../ArchivedIds.ts"
import { DatabaseError } from "../DatabaseError.ts"
import { EventJournal } from "../EventJournal.ts"
import { rememberLast } from "../LastMessages.ts"
import { addCounts, countRowsAfter, countsOf } from "../MessageCounts.ts"
import { notInsertedOf } from "../notInserted.ts"
import { heartbeat, noteHeard } from "../ProcessLife.ts"
import { findStored, reuseIn, underOwnId } from "../ReusedIds.ts"
import type { makeStreamNumbers, StreamNumber } from "../StreamNumbers.ts"
import { transaction } from "../transaction.ts"
import { changesOf } from "./changesOf.ts"
import { highestId } from "./rowIds.ts"

const columns = [
  "exchange",
  "symbol",
  "data_type",
  "exchange_sequence_id",
  "timestamp",
  "exchange_timestamp",
  "data"
] as const

/** Rows per statement; their values stay well below SQLite's limit of 32,766. */
const rowsPerInsert = 400

/** Implements `SnapshotRepo.append`. */
export const makeAppend = (
  archivedIds: Effect.Effect.Success<ReturnType<typeof makeArchivedIds>>,
  numbersOf: Effect.Effect.Success<typeof makeStreamNumbers>
) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const journal = yield* EventJournal
    const inTransaction = transaction(sql)

    const insert = (values: ReadonlyArray<unknown>, rows: number) =>
      Effect.map(sql.unsafe(insertStatement(rows), values).raw, changesOf)

    /** Inserts rows one by one, because one of them is refused. */
    const insertSingly = (values: ReadonlyArray<unknown>, rows: number) =>
      Effect.gen(function* () {
        let inserted = 0
        const rejected: Array<Rejected> = []
        for (let row = 0; row < rows; row++) {
          const single = values.slice(row * columns.length, (row + 1) * columns.length)
          yield* insert(single, 1).pipe(
            Effect.tap((changes) => Effect.sync(() => (inserted += changes))),
            Effect.catchIf(isRowError, (error) => {
              const { message } = DatabaseError.from(error)
              rejected.push({
                stream: single.slice(0, 3).join(":"),
                exchangeSequenceId: String(single[3]),
                reason: message
              })
              return Effect.void
            })
          )
        }
        return { inserted, rejected }
      })

    const append = (batch: SnapshotBatch, heard?: Heard) =>
      Effect.flatMap(numbersOf(batch.streams), (numbers) => appendIn(batch, numbers, heard)).pipe(
        Effect.flatMap(([appended, whenCommitted]) => Effect.as(whenCommitted, appended)),
        Effect.mapError(DatabaseError.from)
      )

    const appendIn = (batch: SnapshotBatch, numbers: ReadonlyArray<number>, heard: Heard | undefined) =>
      Effect.gen(function* () {
        const archived = yield* archivedIds.among(batch, numbers)
        const before = yield* highestId(sql)
        /** The positions in the batch of messages that are already stored. */
        const stored = new Set(archived.same)
        const reused = new Set<number>()
        let inserted = 0
        const rejected: Array<Rejected> = []
        /** The highest id before the messages that wait to be inserted. */
        let highest = before
        let waiting: Array<Waiting> = []

        const insertAll = (messages: ReadonlyArray<Waiting>) => {
          if (messages.length === 0) return Effect.succeed({ inserted: 0, rejected: noneRejected })
          const values: Array<unknown> = []
          for (const { message } of messages) {
            const { data, exchangeSequenceId, exchangeTimestamp, stream, timestamp } = message
            const { dataType, exchange, symbol } = stream
            values.push(exchange, symbol, dataType, exchangeSequenceId, timestamp, exchangeTimestamp, data)
          }
          return insert(values, messages.length).pipe(
            Effect.map((changes) => ({ inserted: changes, rejected: noneRejected })),
            Effect.catchIf(isRowError, () => insertSingly(values, messages.length))
          )
        }

        /** Gives messages that have another message's id an id of their own; leaves out those already stored under it. */
        const withOwnIds = (messages: ReadonlyArray<Waiting>) =>
          Effect.gen(function* () {
            const others = messages.map(({ message, row }) => ({ message: underOwnId(message), row }))
            const found = yield* findStored(others.map(({ message }) => message))
            return others.filter(({ row }, i) => {
              if (found.has(i)) stored.add(row)
              else reused.add(row)
              return !found.has(i)
            })
          })

        const flush = Effect.gen(function* () {
          const messages = waiting
          waiting = []
          let result = yield* insertAll(messages)
          if (result.inserted < messages.length) {
            const found = yield* findStored(messages.map(({ message }) => message))
            const others = messages.filter((_, i) => found.get(i) === false)
            if (others.length > 0) {
              // Again from the start, in order.
              yield* sql`DELETE FROM snapshots WHERE id > ${highest}`
              const own = new Map((yield* withOwnIds(others)).map((each) => [each.row, each]))
              const rows = new Set(others.map(({ row }) => row))
              result = yield* insertAll(
                messages.flatMap((each) => (rows.has(each.row) ? (own.get(each.row) ?? []) : each))
              )
            }
            highest = yield* highestId(sql)
          } else highest += messages.length
          inserted += result.inserted
          for (const each of result.rejected) rejected.push(each)
        })

        let row = -1
        for (const message of snapshotsOf(batch)) {
          row++
          if (stored.has(row)) continue
          if (archived.reused.has(row))
            for (const own of yield* withOwnIds([{ message, row }])) waiting.push(own)
          else waiting.push({ message, row })
          if (waiting.length === rowsPerInsert) yield* flush
        }
        if (waiting.length > 0) yield* flush
        const isWhole = inserted === batch.length - stored.size
        const counts = isWhole ? countsOf(batch, numbers, stored) : yield* countRowsAfter(before)
        const told = yield* tellOfReuse(batch, numbers, reused)
        yield* addCounts(counts)
        yield* rememberLast(batch, numbers)
        if (heard !== undefined) yield* noteHeard(sql, heard)
        if (counts.length > 0) {
          yield* heartbeat(sql, counts.reduce((latest, { last }) => Math.max(latest, last), 0) + 1)
        }
        const rejectedOf = new Map<string, number>()
        for (const { stream } of rejected) rejectedOf.set(stream, (rejectedOf.get(stream) ?? 0) + 1)
        if (rejected.length > 0) {
          yield* Effect.logWarning("database refused messages, skipping them").pipe(
            Effect.annotateLogs({ module: "storage", messages: rejected.length, ...rejected[0] })
          )
        }
        const appended: Appended = {
          inserted,
          duplicates: batch.length - inserted - rejected.length,
          rejected: rejected.length,
          ...(inserted === batch.length
            ? {}
            : { exceptions: notInsertedOf(batch, numbers, counts, rejectedOf) })
        }
        return [appended, told] as const
      }).pipe(Effect.provideService(SqlClient.SqlClient, sql), inTransaction)

    /** The streams that reused ids in their latest batches. */
    let reusing: ReadonlySet<StreamNumber> = new Set()

    /**
     * Journals where a stream starts to reuse ids, once for an exchange that restarts its counting. Returns what to note once
     * that is committed.
     */
    const tellOfReuse = (
      batch: SnapshotBatch,
      numbers: ReadonlyArray<StreamNumber>,
      reused: ReadonlySet<number>
    ) =>
      Effect.gen(function* () {
        if (reused.size === 0 && reusing.size === 0) return Effect.void
        const now = new Set(reusing)
        for (const { first, position } of reuseIn(batch, reused)) {
          const number = numbers[position] ?? 0
          if (first === undefined) now.delete(number)
          else now.add(number)
          const stream = batch.streams[position]
          if (first === undefined || stream === undefined || reusing.has(number)) continue
          const { dataType, exchange, symbol } = stream
          const [last] = yield* sql<{ at: number | null }>`
            SELECT last_at AS at FROM streams WHERE number = ${number}`
          yield* journal.append(
            Discontinuity.make({
              at: first.at,
              stream: { exchange, symbol, dataType },
              reason: "id reused",
              after: first.after ?? last?.at ?? null,
              before: first.at
            })
          )
          yield* Effect.logWarning(
            "exchange reused a message id, keeping the message under an id of its own"
          ).pipe(Effect.annotateLogs({ module: "storage", stream: streamKey(stream) }))
        }
        return Effect.sync(() => {
          reusing = now
        })
      })

    return append
  })

/** A message of a batch that is to be inserted, and its position there. */
interface Waiting {
  readonly row: number
  readonly message: Snapshot
}

/** A message that the database refused individually. */
interface Rejected {
  /** Key of its stream. */
  readonly stream: string
  readonly exchangeSequenceId: string
  readonly reason: string
}

const noneRejected: ReadonlyArray<Rejected> = []

const insertStatement = (rows: number): string => (rows === rowsPerInsert ? wholeInsert : insertOf(rows))

const rowOfValues = `(${columns.map((column) => (column === "data" ? "CAST(? AS TEXT)" : "?")).join(", ")})`

const insertOf = (rows: number): string =>
  `INSERT INTO snapshots (${columns.join(", ")})
   VALUES ${Array.from({ length: rows }, () => rowOfValues).join(", ")}
   ON CONFLICT DO NOTHING`

const wholeInsert = insertOf(rowsPerInsert)

/** Whether an error concerns a single row; all others concern the transaction. */
const isRowError = (cause: unknown): boolean =>
  /^SQLITE_(CONSTRAINT|TOOBIG|MISMATCH)/.test(DatabaseError.from(cause).code)
