import type { Snapshot } from "./Snapshot.ts"
import type { StreamId } from "./StreamId.ts"

/**
 * Snapshots in columns, their payloads one after the other in one buffer: what waits in the queue and what crosses to
 * the storage thread. Row `i` has the payload `bytes[ends[i - 1] ?? 0, ends[i])`.
 */
export interface SnapshotBlock {
  readonly length: number
  /** The streams that `stream` refers to by position. */
  readonly streams: ReadonlyArray<StreamId>
  readonly stream: Uint32Array
  /** Receive times, microseconds since the epoch. */
  readonly timestamp: Float64Array
  /** Exchange times, microseconds since the epoch; NaN where there is none. */
  readonly exchangeTimestamp: Float64Array
  readonly exchangeSequenceId: ReadonlyArray<string>
  readonly ends: Uint32Array
  readonly bytes: Uint8Array
}

/** The rows of a block as Snapshots; payloads are views into the block. */
export function* snapshotsOf(block: SnapshotBlock): Generator<Snapshot> {
  let start = 0
  for (let i = 0; i < block.length; i++) {
    const end = block.ends[i] ?? start
    const stream = block.streams[block.stream[i] ?? 0]
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
