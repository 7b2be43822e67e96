import { type Histogram, makeHistogram, observe } from "../domain/Histogram.ts"
import type { SnapshotBatch } from "../domain/SnapshotBatch.ts"
import type { Appended } from "../domain/StorageAnswers.ts"
import type { StreamId } from "../domain/StreamId.ts"

/** What became of the messages of one stream since the start. */
export interface StreamCommits {
  readonly committed: number
  readonly duplicates: number
  readonly rejected: number
}

/** What became of all batches, by stream, and how long their messages waited. */
export interface CommitTally {
  readonly streams: ReadonlyMap<StreamId, StreamCommits>
  /** Seconds from receipt to commit, for every message of a batch, including duplicates. */
  readonly latency: Histogram
  /** Counts a batch that was committed at this time, microseconds. */
  readonly add: (batch: SnapshotBatch, appended: Appended, at: number) => void
}

export const makeCommitTally = (): CommitTally => {
  const streams = new Map<StreamId, { committed: number; duplicates: number; rejected: number }>()
  const latency = makeHistogram([0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300])

  const add = (batch: SnapshotBatch, appended: Appended, at: number) => {
    const rows = new Uint32Array(batch.streams.length)
    for (const { length, stream, timestamp } of batch.blocks) {
      for (let i = 0; i < length; i++) {
        const position = stream[i] ?? 0
        rows[position] = (rows[position] ?? 0) + 1
        observe(latency, Math.max(0, (at - (timestamp[i] ?? at)) / 1e6))
      }
    }
    for (const [position, id] of batch.streams.entries()) {
      const total = rows[position] ?? 0
      if (total === 0) continue
      const counts = streams.get(id) ?? { committed: 0, duplicates: 0, rejected: 0 }
      const notInserted = appended.exceptions?.find((exception) => exception.stream === position)
      counts.committed += total - (notInserted?.duplicates ?? 0) - (notInserted?.rejected ?? 0)
      counts.duplicates += notInserted?.duplicates ?? 0
      counts.rejected += notInserted?.rejected ?? 0
      streams.set(id, counts)
    }
  }

  return { streams, latency, add }
}
