import { microsPerDay } from "../../domain/micros.ts"
import { streamKey } from "../../domain/StreamId.ts"
import type { Total } from "../page/protocol.ts"
import { cell, type Report, type StreamTable } from "../Report.ts"

/** What the reports of the last minutes show together. */
export interface History {
  readonly add: (report: Report) => void
  /** Messages per second of each stream, as of the last report. */
  readonly rates: () => Float64Array
  /** The same over the last minute, by stream, the latest last. */
  readonly rateLines: () => ReadonlyArray<ReadonlyArray<number>>
  /** The totals of all streams over the last five minutes. */
  readonly totals: () => ReadonlyArray<Total>
  /** Gaps of each stream since midnight UTC, or since the collector started. */
  readonly gapsToday: () => Float64Array
  /** When the queue last dropped messages, microseconds; null if it never did. */
  readonly droppedAt: () => number | null
}

const secondsOfRates = 60
const secondsOfTotals = 300

export const makeHistory = (): History => {
  let last: Report | undefined
  let rates: Array<Float64Array> = []
  let totals: Array<Total> = []
  let day = 0
  let before = new Map<string, number>()
  let gaps = new Float64Array()
  let droppedAt: number | null = null

  const add = (report: Report) => {
    const { at, commits, queue, streams } = report
    const sameStreams = last?.streams.version === streams.version ? last.streams : undefined
    const seconds = last === undefined ? 0 : (at - last.at) / 1e6
    if (sameStreams === undefined) rates = []
    rates = [...rates.slice(1 - secondsOfRates), ratesBetween(sameStreams, streams, seconds)]
    const rate = last === undefined || seconds <= 0 ? 0 : (queue.received - last.queue.received) / seconds
    totals = [
      ...totals.slice(1 - secondsOfTotals),
      [Math.round(at / 1000), Math.round(rate * 10) / 10, queue.depth, commits.lastSeconds]
    ]
    if (queue.dropped > (last?.queue.dropped ?? 0)) droppedAt = at
    const today = Math.floor(at / microsPerDay)
    if (last !== undefined && today !== day) before = gapsByStream(last.streams)
    day = today
    gaps = Float64Array.from(
      streams.ids,
      (id, i) => zeroIfNone(cell(streams, i, "gaps")) - (before.get(streamKey(id)) ?? 0)
    )
    last = report
  }

  return {
    add,
    rates: () => rates.at(-1) ?? new Float64Array(),
    rateLines: () => (last?.streams.ids ?? []).map((_, i) => rates.map((second) => second[i] ?? 0)),
    totals: () => totals,
    gapsToday: () => gaps,
    droppedAt: () => droppedAt
  }
}

const ratesBetween = (before: StreamTable | undefined, after: StreamTable, seconds: number): Float64Array =>
  Float64Array.from(after.ids, (_, i) =>
    before === undefined || seconds <= 0
      ? 0
      : Math.round(((cell(after, i, "received") - cell(before, i, "received")) / seconds) * 10) / 10
  )

const gapsByStream = (table: StreamTable): Map<string, number> =>
  new Map(table.ids.map((id, i) => [streamKey(id), zeroIfNone(cell(table, i, "gaps"))]))

const zeroIfNone = (count: number): number => (Number.isNaN(count) ? 0 : count)
