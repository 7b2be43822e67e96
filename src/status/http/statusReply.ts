import { Record, Schema } from "effect"
import { Micros } from "../../domain/micros.ts"
import { DataType } from "../../domain/StreamId.ts"
import { cell, type Report, type StreamColumn, stateOf, streamStates } from "../Report.ts"
import { streamCounters } from "../streamCounters.ts"
import type { Disk } from "./Disk.ts"
import type { History } from "./History.ts"

const Count = Schema.Number.annotations({ description: "Since the collector started." })
const Bytes = Schema.Number.annotations({ description: "Bytes." })

export const HealthStatus = Schema.Literal("healthy", "degraded", "unhealthy")

const StreamReply = Schema.Struct({
  exchange: Schema.String,
  symbol: Schema.String,
  dataType: DataType,
  state: Schema.Literal(...streamStates),
  lastMessageAt: Schema.NullOr(Micros),
  messagesPerSecond: Schema.Number,
  ...Record.map(streamCounters, ({ help }) =>
    Schema.Number.annotations({ description: `Since the collector started. ${help}` })
  ),
  gapsToday: Schema.Number.annotations({ description: "Since midnight UTC, or since the start." }),
  unverifiable: Schema.Boolean.annotations({ description: "Whether nothing on the wire would prove a gap." })
})

const ExchangeReply = Schema.Struct({
  exchange: Schema.String,
  connections: Schema.Number.annotations({ description: "Open connections." }),
  pings: Count,
  pongs: Count,
  pingsAnswered: Count.annotations({ description: "Pings of the exchange." }),
  reconnects: Schema.Record({ key: Schema.String, value: Count }),
  statuses: Schema.Array(
    Schema.Struct({
      exchange: Schema.String,
      subject: Schema.NullOr(Schema.String).annotations({
        description: "The subject, such as a maintenance; null for the exchange as a whole."
      }),
      status: Schema.String,
      text: Schema.NullOr(Schema.String),
      from: Micros
    })
  ).annotations({ description: "Status messages of the exchange, in its own words." })
})

const ArchiveReply = Schema.Struct({
  key: Schema.String,
  step: Schema.String.annotations({ description: "The last completed step." }),
  at: Micros,
  rows: Schema.NullOr(Schema.Number),
  bytes: Schema.NullOr(Bytes),
  seconds: Schema.NullOr(Schema.Number)
})

/** Everything the collector reports about itself at this moment. */
export const StatusReply = Schema.Struct({
  server: Schema.String,
  version: Schema.String,
  status: HealthStatus,
  reasons: Schema.Array(Schema.String),
  at: Schema.NullOr(Micros),
  streams: Schema.Array(StreamReply),
  exchanges: Schema.Array(ExchangeReply),
  queue: Schema.NullOr(
    Schema.Struct({ received: Count, dropped: Count, depth: Schema.Number, capacity: Schema.Number })
  ),
  commits: Schema.NullOr(
    Schema.Struct({
      committed: Count,
      duplicates: Count,
      rejected: Count,
      lastAt: Schema.NullOr(Micros),
      lastSeconds: Schema.NullOr(Schema.Number),
      failingSince: Schema.NullOr(Micros),
      failure: Schema.NullOr(Schema.String)
    })
  ),
  archives: Schema.NullOr(
    Schema.Struct({
      done: Count,
      pending: Schema.Number,
      rows: Count,
      bytes: Count,
      recent: Schema.Array(ArchiveReply)
    })
  ),
  disk: Schema.NullOr(Schema.Struct({ database: Bytes, wal: Bytes, outbox: Bytes, free: Bytes })),
  lag: Schema.NullOr(
    Schema.Struct({ p50: Schema.Number, p99: Schema.Number, max: Schema.Number })
  ).annotations({ description: "Seconds that receiving was late, over the last half minute or more." })
}).annotations({ identifier: "Status" })
export type StatusReply = typeof StatusReply.Type

/** The part of a status that is derived from a report. */
export const statusReplyOf = (
  report: Report | null,
  disk: Disk | null,
  history: History
): Omit<StatusReply, "server" | "version" | "status" | "reasons"> => ({
  at: report?.at ?? null,
  streams: streamsOf(report, history),
  exchanges: (report?.exchanges ?? []).map((exchange) => ({
    ...exchange,
    reconnects: Object.fromEntries(exchange.reconnects)
  })),
  queue: report?.queue ?? null,
  commits: report?.commits ?? null,
  archives:
    report?.storage == null
      ? null
      : {
          done: report.storage.archives,
          pending: report.storage.pending,
          rows: report.storage.rows,
          bytes: report.storage.bytes,
          recent: report.storage.recent
        },
  disk,
  lag: report?.lag ?? null
})

const streamsOf = (report: Report | null, history: History): StatusReply["streams"] => {
  if (report === null) return []
  const { streams } = report
  const rates = history.rates()
  const gapsToday = history.gapsToday()
  return streams.ids.map((id, i) => {
    const count = (column: StreamColumn) => {
      const value = cell(streams, i, column)
      return Number.isNaN(value) ? 0 : value
    }
    const lastMessageAt = cell(streams, i, "lastMessageAt")
    return {
      exchange: id.exchange,
      symbol: id.symbol,
      dataType: id.dataType,
      state: stateOf(streams, i),
      lastMessageAt: Number.isNaN(lastMessageAt) ? null : lastMessageAt,
      messagesPerSecond: rates[i] ?? 0,
      ...Record.map(streamCounters, (_, column) => count(column)),
      gapsToday: gapsToday[i] ?? 0,
      unverifiable: count("unverifiable") === 1
    }
  })
}
