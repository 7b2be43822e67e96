import { randomInt } from "node:crypto"
import { dirname } from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Schema } from "effect"
import type { SnapshotBatch } from "../../../src/domain/SnapshotBatch.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { endWithParent, readArgument, tell } from "./channel.ts"
import { storageLayer } from "./storage.ts"

/** A database as the collector leaves it that could not archive: books of one stream, all of one day. */
const Options = Schema.Struct({
  database: Schema.String,
  symbol: Schema.String,
  rows: Schema.Int,
  bytes: Schema.Int
})

const { bytes, database, rows, symbol } = Schema.decodeUnknownSync(Options)(readArgument())
endWithParent()
const noon = (Math.floor(Date.now() / 86_400_000) * 86_400 + 43_200) * 1_000_000
const rowsPerBatch = 2_000

const main = Effect.gen(function* () {
  const storage = yield* Storage
  // The cycle at the start must not find any of these rows.
  yield* storage.runCycle
  const next = makeBooks(bytes)
  for (let from = 0; from < rows; from += rowsPerBatch) {
    yield* storage.append(batchOf(from, Math.min(rowsPerBatch, rows - from), next))
  }
}).pipe(Effect.provide(storageLayer(database, dirname(database))))

const batchOf = (from: number, length: number, next: (id: string) => string): SnapshotBatch => {
  const ids = Array.from({ length }, (_, i) => String(10_000_000_000 + 3 * (from + i)))
  const payloads = ids.map((id) => Buffer.from(next(id)))
  let end = 0
  return {
    number: from + 1,
    length,
    streams: [{ exchange: "binance", symbol, dataType: "orderbook" }],
    blocks: [
      {
        length,
        stream: new Uint32Array(length),
        timestamp: Float64Array.from(ids, (_, i) => noon + (from + i) * 5_000 + randomInt(5_000)),
        exchangeTimestamp: new Float64Array(length).fill(Number.NaN),
        exchangeSequenceId: ids,
        ends: Uint32Array.from(payloads, (payload) => (end += payload.length)),
        bytes: Buffer.concat(payloads)
      }
    ]
  }
}

main.pipe(
  Effect.tap(() =>
    Effect.sync(() => {
      tell({ rows })
      process.disconnect()
    })
  ),
  NodeRuntime.runMain
)

/** Messages of 20 levels a side; from one to the next a few quantities change, and at times the price. */
function makeBooks(bytes: number): (id: string) => string {
  const digits = Math.max(3, Math.round((bytes - 60) / 40) - 17)
  const quantity = () =>
    `${randomInt(0, 10)}.${String(randomInt(0, 10 ** 9))
      .padStart(digits, "0")
      .slice(-digits)}`
  const sides = [-1, 1].map((away) => ({ away, quantities: Array.from({ length: 20 }, quantity) }))
  let best = 4_321_000
  return (id) => {
    const moves = randomInt(0, 10) === 0 ? randomInt(-1, 2) : 0
    best += moves
    const [bids, asks] = sides.map(({ away, quantities }) => {
      for (let i = randomInt(1, 5); i > 0; i--) quantities[randomInt(0, 20)] = quantity()
      if (moves === -away) quantities.unshift(quantity())
      else if (moves === away) quantities.push(quantity())
      quantities.splice(moves === away ? 0 : 20, quantities.length - 20)
      return quantities.map((text, i) => `["${((best + away * (i + 1)) / 100).toFixed(2)}","${text}"]`).join()
    })
    return `{"lastUpdateId":${id},"bids":[${bids}],"asks":[${asks}]}`
  }
}
