import type { PageUpdate } from "../page/protocol.ts"
import { cell, type Report } from "../Report.ts"
import type { Disk } from "./Disk.ts"
import type { History } from "./History.ts"
import type { Health } from "./health.ts"

/** What is sent to the status page in this second. `now` in milliseconds since the epoch. */
export const pageUpdateOf = (options: {
  readonly report: Report
  readonly disk: Disk | null
  readonly history: History
  readonly health: Health
  readonly now: number
}): PageUpdate => {
  const { disk, health, history, now, report } = options
  const { commits, queue, storage, streams } = report
  return {
    version: streams.version,
    at: now,
    health,
    total: history.totals().at(-1) ?? [now, 0, queue.depth, null],
    rates: Array.from(history.rates(), tenths),
    ages: streams.ids.map((_, i) => {
      const last = cell(streams, i, "lastMessageAt")
      return Number.isNaN(last) ? -1 : tenths(Math.max(0, now / 1000 - last / 1e6))
    }),
    states: streams.ids.map((_, i) => cell(streams, i, "state")),
    gaps: Array.from(history.gapsToday()),
    queue: { depth: queue.depth, capacity: queue.capacity, dropped: queue.dropped },
    commits: {
      committed: commits.committed,
      duplicates: commits.duplicates,
      rejected: commits.rejected,
      lastAt: commits.lastAt === null ? null : millis(commits.lastAt),
      failure: commits.failure
    },
    archives:
      storage === null
        ? null
        : {
            pending: storage.pending,
            done: storage.archives,
            rows: storage.rows,
            bytes: storage.bytes,
            recent: storage.recent.map((archive) => ({ ...archive, at: millis(archive.at) }))
          },
    disk
  }
}

const millis = (micros: number): number => Math.round(micros / 1000)

const tenths = (value: number): number => Math.round(value * 10) / 10
