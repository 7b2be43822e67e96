import { Context, Effect, Layer } from "effect"
import type { Snapshot } from "../domain/Snapshot.ts"
import type { SnapshotBatch, SnapshotBlock } from "../domain/SnapshotBatch.ts"
import type { StreamId } from "../domain/StreamId.ts"

/** Messages of one stream that gave way since drops were last taken. Times are receive times in microseconds. */
export interface Drop {
  readonly stream: StreamId
  readonly count: number
  readonly first: number
  readonly last: number
}

export interface SnapshotQueueCounts {
  /** Snapshots offered since the start. */
  readonly received: number
  /** Snapshots that gave way since the start. */
  readonly dropped: number
  /** Snapshots waiting. */
  readonly depth: number
}

/**
 * A sliding queue of Snapshots in columns: an offer copies the payload and returns; when the queue is full the oldest
 * Snapshots give way and are counted. Bounded by a number of Snapshots and by `maxBytes` of payload.
 */
export class SnapshotQueue extends Context.Tag("collector/SnapshotQueue")<
  SnapshotQueue,
  {
    /** Never waits and never fails; made for the call stack of a socket. */
    readonly unsafeOffer: (snapshot: Snapshot) => void
    /** Everything that waits, at once, oldest first. */
    readonly takeAll: Effect.Effect<SnapshotBatch>
    /** Returns as soon as the queue is at least half full. */
    readonly awaitHalfFull: Effect.Effect<void>
    /** What gave way since the last call. */
    readonly takeDrops: Effect.Effect<ReadonlyArray<Drop>>
    readonly counts: Effect.Effect<SnapshotQueueCounts>
  }
>() {
  /** `capacity` is how many Snapshots the queue holds in all. */
  static readonly layer = (options: { readonly capacity: number; readonly maxBytes?: number }) =>
    Layer.effect(this, make(options.capacity, options.maxBytes ?? defaultMaxBytes))
}

const defaultMaxBytes = 256 * 1024 * 1024
const rowsPerBlock = 4096
const bytesPerBlock = 1024 * 1024

/** A block that is being filled. Rows before `head` gave way. */
interface OpenBlock {
  readonly stream: Uint32Array
  readonly timestamp: Float64Array
  readonly exchangeTimestamp: Float64Array
  readonly exchangeSequenceId: Array<string>
  readonly ends: Uint32Array
  readonly bytes: Uint8Array
  length: number
  head: number
}

const make = (capacity: number, maxBytes: number) =>
  Effect.gen(function* () {
    const halfFull = yield* Effect.makeLatch(false)
    const half = Math.max(1, Math.ceil(capacity / 2))
    const positions = new Map<StreamId, number>()
    const streams: Array<StreamId> = []
    let blocks: Array<OpenBlock> = []
    let current: OpenBlock | undefined
    let depth = 0
    let bytes = 0
    let received = 0
    let dropped = 0
    let drops = new Map<number, { count: number; first: number; last: number }>()

    const dropOldest = () => {
      const block = blocks[0]
      if (block === undefined) return
      const row = block.head++
      const stream = block.stream[row] ?? 0
      const timestamp = block.timestamp[row] ?? 0
      const drop = drops.get(stream)
      if (drop === undefined) drops.set(stream, { count: 1, first: timestamp, last: timestamp })
      else {
        drop.count++
        drop.last = timestamp
      }
      bytes -= sizeOf(block, row)
      depth--
      dropped++
      if (block.head === block.length) {
        blocks.shift()
        if (current === block) current = undefined
      }
    }

    const unsafeOffer = (snapshot: Snapshot) => {
      received++
      const size = snapshot.data.length
      while (depth > 0 && (depth >= capacity || bytes + size > maxBytes)) dropOldest()
      let block = current
      if (block === undefined || block.length === rowsPerBlock || endOf(block) + size > block.bytes.length) {
        block = openBlock(size)
        blocks.push(block)
        current = block
      }
      let position = positions.get(snapshot.stream)
      if (position === undefined) {
        position = streams.push(snapshot.stream) - 1
        positions.set(snapshot.stream, position)
      }
      const row = block.length
      const start = endOf(block)
      block.bytes.set(snapshot.data, start)
      block.stream[row] = position
      block.timestamp[row] = snapshot.timestamp
      block.exchangeTimestamp[row] = snapshot.exchangeTimestamp ?? Number.NaN
      block.exchangeSequenceId.push(snapshot.exchangeSequenceId)
      block.ends[row] = start + size
      block.length = row + 1
      bytes += size
      depth++
      if (depth === half) halfFull.unsafeOpen()
    }

    const takeAll = Effect.sync((): SnapshotBatch => {
      const batch = { length: depth, streams: streams.slice(), blocks: blocks.map(closeBlock) }
      blocks = []
      current = undefined
      depth = 0
      bytes = 0
      halfFull.unsafeClose()
      return batch
    })

    const takeDrops = Effect.sync((): ReadonlyArray<Drop> => {
      const taken = drops
      drops = new Map()
      return Array.from(taken).flatMap(([position, drop]) => {
        const stream = streams[position]
        return stream === undefined ? [] : [{ stream, ...drop }]
      })
    })

    return SnapshotQueue.of({
      unsafeOffer,
      takeAll,
      awaitHalfFull: halfFull.await,
      takeDrops,
      counts: Effect.sync(() => ({ received, dropped, depth }))
    })
  })

const openBlock = (firstSize: number): OpenBlock => ({
  stream: new Uint32Array(rowsPerBlock),
  timestamp: new Float64Array(rowsPerBlock),
  exchangeTimestamp: new Float64Array(rowsPerBlock),
  exchangeSequenceId: [],
  ends: new Uint32Array(rowsPerBlock),
  bytes: new Uint8Array(Math.max(bytesPerBlock, firstSize)),
  length: 0,
  head: 0
})

const endOf = (block: OpenBlock): number => (block.length === 0 ? 0 : (block.ends[block.length - 1] ?? 0))

const sizeOf = (block: OpenBlock, row: number): number =>
  (block.ends[row] ?? 0) - (row === 0 ? 0 : (block.ends[row - 1] ?? 0))

/** The block without the rows that gave way. */
const closeBlock = (block: OpenBlock): SnapshotBlock => {
  if (block.head === 0) return block
  const start = block.ends[block.head - 1] ?? 0
  return {
    length: block.length - block.head,
    stream: block.stream.slice(block.head),
    timestamp: block.timestamp.slice(block.head),
    exchangeTimestamp: block.exchangeTimestamp.slice(block.head),
    exchangeSequenceId: block.exchangeSequenceId.slice(block.head),
    ends: block.ends.slice(block.head, block.length).map((end) => end - start),
    bytes: block.bytes.slice(start, endOf(block))
  }
}
