import { Context, Effect, Layer } from "effect"
import type { Snapshot } from "../domain/Snapshot.ts"
import type { SnapshotBatch, SnapshotBlock } from "../domain/SnapshotBatch.ts"
import type { StreamId } from "../domain/StreamId.ts"

/** Messages of one stream that were dropped since drops were last taken. Times are receive times in microseconds. */
export interface Drop {
  readonly stream: StreamId
  readonly count: number
  readonly first: number
  readonly last: number
}

/** What was offered for one stream since the start. */
export interface StreamOffers {
  readonly stream: StreamId
  readonly received: number
  readonly dropped: number
  /** Receive time of the newest, microseconds. */
  readonly lastAt: number
}

export interface SnapshotQueueCounts {
  /** Snapshots offered since the start. */
  readonly received: number
  /** Snapshots dropped since the start. */
  readonly dropped: number
  /** Snapshots waiting. */
  readonly depth: number
  /** Batches that were taken and are not released yet. */
  readonly unreleased: number
}

/**
 * A sliding queue of Snapshots in columns: an offer copies the payload and returns; when the queue is full, the oldest Snapshots
 * are dropped and counted. Bounded by a number of Snapshots and by `maxBytes` of payload.
 *
 * `Queue.sliding` is not used: it keeps an object for each message, is bounded by the number of messages alone, and does not say
 * what was dropped. An offer must run on the call stack of a socket, where a fiber for each message costs 2.5 to 4 µs, and a
 * batch must cross to another thread without being copied message by message. See docs/decisions/0002-own-queue.md.
 */
export class SnapshotQueue extends Context.Tag("collector/SnapshotQueue")<
  SnapshotQueue,
  {
    /** Never waits and never fails; made for the call stack of a socket. */
    readonly unsafeOffer: (snapshot: Snapshot) => void
    /**
     * Takes everything that is waiting, at once, oldest first. Valid until it is released; an empty batch need not be released.
     */
    readonly takeAll: Effect.Effect<SnapshotBatch>
    /** Lets the memory of a taken batch be reused. */
    readonly release: (batch: SnapshotBatch) => Effect.Effect<void>
    /** Returns as soon as the queue is at least half full, by the number of Snapshots or by their bytes. */
    readonly awaitHalfFull: Effect.Effect<void>
    /** Takes what was dropped since the last call. */
    readonly takeDrops: Effect.Effect<ReadonlyArray<Drop>>
    readonly counts: Effect.Effect<SnapshotQueueCounts>
    /** The offers of each stream, in the order of their first Snapshots. */
    readonly offers: Effect.Effect<ReadonlyArray<StreamOffers>>
    /** Maximum number of Snapshots. */
    readonly capacity: Effect.Effect<number>
    /** Changes it. A smaller one counts from the next `takeAll` on: nothing is dropped for it. */
    readonly setCapacity: (capacity: number) => Effect.Effect<void>
  }
>() {
  /** `capacity` is the maximum number of Snapshots in the queue. */
  static readonly layer = (options: { readonly capacity: number; readonly maxBytes?: number }) =>
    Layer.effect(this, make(options.capacity, options.maxBytes ?? defaultMaxBytes))
}

const defaultMaxBytes = 256 * 1024 * 1024
const rowsPerBlock = 4096
const bytesPerBlock = 1024 * 1024
/** Blocks kept for reuse: enough for what usually waits, few enough to keep after a burst. */
const maxSpareBlocks = 32

/** A block that is being filled. Rows before `head` were dropped. */
interface OpenBlock {
  readonly stream: Uint32Array
  readonly timestamp: Float64Array
  readonly exchangeTimestamp: Float64Array
  readonly ends: Uint32Array
  readonly bytes: Uint8Array
  exchangeSequenceId: Array<string>
  length: number
  head: number
}

