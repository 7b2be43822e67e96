import { Record } from "effect"
import { isImpaired } from "../../domain/ExchangeStatuses.ts"
import { type MetricFamily, type Sample, unlabelled } from "../../domain/MetricFamily.ts"
import { version } from "../../version.ts"
import { cell, type Report, type StreamColumn, streamStates } from "../Report.ts"
import { streamCounters } from "../streamCounters.ts"
import type { Disk } from "./Disk.ts"
import type { Health } from "./health.ts"

/** The collector's metrics, as of a report. `now` in microseconds since the epoch. */
export const familiesOf = (options: {
  readonly report: Report | null
  readonly disk: Disk | null
  readonly health: Health
  readonly readers: number
  readonly server: string
  readonly now: number
}): ReadonlyArray<MetricFamily> => {
  const { disk, health, now, readers, report, server } = options
  const info: MetricFamily = {
    name: "collector_build_info",
    type: "gauge",
    help: "The version of the collector and the name of this server; the value is always 1.",
    samples: [{ labels: { version, server }, value: 1 }]
  }
  const state: MetricFamily = {
    name: "collector_health_status",
    type: "gauge",
    help: "The answer of /health: 1 for the current status, 0 for the others.",
    samples: (["healthy", "degraded", "unhealthy"] as const).map((status) => ({
      labels: { status },
      value: status === health.status ? 1 : 0
    }))
  }
  return [
    info,
    state,
    unlabelled("collector_status_page_readers", "gauge", "Open status pages.", readers),
    ...(report === null ? [] : familiesOfReport(report, now)),
    ...(disk === null ? [] : ofDisk(disk))
  ]
}

const familiesOfReport = (report: Report, now: number): ReadonlyArray<MetricFamily> => {
  const { commits, exchanges, families, lag, queue, storage } = report
  return [
    ...Record.toEntries(streamCounters).map(([column, { help, metric }]) =>
      ofStreams(report, metric, "counter", help, countIn(column))
    ),
    ofStreams(
      report,
      "collector_stream_unverifiable",
      "gauge",
      "1 where nothing that the exchange sends would prove that messages are missing.",
      countIn("unverifiable")
    ),
    ofStreams(report, "collector_stream_state", "gauge", stateHelp, countIn("state")),
    ofStreams(
      report,
      "collector_stream_silence_seconds",
      "gauge",
      "Time since the last message of the stream; since the start where there was none.",
      ({ streams }, i) => {
        const last = cell(streams, i, "lastMessageAt")
        return Math.max(0, (now - (Number.isNaN(last) ? report.startedAt : last)) / 1e6)
      }
    ),
    ofStreams(
      report,
      "collector_stream_patience_seconds",
      "gauge",
      "After how many seconds without a message the stream counts as silent, by what is usual for it.",
      ({ streams }, i) => cell(streams, i, "patience")
    ),
    ofExchanges(report, "collector_connection_up", "Whether any connection is open.", (exchange) =>
      exchange.connections > 0 ? 1 : 0
    ),
    ofExchanges(report, "collector_connections", "Open connections.", (exchange) => exchange.connections),
    ofExchanges(
      report,
      "collector_pings_total",
      "Pings that were sent to the exchange.",
      (exchange) => exchange.pings
    ),
    ofExchanges(
      report,
      "collector_pongs_total",
      "Pings that the exchange answered.",
      (exchange) => exchange.pongs
    ),
    ofExchanges(
      report,
      "collector_exchange_pings_total",
      "Pings from the exchange, all answered.",
      (exchange) => exchange.pingsAnswered
    ),
    {
      name: "collector_reconnects_total",
      type: "counter",
      help: "Reconnects, by what ended the connection.",
      samples: exchanges.flatMap(({ exchange, reconnects }) =>
        reconnects.map(([reason, value]) => ({ labels: { exchange, reason }, value }))
      )
    },
    ofExchanges(
      report,
      "collector_exchange_impaired",
      "Number of reported impairments of the exchange, such as maintenance.",
      ({ statuses }) => statuses.filter(isImpaired).length
    ),
    {
      name: "collector_exchange_status",
      type: "gauge",
      help: "1 for the current status of the exchange, in its own word.",
      samples: exchanges.flatMap(({ exchange, statuses }) =>
        Array.from(new Set(statuses.map(({ status }) => status)), (status) => ({
          labels: { exchange, status },
          value: 1
        }))
      )
    },
    unlabelled("collector_queue_depth", "gauge", "Messages waiting in the queue.", queue.depth),
    unlabelled("collector_queue_capacity", "gauge", "Capacity of the queue, messages.", queue.capacity),
    unlabelled(
      "collector_reload_failing",
      "gauge",
      "1 while the settings file has a mistake and could not be reloaded.",
      (report.reload?.failing ?? null) === null ? 0 : 1
    ),
    unlabelled(
      "collector_commit_failing",
      "gauge",
      "1 while batches cannot be committed.",
      commits.failingSince === null ? 0 : 1
    ),
    unlabelled("collector_archives_total", "counter", "Completed archives.", storage?.archives ?? 0),
    unlabelled(
      "collector_archived_rows_total",
      "counter",
      "Messages in completed archives.",
      storage?.rows ?? 0
    ),
    unlabelled(
      "collector_archived_bytes_total",
      "counter",
      "Bytes of completed archives.",
      storage?.bytes ?? 0
    ),
    unlabelled(
      "collector_archives_pending",
      "gauge",
      "Archives planned and not completed.",
      storage?.pending ?? 0
    ),
    {
      name: "collector_event_loop_lag_seconds",
      type: "gauge",
      help: "Event loop lag of the receiving thread, over the last half minute or more.",
      samples: (["p50", "p99", "max"] as const).map((statistic) => ({
        labels: { statistic },
        value: lag[statistic]
      }))
    },
    ...families,
    ...(storage?.families ?? [])
  ]
}

const stateHelp = `What the stream does: ${streamStates.map((state, i) => `${i} ${state}`).join(", ")}.`

const countIn =
  (column: StreamColumn) =>
  ({ streams }: Report, i: number): number => {
    const value = cell(streams, i, column)
    return Number.isNaN(value) ? 0 : value
  }

const ofStreams = (
  report: Report,
  name: string,
  type: "counter" | "gauge",
  help: string,
  read: (report: Report, stream: number) => number
): MetricFamily => ({
  name,
  type,
  help,
  samples: report.streams.ids.map(
    ({ dataType, exchange, symbol }, i): Sample => ({
      labels: { exchange, symbol, data_type: dataType },
      value: read(report, i)
    })
  )
})

const ofExchanges = (
  { exchanges }: Report,
  name: string,
  help: string,
  read: (exchange: Report["exchanges"][number]) => number
): MetricFamily => ({
  name,
  type: name.endsWith("_total") ? "counter" : "gauge",
  help,
  samples: exchanges.map((exchange) => ({ labels: { exchange: exchange.exchange }, value: read(exchange) }))
})

const ofDisk = ({ database, free, outbox, wal }: Disk): ReadonlyArray<MetricFamily> => [
  unlabelled("collector_database_bytes", "gauge", "Size of the database file.", database),
  unlabelled("collector_wal_bytes", "gauge", "Size of the database's write-ahead log.", wal),
  unlabelled("collector_outbox_bytes", "gauge", "Size of the Parquet files waiting to be verified.", outbox),
  unlabelled("collector_disk_free_bytes", "gauge", "Free space on the disk of the database.", free)
]
