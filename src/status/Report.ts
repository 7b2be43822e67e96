import { Record } from "effect"
import type { SaidStatus } from "../domain/ExchangeStatuses.ts"
import type { MetricFamily } from "../domain/MetricFamily.ts"
import type { StorageView } from "../domain/StorageView.ts"
import type { StreamId } from "../domain/StreamId.ts"
import type { StreamState } from "../exchange/TrackedStream.ts"
import { streamCounters } from "./streamCounters.ts"

/**
 * What receiving and storing report about themselves, once a second. It crosses to the thread of the status page unchanged:
 * numbers per stream are in columns, so that thousands of streams cost receiving next to nothing.
 */
export interface Report {
  /** Microseconds since the epoch, like all times here. */
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
    /** When the last commit was done; null if there was none. */
    readonly lastAt: number | null
    /** How long it took, seconds. */
    readonly lastSeconds: number | null
    /** Start of the current series of failures; null if there is none. */
    readonly failingSince: number | null
    readonly failure: string | null
  }
  /** The latest view of storage; null before the first one. */
  readonly storage: StorageView | null
  /** Since when storage has not answered; null while it answers. */
  readonly storageSilentSince: number | null
  /** What reading the settings file again has led to; null without a file. */
  readonly reload: ReloadReport | null
  /** Bytes of the receiving thread's heap in use. */
  readonly heapUsed: number
  /** Seconds by which the receiving thread was late, over the last half minute or more. */
  readonly lag: { readonly p50: number; readonly p99: number; readonly max: number }
  /** Metrics of the receiving thread. */
  readonly families: ReadonlyArray<MetricFamily>
}

export interface ReloadReport {
  /** Since when the file has had a mistake, and which; null if it has none. */
  readonly failing: { readonly since: number; readonly reason: string } | null
  /** When streams were last added or ended; null if they never were. */
  readonly changedAt: number | null
}

/** All streams. Row `i` of the columns belongs to stream `i`. */
export interface StreamTable {
  /** Changes whenever `ids` does. */
  readonly version: number
  readonly ids: ReadonlyArray<StreamId>
  /** `streamColumns.length` numbers per stream. */
  readonly values: Float64Array
}

/**
 * What is known about each stream, besides its counters. `lastMessageAt` is NaN if there was no message; `patience` is the
 * number of seconds without a message after which the stream counts as silent, judged by its own habit, NaN if unknown;
 * `unverifiable` is 1 if nothing on the wire would prove a gap.
 */
export const streamColumns = [
  "state",
  "lastMessageAt",
  "patience",
  "unverifiable",
  ...Record.keys(streamCounters)
] as const
export type StreamColumn = (typeof streamColumns)[number]

/** The values of the column `state`, by index. */
export const streamStates = [
  "connecting",
  "subscribed",
  "live",
  "silent",
  "refused",
  "unreadable"
] as const satisfies ReadonlyArray<StreamState>

/** Reads a number of a stream. */
export const cell = ({ values }: StreamTable, stream: number, column: StreamColumn): number =>
  values[stream * streamColumns.length + streamColumns.indexOf(column)] ?? Number.NaN

export const stateOf = (table: StreamTable, stream: number): StreamState =>
  streamStates[cell(table, stream, "state")] ?? "connecting"

/** The connections to an exchange. */
export interface ExchangeReport {
  readonly exchange: string
  /** The number of open connections. */
  readonly connections: number
  /** When a frame of any kind, pongs included, was last received on one of them; null while none is open. */
  readonly heardAt: number | null
  /** Pings that we sent, and their answers. */
  readonly pings: number
  readonly pongs: number
  /** Pings from the exchange, all answered. */
  readonly pingsAnswered: number
  /** By what ended the previous connection; every possible reason is listed. */
  readonly reconnects: ReadonlyArray<readonly [reason: string, count: number]>
  /** What the exchange reports about itself, in its own words, the latest last. */
  readonly statuses: ReadonlyArray<SaidStatus>
}