const make = (initialCapacity: number, maxBytes: number) =>
  Effect.gen(function* () {
    const halfFull = yield* Effect.makeLatch(false)
    let capacity = initialCapacity
    let nextCapacity = initialCapacity
    let half = halfOf(capacity)
    const halfBytes = Math.ceil(maxBytes / 2)
    let isHalfFull = false
    const positions = new Map<StreamId, number>()
    const streams: Array<StreamId> = []
    const offers: Array<{ readonly stream: StreamId; received: number; dropped: number; lastAt: number }> = []
    let blocks: Array<OpenBlock> = []
    const taken = new Map<number, ReadonlyArray<OpenBlock>>()
    let batches = 0
    const spare: Array<OpenBlock> = []
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
      const offer = offers[stream]
      if (offer !== undefined) offer.dropped++
      bytes -= sizeOf(block, row)
      depth--
      dropped++
      if (block.head === block.length) {
        blocks.shift()
        recycle(block)
        if (current === block) current = undefined
      }
    }

    const recycle = (block: OpenBlock) => {
      if (spare.length === maxSpareBlocks || block.bytes.length > bytesPerBlock) return
      block.exchangeSequenceId = []
      block.length = 0
      block.head = 0
      spare.push(block)
    }

    const unsafeOffer = (snapshot: Snapshot) => {
      received++
      const size = snapshot.data.length
      while (depth > 0 && (depth >= capacity || bytes + size > maxBytes)) dropOldest()
      let block = current
      if (block === undefined || block.length === rowsPerBlock || endOf(block) + size > block.bytes.length) {
        block = (size <= bytesPerBlock ? spare.pop() : undefined) ?? openBlock(size)
        blocks.push(block)
        current = block
      }
      let position = positions.get(snapshot.stream)
      if (position === undefined) {
        position = streams.push(snapshot.stream) - 1
        positions.set(snapshot.stream, position)
        offers.push({ stream: snapshot.stream, received: 0, dropped: 0, lastAt: 0 })
      }
      const offer = offers[position]
      if (offer !== undefined) {
        offer.received++
        offer.lastAt = snapshot.timestamp
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
      if (!isHalfFull && (depth >= half || bytes >= halfBytes)) {
        isHalfFull = true
        halfFull.unsafeOpen()
      }
    }

    const resize = (next: number) => {
      capacity = next
      half = halfOf(next)
    }

    const takeAll = Effect.sync((): SnapshotBatch => {
      const batch = {
        number: ++batches,
        length: depth,
        streams: streams.slice(),
        blocks: blocks.map(closeBlock)
      }
      if (depth > 0) taken.set(batch.number, blocks)
      blocks = []
      current = undefined
      depth = 0
      bytes = 0
      resize(nextCapacity)
      isHalfFull = false
      halfFull.unsafeClose()
      return batch
    })

    const release = ({ number }: SnapshotBatch) =>
      Effect.sync(() => {
        for (const block of taken.get(number) ?? []) recycle(block)
        taken.delete(number)
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
      release,
      awaitHalfFull: halfFull.await,
      takeDrops,
      counts: Effect.sync(() => ({ received, dropped, depth, unreleased: taken.size })),
      offers: Effect.sync(() => offers.map((offer) => ({ ...offer }))),
      capacity: Effect.sync(() => nextCapacity),
      setCapacity: (next) =>
        Effect.sync(() => {
          nextCapacity = next
          if (next > capacity) resize(next)
        })
    })
  })

const halfOf = (capacity: number): number => Math.max(1, Math.ceil(capacity / 2))

/**
 * Opens a block in shared memory: the storage thread reads it in place, nothing is copied and nothing is left to the garbage
 * collector.
 */
const openBlock = (firstSize: number): OpenBlock => {
  const columns = new SharedArrayBuffer(24 * rowsPerBlock)
  return {
    timestamp: new Float64Array(columns, 0, rowsPerBlock),
    exchangeTimestamp: new Float64Array(columns, 8 * rowsPerBlock, rowsPerBlock),
    stream: new Uint32Array(columns, 16 * rowsPerBlock, rowsPerBlock),
    ends: new Uint32Array(columns, 20 * rowsPerBlock, rowsPerBlock),
    bytes: new Uint8Array(new SharedArrayBuffer(Math.max(bytesPerBlock, firstSize))),
    exchangeSequenceId: [],
    length: 0,
    head: 0
  }
}

const endOf = (block: OpenBlock): number => (block.length === 0 ? 0 : (block.ends[block.length - 1] ?? 0))

const sizeOf = (block: OpenBlock, row: number): number =>
  (block.ends[row] ?? 0) - (row === 0 ? 0 : (block.ends[row - 1] ?? 0))

/** Closes a block, without the dropped rows. Nothing is added to it any more. */
const closeBlock = (block: OpenBlock): SnapshotBlock => {
  const { head, length } = block
  const start = head === 0 ? 0 : (block.ends[head - 1] ?? 0)
  const end = endOf(block)
  const ends = block.ends.subarray(head, length)
  if (start > 0) for (let i = 0; i < ends.length; i++) ends[i] = (ends[i] ?? 0) - start
  return {
    length: length - head,
    stream: block.stream.subarray(head, length),
    timestamp: block.timestamp.subarray(head, length),
    exchangeTimestamp: block.exchangeTimestamp.subarray(head, length),
    exchangeSequenceId: head === 0 ? block.exchangeSequenceId : block.exchangeSequenceId.slice(head),
    ends,
    bytes: block.bytes.subarray(start, end)
  }
}
