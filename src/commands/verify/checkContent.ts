import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Stream } from "effect"
import { download } from "../../archive/download.ts"
import { ParquetReader } from "../../archive/ParquetReader.ts"
import { dateOf, parseKey } from "../../domain/Archive.ts"
import type { Expected } from "./findFaults.ts"

/** A server's clock was set back from `to` to `from`, between two processes or during one. Microseconds. */
export interface SetBack {
  readonly server: string
  readonly from: number
  readonly to: number
}

/**
 * Reads an object from start to end; returns what is wrong with it, if anything is: other bytes than the journal says,
 * another number of rows, rows of another stream or date or out of order, or an id that this server has archived before.
 * Times of receipt may go back where the clock was set back.
 */
export const checkContent = (
  expected: Expected,
  setBacks: ReadonlyArray<SetBack>,
  scratch: SqliteClient.SqliteClient,
  folder: string
) =>
  Effect.gen(function* () {
    const reader = yield* ParquetReader
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
    const wasSetBack = (before: number, after: number) =>
      setBacks.some(
        ({ from, server, to }) => server === expected.server && after >= from - slack && before <= to + slack
      )
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
        const key = `${expected.server}/${stream.exchange}:${stream.symbol}:${stream.dataType}`
        for (let from = 0; from < length; from += idsPerInsert) {
          const slice = ids.slice(from, Math.min(length, from + idsPerInsert)).map(String)
          const added = yield* scratch<{ id: string }>`
            INSERT INTO messages ${scratch.insert(slice.map((id) => ({ stream: key, id })))}
            ON CONFLICT DO NOTHING RETURNING id`
          if (added.length === slice.length) continue
          const fresh = new Set(added.map(({ id }) => id))
          faults.push(`the id ${slice.find((id) => !fresh.has(id)) ?? slice[0]} is archived twice`)
        }
        faults.splice(1)
      })
    )
    return faults[0]
  })

const columns = ["exchange", "symbol", "data_type", "exchange_sequence_id", "timestamp"] as const

const idsPerInsert = 500

/** Between the clock that stamps messages and that of the journal, microseconds. */
const slack = 5_000_000
