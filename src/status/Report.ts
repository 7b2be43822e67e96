import { Record } from "effect"
import type { SaidStatus } from "../domain/ExchangeStatuses.ts"
import type { MetricFamily } from "../domain/MetricFamily.ts"
import type { StorageView } from "../domain/StorageView.ts"
import type { StreamId } from "../domain/StreamId.ts"
import { streamCounters } from "./streamCounters.ts"

/**
 * What receiving and storing say about themselves, once a second. It crosses to the thread of the status page as it is:
 * numbers per stream stand in columns, so that thousands of streams cost receiving next to nothing.
 */
export interface Report {
  /** Microseconds since the epoch, as all times here. */
  readonly at: number
  readonly startedAt: number
  readonly streams: StreamTable
  readonly exchanges: ReadonlyArray<ExchangeReport>
  readonly queue: {
    readonly received: number
    readonly dropped: number
    readonly depth: number
    readonly capacity: number
  }
  readonly commits: {
    readonly committed: number
    readonly duplicates: number
    readonly rejected: number
    /** When the last one was done; null if there was none. */
    readonly lastAt: number | null
    /** How long it took, seconds. */
    readonly lastSeconds: number | null
    /** Since when they fail; null while they do not. */
    readonly failingSince: number | null
    readonly failure: string | null
  }
  /** What storage said last; null before it said anything. */
  readonly storage: StorageView | null
  /** Since when storage does not answer; null while it does. */
  readonly storageSilentSince: number | null
  /** Bytes of the receiving thread's heap that are in use. */
  readonly heapUsed: number
  /** Seconds that the receiving thread was late, over the last half minute or more. */
  readonly lag: { readonly p50: number; readonly p99: number; readonly max: number }
  /** Metrics of the receiving thread. */
  readonly families: ReadonlyArray<MetricFamily>
}

/** All streams. Row `i` of the columns is of stream `i`. */
export interface StreamTable {
  /** Changes whenever `ids` does. */
  readonly version: number
  readonly ids: ReadonlyArray<StreamId>
  /** `streamColumns.length` numbers for each stream. */
  readonly values: Float64Array
}

/**
 * What is known of each stream, beside what is counted of it: `lastMessageAt` is NaN where there was none; `patience` is after how
 * many seconds without a message it counts as silent, by its own habit, NaN where that is not known; `unverifiable` is 1 where
 * nothing on the wire would prove a gap.
 */
export const streamColumns = [
  "state",
  "lastMessageAt",
  "patience",
  "unverifiable",
  ...Record.keys(streamCounters)
] as const
export type StreamColumn = (typeof streamColumns)[number]

/** What the column `state` counts. */
export const streamStates = ["connecting", "subscribed", "live", "silent", "refused", "unreadable"] as const
export type StreamState = (typeof streamStates)[number]

/** A number of a stream. */
export const cell = ({ values }: StreamTable, stream: number, column: StreamColumn): number =>
  values[stream * streamColumns.length + streamColumns.indexOf(column)] ?? Number.NaN

export const stateOf = (table: StreamTable, stream: number): StreamState =>
  streamStates[cell(table, stream, "state")] ?? "connecting"

/** The connections to an exchange. */
export interface ExchangeReport {
  readonly exchange: string
  /** Those that are open. */
  readonly connections: number
  /** When a frame of any kind was last heard on one of them, pongs included; null while none is open. */
  readonly heardAt: number | null
  /** Pings that we sent, and the answers. */
  readonly pings: number
  readonly pongs: number
  /** Pings of the exchange, all answered. */
  readonly pingsAnswered: number
  /** By what ended the connection before; each reason that there may be. */
  readonly reconnects: ReadonlyArray<readonly [reason: string, count: number]>
  /** What it says of itself, in its own words, the latest last. */
  readonly statuses: ReadonlyArray<SaidStatus>
}
