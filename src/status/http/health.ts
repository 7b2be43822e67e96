import { isImpaired } from "../../domain/ExchangeStatuses.ts"
import type { StorageFault } from "../../domain/StorageView.ts"
import { type StreamId, streamKey } from "../../domain/StreamId.ts"
import type { StreamState } from "../../exchange/TrackedStream.ts"
import { cell, type Report, stateOf } from "../Report.ts"
import type { Disk } from "./Disk.ts"

/** How the collector is doing, and why it is not doing better. */
export interface Health {
  readonly status: "healthy" | "degraded" | "unhealthy"
  /** One line each, the worst first; the last ones are what exchanges report about themselves, whatever the status is. */
  readonly reasons: ReadonlyArray<string>
}

/** Everything that health is derived from. Times in microseconds since the epoch. */
export interface HealthInputs {
  readonly now: number
  readonly startedAt: number
  /**
   * For how long the judging thread has been able to take reports without interruption, seconds: a thread that did not run
   * hears nothing.
   */
  readonly listeningSeconds: number
  /** The newest report; null before the first one. */
  readonly report: Report | null
  readonly disk: Disk | null
  /** When the queue last dropped messages; null if it never did. */
  readonly droppedAt: number | null
  /** How long it can be completely silent, seconds. */
  readonly silenceSeconds: number
  /** How long an archive can be under way, seconds. */
  readonly archiveSeconds: number
  /** Bytes that should be left free on the disk. */
  readonly minFreeDisk: number
}

/** Seconds before a fault counts as one: reconnects and retries take a moment. */
const patienceSeconds = 10

/** Seconds: a live connection is heard more often, since pings are answered. */
const unheardSeconds = 60

/** Seconds for which a drop is remembered. */
const dropMemorySeconds = 60

/** Seconds for which a fault of storage is remembered; while it lasts it is reported more often. */
const faultMemorySeconds = 60

/** Seconds for which the silence of a few streams is reported. */
const silenceMemorySeconds = 3600

/** The share of an exchange's streams whose silence is too large to be closed markets. */
const manySilent = 0.1

/** Seconds. */
const muchLag = 1

/**
 * Unhealthy: nothing is received, or storage has failed. Degraded: it records, but not everything it should. An exchange in
 * maintenance is not a fault of the collector: its message is reported, and changes nothing.
 */
export const healthOf = (evidence: HealthInputs): Health => {
  const broken = failures(evidence)
  const worse = evidence.report === null ? [] : shortcomings(evidence, evidence.report)
  const status = broken.length > 0 ? "unhealthy" : worse.length > 0 ? "degraded" : "healthy"
  const said = evidence.report === null ? [] : impairments(evidence.report)
  return { status, reasons: [...broken, ...worse, ...said] }
}

/** Whether the collector has started recording: storage is open and some stream is subscribed. */
export const isReady = (report: Report | null): boolean =>
  report !== null && report.storage !== null && isSubscribed(report)

const failures = ({
  listeningSeconds,
  now,
  report,
  silenceSeconds,
  startedAt
}: HealthInputs): ReadonlyArray<string> => {
  const age = (now - (report?.at ?? startedAt)) / 1e6
  if (Math.min(age, listeningSeconds) > patienceSeconds)
    return [`the receiving thread has not reported for ${whole(age)} s`]
  if (report === null) return ["the collector is starting"]
  const reasons: Array<string> = []
  // Streams that were added need a moment, as at the start.
  const begun = Math.max(startedAt, report.reload?.changedAt ?? 0)
  const sinceMessage = (now - newestMessage(report, begun)) / 1e6
  const sinceFrame = (now - lastHeard(report, begun)) / 1e6
  if (
    sinceFrame >= Math.max(silenceSeconds, unheardSeconds) ||
    (sinceMessage >= patienceSeconds && !isSubscribed(report))
  ) {
    reasons.push(`nothing received for ${whole(Math.max(sinceMessage, sinceFrame))} s`)
  }
  const isOpen = report.storage !== null
  if (!isOpen) reasons.push(`storage has been opening for ${whole((now - startedAt) / 1e6)} s`)
  const failing = secondsSince(report.commits.failingSince, now)
  if (failing > patienceSeconds) {
    reasons.push(`storage has failed: nothing committed for ${whole(failing)} s: ${report.commits.failure}`)
  }
  reasons.push(...faultsIn(report, "unhealthy", now))
  const silent = secondsSince(report.storageSilentSince, now)
  if (isOpen && silent > patienceSeconds) reasons.push(`storage has failed: no answer for ${whole(silent)} s`)
  return reasons
}

