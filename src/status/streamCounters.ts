import type { StreamStatus } from "../exchange/ExchangeStream.ts"
import type { StreamCommits } from "../ingest/CommitTally.ts"
import type { StreamOffers } from "../ingest/SnapshotQueue.ts"

/** What is known about a stream where it is received and committed. Nothing for a stream without a message so far. */
export interface StreamFacts {
  readonly status: StreamStatus | undefined
  readonly offers: StreamOffers | undefined
  readonly commits: StreamCommits | undefined
  /** Events that left it in doubt. */
  readonly doubts: number
}

interface StreamCounter {
  /** The name of the metric. */
  readonly metric: string
  readonly help: string
  readonly read: (facts: StreamFacts) => number
}

/**
 * The counters of each stream since the start. The table that crosses to the status page's thread, the metrics and the API all
 * contain what is listed here, under these names.
 */
export const streamCounters = {
  received: {
    metric: "collector_messages_received_total",
    help: "Messages that were received.",
    read: ({ offers }) => offers?.received ?? 0
  },
  committed: {
    metric: "collector_messages_committed_total",
    help: "Messages that were committed to the database.",
    read: ({ commits }) => commits?.committed ?? 0
  },
  duplicates: {
    metric: "collector_messages_duplicate_total",
    help: "Messages that were already stored.",
    read: ({ commits }) => commits?.duplicates ?? 0
  },
  dropped: {
    metric: "collector_messages_dropped_total",
    help: "Messages dropped because the queue was full.",
    read: ({ offers }) => offers?.dropped ?? 0
  },
  rejected: {
    metric: "collector_messages_rejected_total",
    help: "Messages that the database rejected individually.",
    read: ({ commits }) => commits?.rejected ?? 0
  },
  gaps: {
    metric: "collector_stream_gaps_total",
    help: "Places where messages are proven to be missing.",
    read: ({ status }) => status?.gaps ?? 0
  },
  doubts: {
    metric: "collector_stream_unverifiable_total",
    help: "Times for which nothing proves whether messages are missing: the stream restarted, or was silent.",
    read: ({ doubts }) => doubts
  }
} as const satisfies Readonly<Record<string, StreamCounter>>

export type CounterName = keyof typeof streamCounters
