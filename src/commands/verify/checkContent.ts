import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Stream } from "effect"
import { download } from "../../archive/download.ts"
import { ParquetReader } from "../../archive/ParquetReader.ts"
import { dateOf, microsOf, parseKey } from "../../domain/Archive.ts"
import { streamKey } from "../../domain/StreamId.ts"
import { lengthOf, union, type Window } from "../../domain/Window.ts"
import { archivedIdsLimits } from "../../storage/ArchivedIds.ts"
import { clockTolerance } from "../setBacks.ts"
import type { Expected } from "./Expected.ts"

/**
 * Reads objects from start to end, in the order of their keys, and returns what is wrong with one, if anything: bytes other
 * than the journal says, another number of rows, rows of another stream or date or out of order, or an id that this server has
 * archived before, so recently that it should have recognized it (`archivedIdsLimits`). Times of receipt can go back if the
 * clock was set back. Ids that a server need not know any more are removed from the scratch file.
 */
export const makeContentCheck = (
  scratch: SqliteClient.SqliteClient,
  folder: string,
  /** The times that occurred twice because the clock was set back, by server. Microseconds. */
  setBacks: ReadonlyMap<string, ReadonlyArray<Window>>,
  limits: { readonly messages: number; readonly millis: number } = archivedIdsLimits
) =>
  Effect.gen(function* () {
    const reader = yield* ParquetReader
    yield* scratch`
      CREATE TABLE messages (server TEXT, id TEXT, place INTEGER, time INTEGER, PRIMARY KEY (server, id)) WITHOUT ROWID`
    const known = limits.millis * 1000
    let stream = ""
    let date = ""
    /** How many messages of the stream each server has archived so far. */
    const places = new Map<string, number>()

    /** Removes what is not needed for another day of a stream. */
    const forget = (next: { readonly stream: string; readonly date: string }) =>
      Effect.gen(function* () {
        if (next.stream !== stream) {
          places.clear()
          yield* scratch`DELETE FROM messages`
        } else if (next.date !== date) {
          yield* scratch`DELETE FROM messages WHERE time < ${microsOf(next.date).start - known}`
        }
        stream = next.stream
        date = next.date
      })

    return (expected: Expected) =>
      Effect.gen(function* () {
        const path = `${folder}/object.parquet`
        const { sha256, size } = yield* download(expected.key, path)
        if (size !== expected.size) return `its content has ${size} bytes instead of ${expected.size}`
        if (sha256 !== expected.sha256)
          return `its content has the SHA-256 ${sha256} instead of ${expected.sha256}`
        const { rows } = yield* reader.info(path)
        if (rows !== expected.rows) return `it has ${rows} rows instead of ${expected.rows}`
        const parsed = parseKey(expected.key)
        if (parsed?._tag !== "Archive") return undefined

        const { date, stream } = parsed
        const { server } = expected
        yield* forget({ stream: streamKey(stream), date })
        const steps = union(
          (setBacks.get(server) ?? []).map(({ from, to }) => ({
            from: from - clockTolerance,
            to: to + clockTolerance
          }))
        )
        const wasSetBack = (before: number, after: number) =>
          steps.some(({ from, to }) => after >= from && before <= to)
        /** How much longer than the clock says the time between two messages can be, microseconds. */
        const hidden = lengthOf(steps)
        const faults: Array<string> = []
        let last = 0
        yield* Stream.runForEach(reader.pages(path, { columns: [...columns] }), ({ columns, length }) =>
          Effect.gen(function* () {
            const [exchanges = [], symbols = [], types = [], ids = [], times = []] = columns
            for (let i = 0; i < length; i++) {
              const time = Number(times[i])
              if (
                exchanges[i] !== stream.exchange ||
                symbols[i] !== stream.symbol ||
                types[i] !== stream.dataType
              ) {
                faults.push("it has rows of another stream")
              }
              if (dateOf(time) !== date) faults.push("it has rows of another date")
              if (time < last && !wasSetBack(last, time))
                faults.push(`its rows are out of order: ${time} comes after ${last}`)
              last = time
            }
            for (let from = 0; from < length; from += idsPerInsert) {
              const begin = places.get(server) ?? 0
              const slice = ids.slice(from, Math.min(length, from + idsPerInsert)).map((id, i) => ({
                server,
                id: String(id),
                place: begin + i,
                time: Number(times[from + i])
              }))
              places.set(server, begin + slice.length)
              const before = new Map<string, { readonly place: number; readonly time: number }>()
              const found = yield* scratch<{ id: string; place: number; time: number }>`
                SELECT id, place, time FROM messages WHERE server = ${server} AND ${scratch.in(
                  "id",
                  slice.map(({ id }) => id)
                )}`
              for (const message of found) before.set(message.id, message)
              for (const message of slice) {
                const { id, place, time } = message
                const earlier = before.get(id)
                before.set(id, message)
                if (
                  earlier !== undefined &&
                  place - earlier.place < limits.messages &&
                  time - earlier.time + hidden < known
                ) {
                  faults.push(`the id ${id} is archived twice`)
                }
              }
              const latest = new Map(slice.map((message) => [message.id, message]))
              yield* scratch`
                INSERT INTO messages ${scratch.insert(Array.from(latest.values()))}
                ON CONFLICT DO UPDATE SET place = excluded.place, time = excluded.time`
            }
            faults.splice(1)
          })
        )
        return faults[0]
      })
  })

const columns = ["exchange", "symbol", "data_type", "exchange_sequence_id", "timestamp"] as const

const idsPerInsert = 500
