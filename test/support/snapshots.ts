import { Effect } from "effect"
import type { Snapshot } from "../../src/domain/Snapshot.ts"
import type { SnapshotBatch } from "../../src/domain/SnapshotBatch.ts"
import type { StreamId } from "../../src/domain/StreamId.ts"
import { SnapshotQueue } from "../../src/ingest/SnapshotQueue.ts"

export const book: StreamId = { exchange: "binance", symbol: "btcusdt", dataType: "orderbook" }
export const trade: StreamId = { exchange: "binance", symbol: "btcusdt", dataType: "trade" }

/** 2026-01-01T00:00:00Z, microseconds. */
export const newYear = Date.UTC(2026, 0, 1) * 1000

/** The n-th message of a stream, one a millisecond from the new year on. */
export const snapshot = (n: number, stream: StreamId = book, more: Partial<Snapshot> = {}): Snapshot => ({
  stream,
  exchangeSequenceId: String(n),
  timestamp: newYear + n * 1000,
  exchangeTimestamp: n % 2 === 0 ? newYear + n * 1000 - 500 : null,
  data: Buffer.from(`{"n":${n},"s":"${stream.symbol} ü €"}`),
  ...more
})

export const range = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from }, (_, i) => from + i)

/** Snapshots as the queue hands them over. */
export const batchOf = (snapshots: ReadonlyArray<Snapshot>): SnapshotBatch =>
  Effect.runSync(
    Effect.provide(
      Effect.gen(function* () {
        const queue = yield* SnapshotQueue
        for (const each of snapshots) queue.unsafeOffer(each)
        return yield* queue.takeAll
      }),
      SnapshotQueue.layer({ capacity: snapshots.length + 1 })
    )
  )

/** For who purges rows without a journal. */
export const unnoted = () => Effect.void
