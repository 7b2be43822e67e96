import type { Snapshot } from "./Snapshot.ts"
import type { StreamId } from "./StreamId.ts"

/**
 * Snapshots in columns, with their payloads concatenated in one buffer. The payload of row `i` is `bytes[ends[i - 1] ?? 0,
 * ends[i])`. Columns can be longer than `length`.
 */
export interface SnapshotBlock {
  readonly length: number
  /** The position of each row's stream in the batch's `streams`. */
  readonly stream: Uint32Array
  /** Receive times, microseconds since the epoch. */
  readonly timestamp: Float64Array
  /** Exchange times, microseconds since the epoch; NaN where there is none. */
  readonly exchangeTimestamp: Float64Array
  readonly exchangeSequenceId: ReadonlyArray<string>
  readonly ends: Uint32Array
  readonly bytes: Uint8Array
}

/** What is committed together: blocks in order of receipt. */
export interface SnapshotBatch {
  /** Increases from batch to batch of a queue. */
  readonly number: number
  readonly length: number
  readonly streams: ReadonlyArray<StreamId>
  readonly blocks: ReadonlyArray<SnapshotBlock>
}

/** Yields the Snapshots of a batch in order; their payloads are views into its blocks. */
export function* snapshotsOf(batch: SnapshotBatch): Generator<Snapshot> {
  for (const block of batch.blocks) {
    let start = 0
    for (let i = 0; i < block.length; i++) {
      const end = block.ends[i] ?? start
      const stream = batch.streams[block.stream[i] ?? 0]
      const exchangeTimestamp = block.exchangeTimestamp[i] ?? Number.NaN
      if (stream !== undefined) {
        yield {
          stream,
          exchangeSequenceId: block.exchangeSequenceId[i] ?? "",
          timestamp: block.timestamp[i] ?? 0,
          exchangeTimestamp: Number.isNaN(exchangeTimestamp) ? null : exchangeTimestamp,
          data: block.bytes.subarray(start, end)
        }
      }
      start = end
    }
  }
}