const shortcomings = (evidence: HealthInputs, report: Report): ReadonlyArray<string> => {
  const { archiveSeconds, disk, droppedAt, minFreeDisk, now } = evidence
  const reasons: Array<string> = []
  for (const state of ["unreadable", "refused", "silent", "connecting"] as const) {
    const streams =
      state === "silent" ? unexpectedlySilent(report, now) : streamsIn(report, state).map(streamKey)
    if (streams.length > 0)
      reasons.push(`${streams.length} ${plural(streams.length)} ${what[state]}: ${few(streams)}`)
  }
  const failing = secondsSince(report.commits.failingSince, now)
  if (failing >= 0 && failing <= patienceSeconds) {
    reasons.push(`could not commit a batch, keeping it and retrying: ${report.commits.failure}`)
  }
  if (droppedAt !== null && now - droppedAt < dropMemorySeconds * 1e6) {
    reasons.push(`queue full within the last ${dropMemorySeconds} s, messages were dropped`)
  }
  if (disk !== null && disk.free < minFreeDisk) {
    reasons.push(`the database's disk has ${Math.floor(disk.free / 1024 ** 2)} MiB left`)
  }
  if (report.reload?.failing != null) {
    const { reason, since } = report.reload.failing
    reasons.push(
      `the settings file has not been reloaded since ${new Date(since / 1000).toISOString()}, recording goes on as before: ${reason}`
    )
  }
  reasons.push(...faultsIn(report, "degraded", now))
  const late = (report.storage?.recent ?? []).filter(
    ({ at, seconds }) => seconds === null && (now - at) / 1e6 > archiveSeconds
  )
  if (late.length > 0) reasons.push(`${late.length} archives are late, the store may be down, see the log`)
  if (report.lag.p99 > muchLag) {
    reasons.push(
      `the receiving thread lags by ${report.lag.p99.toFixed(1)} s, the machine is too slow or too busy`
    )
  }
  return reasons
}

const impairments = ({ exchanges }: Report): ReadonlyArray<string> =>
  exchanges.flatMap(({ exchange, statuses }) =>
    statuses
      .filter(isImpaired)
      .slice(-maxImpairments)
      .map(({ from, status, subject, text }) => {
        const about = [subject, text].filter((part) => part !== null).join(", ")
        const since = new Date(from / 1000).toISOString()
        return `${exchange} status: ${status}, since ${since}${about === "" ? "" : ` (${about})`}`
      })
  )

/** How many of an exchange's latest impairments are reported. */
const maxImpairments = 3

const faultsIn = ({ storage }: Report, severity: StorageFault["severity"], now: number) =>
  (storage?.faults ?? [])
    .filter((fault) => fault.severity === severity && now - fault.at < faultMemorySeconds * 1e6)
    .map(({ reason }) => reason)

const what: Readonly<Record<Exclude<StreamState, "subscribed" | "live">, string>> = {
  unreadable: "unreadable, frames are kept as received",
  refused: "refused by the exchange",
  silent: "silent",
  connecting: "not connected"
}

/**
 * The streams whose silence is unusually long for them, within the first hour of it: whatever was tried by then did not help,
 * and one market of many may be closed. If many streams of an exchange are silent, all of them, for as long as they are: closed
 * markets do not explain that.
 */
const unexpectedlySilent = (report: Report, now: number): ReadonlyArray<string> => {
  const { streams } = report
  const silent = streams.ids.flatMap((id, row) => (stateOf(streams, row) === "silent" ? [{ id, row }] : []))
  return silent
    .filter(({ id: { exchange }, row }) => {
      const last = cell(streams, row, "lastMessageAt")
      const patience = cell(streams, row, "patience")
      const beyond = (now - (Number.isNaN(last) ? report.startedAt : last)) / 1e6 - patience
      const ofExchange = streams.ids.filter((id) => id.exchange === exchange).length
      const silentThere = silent.filter(({ id }) => id.exchange === exchange).length
      return !(beyond >= silenceMemorySeconds) || silentThere >= ofExchange * manySilent
    })
    .map(({ id }) => streamKey(id))
}

/** The exchange has accepted the stream: its messages are heard, or their absence is. */
const takenStates: ReadonlySet<StreamState> = new Set(["subscribed", "live", "silent", "unreadable"])

const isSubscribed = ({ streams }: Report): boolean => {
  for (let i = 0; i < streams.ids.length; i++) {
    if (takenStates.has(stateOf(streams, i))) return true
  }
  return false
}

/** When anything was last heard on any connection. */
const lastHeard = (report: Report, otherwise: number): number =>
  report.exchanges.reduce(
    (newest, { heardAt }) => Math.max(newest, heardAt ?? 0),
    newestMessage(report, otherwise)
  )

const newestMessage = ({ streams }: Report, otherwise: number): number => {
  let newest = otherwise
  for (let i = 0; i < streams.ids.length; i++) {
    const at = cell(streams, i, "lastMessageAt")
    if (at > newest) newest = at
  }
  return newest
}

const streamsIn = ({ streams }: Report, state: StreamState): ReadonlyArray<StreamId> =>
  streams.ids.filter((_, i) => stateOf(streams, i) === state)

/** Negative if `at` is null. */
const secondsSince = (at: number | null, now: number): number =>
  at === null ? -1 : Math.max(0, (now - at) / 1e6)

const few = (names: ReadonlyArray<string>): string =>
  names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ")

const plural = (count: number): string => (count === 1 ? "stream is" : "streams are")

const whole = (seconds: number): number => Math.floor(seconds)
