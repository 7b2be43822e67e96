import { SqlClient } from "@effect/sql"
import { Chunk, Clock, Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { type JournalEntry, JournalEvent } from "../domain/JournalEvent.ts"
import { DatabaseError } from "./DatabaseError.ts"

/**
 * The append-only record of what the collector did and saw. It lives in the same database as the Snapshots, so that an
 * event and what it tells of are committed together.
 */
export class EventJournal extends Context.Tag("collector/EventJournal")<
  EventJournal,
  {
    /** Appends events, in the transaction that is open in the calling fiber, if there is one. */
    readonly append: (...events: ReadonlyArray<JournalEvent>) => Effect.Effect<void, DatabaseError>
    /** All entries in order, read in pages. */
    readonly entries: Stream.Stream<JournalEntry, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      const append = (...events: ReadonlyArray<JournalEvent>) =>
        Effect.gen(function* () {
          const at = (yield* Clock.currentTimeMillis) * 1000
          for (const event of events) {
            yield* sql`
              INSERT INTO journal (at, tag, stream, payload)
              VALUES (${at}, ${event._tag}, ${null}, ${encode(event)})`
          }
        }).pipe(Effect.mapError(DatabaseError.from))

      const entries = Stream.paginateChunkEffect(0, (after) =>
        sql<{ id: number; at: number; payload: string }>`
          SELECT id, at, payload FROM journal WHERE id > ${after} ORDER BY id LIMIT ${entriesPerPage}`.pipe(
          Effect.flatMap(
            Effect.forEach((row) =>
              Effect.map(decode(row.payload), (event): JournalEntry => ({ id: row.id, at: row.at, event }))
            )
          ),
          Effect.mapError(DatabaseError.from),
          Effect.map((page) => [
            Chunk.unsafeFromArray(page),
            Option.map(Option.fromNullable(page[entriesPerPage - 1]), (last) => last.id)
          ])
        )
      )

      return EventJournal.of({ append, entries })
    })
  )
}

const entriesPerPage = 1000
const encode = Schema.encodeSync(Schema.parseJson(JournalEvent))
const decode = Schema.decodeUnknown(Schema.parseJson(JournalEvent))
