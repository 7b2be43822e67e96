import { SqlClient } from "@effect/sql"
import { Effect, Option, Schema } from "effect"
import { CycleOutcome } from "../domain/StorageAnswers.ts"
import { DatabaseError } from "./DatabaseError.ts"

/**
 * Requests an archive cycle from the process that holds the database's lock: inserts a row, which will receive the outcome as its
 * answer.
 */
export const requestCycle: Effect.Effect<number, DatabaseError, SqlClient.SqlClient> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ id: number }>`INSERT INTO archive_requests (report) VALUES (NULL) RETURNING id`
).pipe(
  Effect.map((rows) => rows[0]?.id ?? 0),
  Effect.mapError(DatabaseError.from)
)

/** Takes the answer to a request, once there is one. It can be taken only once. */
export const takeAnswer = (
  id: number
): Effect.Effect<Option.Option<CycleOutcome>, DatabaseError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [answer] = yield* sql<{ report: string }>`
      SELECT report FROM archive_requests WHERE id = ${id} AND report IS NOT NULL`
    if (answer === undefined) return Option.none()
    yield* sql`DELETE FROM archive_requests WHERE id = ${id}`
    return Option.some(yield* decode(answer.report))
  }).pipe(Effect.mapError(DatabaseError.from))

/** Withdraws a request. */
export const withdraw = (id: number): Effect.Effect<void, DatabaseError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM archive_requests WHERE id = ${id}`).pipe(
    Effect.asVoid,
    Effect.mapError(DatabaseError.from)
  )

/** Answers all pending requests with one cycle, if there are any. */
export const answerRequests = (
  runCycle: Effect.Effect<CycleOutcome>
): Effect.Effect<void, DatabaseError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [open] = yield* sql<{ last: number | null }>`
      SELECT max(id) AS last FROM archive_requests WHERE report IS NULL`
    const last = open?.last ?? null
    if (last === null) return
    const answer = encode(yield* runCycle)
    yield* sql`UPDATE archive_requests SET report = ${answer} WHERE report IS NULL AND id <= ${last}`
    yield* sql`DELETE FROM archive_requests WHERE id <= ${last - answersKept}`
  }).pipe(Effect.mapError(DatabaseError.from))

/** Answers kept of requests whose processes did not wait for them. */
const answersKept = 20

const encode = Schema.encodeSync(Schema.parseJson(CycleOutcome))
const decode = Schema.decodeUnknown(Schema.parseJson(CycleOutcome))
