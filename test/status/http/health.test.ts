import { describe, expect, it } from "@effect/vitest"
import type { StreamState } from "../../../src/exchange/TrackedStream.ts"
import { type HealthInputs, healthOf, isReady } from "../../../src/status/http/health.ts"
import { type Report, type StreamColumn, streamColumns, streamStates } from "../../../src/status/Report.ts"

interface Stream {
  readonly exchange?: string
  readonly state: StreamState
  /** Seconds ago. */
  readonly last?: number
  readonly patience?: number
}

const now = 1_000_000_000_000_000
const ago = (seconds: number) => now - seconds * 1e6

const reportOf = (
  streams: ReadonlyArray<Stream>,
  heard: number | null,
  rest: Partial<Report> = {}
): Report => {
  const values = streams.flatMap(({ last, patience = 60, state }) =>
    streamColumns.map((column) => {
      const known: Partial<Record<StreamColumn, number>> = {
        state: streamStates.indexOf(state),
        lastMessageAt: last === undefined ? Number.NaN : ago(last),
        patience
      }
      return known[column] ?? 0
    })
  )
  return {
    at: now,
    startedAt: ago(100_000),
    streams: {
      version: 1,
      ids: streams.map(({ exchange = "binance" }, n) => ({ exchange, symbol: `s${n}`, dataType: "trade" })),
      values: Float64Array.from(values)
    },
    exchanges: [
      {
        exchange: "binance",
        connections: heard === null ? 0 : 1,
        heardAt: heard === null ? null : ago(heard),
        pings: 0,
        pongs: 0,
        pingsAnswered: 0,
        reconnects: [],
        statuses: []
      }
    ],
    queue: { received: 0, dropped: 0, depth: 0, capacity: 10 },
    commits: {
      committed: 0,
      duplicates: 0,
      rejected: 0,
      lastAt: null,
      lastSeconds: null,
      failingSince: null,
      failure: null
    },
    storage: { archives: 0, rows: 0, bytes: 0, pending: 0, recent: [], faults: [], families: [] },
    storageSilentSince: null,
    reload: null,
    heapUsed: 0,
    lag: { p50: 0, p99: 0, max: 0 },
    families: [],
    ...rest
  }
}

const health = (report: Report, listeningSeconds = 1000) =>
  healthOf({
    now,
    startedAt: ago(100_000),
    listeningSeconds,
    report,
    disk: null,
    droppedAt: null,
    silenceSeconds: 60,
    archiveSeconds: 3600,
    minFreeDisk: 0
  } satisfies HealthInputs)

const live = (count: number): ReadonlyArray<Stream> =>
  Array.from({ length: count }, () => ({ state: "live", last: 1 }))

describe("health", () => {
  it("is healthy while markets are quiet and their connection is heard", () => {
    expect(health(reportOf([{ state: "live", last: 5000, patience: 9000 }], 20))).toEqual({
      status: "healthy",
      reasons: []
    })
    expect(health(reportOf([{ state: "subscribed" }, { state: "subscribed" }], 20)).status).toBe("healthy")
  })

  it("is unhealthy once nothing is heard on any connection", () => {
    const { reasons, status } = health(reportOf([{ state: "live", last: 70 }], 61))
    expect(status).toBe("unhealthy")
    expect(reasons[0]).toBe("nothing received for 70 s")
    expect(health(reportOf([{ state: "connecting", last: 11 }], null)).status).toBe("unhealthy")
    expect(health(reportOf([{ state: "connecting", last: 5 }], null)).status).toBe("degraded")
  })

  it("names one silent stream of many for an hour, and many of an exchange for as long as they are silent", () => {
    const silent = (last: number): Stream => ({ state: "silent", last, patience: 600 })
    expect(health(reportOf([...live(999), silent(700)], 1)).status).toBe("degraded")
    expect(health(reportOf([...live(999), silent(4100)], 1)).status).toBe("degraded")
    expect(health(reportOf([...live(999), silent(4300)], 1))).toEqual({ status: "healthy", reasons: [] })
    expect(health(reportOf([...live(90), ...Array.from({ length: 10 }, () => silent(90_000))], 1))).toEqual({
      status: "degraded",
      reasons: [expect.stringMatching(/^10 streams are silent: /)]
    })
    const other = Array.from({ length: 3 }, (): Stream => ({ ...silent(90_000), exchange: "okx" }))
    expect(health(reportOf([...live(999), ...other], 1)).reasons[0]).toMatch(/^3 streams are silent: okx/)
    expect(health(reportOf([{ state: "silent", last: 90_000 }], 1)).status).toBe("degraded")
  })

  it("is not as it should be while the settings file has a mistake, and gives streams that were added a moment", () => {
    const failing = { since: ago(10), reason: "MARKETS: there is no exchange" }
    const { reasons, status } = health(reportOf(live(2), 1, { reload: { failing, changedAt: null } }))
    expect(status).toBe("degraded")
    expect(reasons).toEqual([
      expect.stringMatching(/settings file .* since 20.*MARKETS: there is no exchange$/)
    ])
    const added = reportOf([{ state: "connecting" }], 1, { reload: { failing: null, changedAt: ago(3) } })
    expect(health(added).status).toBe("degraded")
    const late = reportOf([{ state: "connecting" }], 1, { reload: { failing: null, changedAt: ago(30) } })
    expect(health(late).status).toBe("unhealthy")
  })

  it("is unhealthy and not ready until storage is open", () => {
    const opening = reportOf(live(2), 1, { storage: null })
    expect(health(opening)).toMatchObject({
      status: "unhealthy",
      reasons: ["storage has been opening for 100000 s"]
    })
    expect(isReady(opening)).toBe(false)
    expect(isReady(reportOf(live(2), 1))).toBe(true)
    expect(isReady(reportOf([{ state: "connecting" }], null))).toBe(false)
  })
})

describe("an old report", () => {
  const report = { ...reportOf([{ state: "live", last: 1 }], 1), at: ago(15) }

  it("is a fault of receiving", () => {
    expect(health(report)).toMatchObject({
      status: "unhealthy",
      reasons: ["the receiving thread has not reported for 15 s"]
    })
  })

  it("is not a fault if the status page itself did not run", () => {
    expect(health(report, 8).status).toBe("healthy")
    expect(health(report, 11).status).toBe("unhealthy")
  })
})

describe("status messages of exchanges", () => {
  it("are listed, the latest last, and do not change the status", () => {
    const said = (status: string, subject: string | null = null) => ({
      exchange: "kraken",
      subject,
      status,
      text: null,
      from: ago(60)
    })
    const report = reportOf([{ state: "live", last: 1 }], 1)
    const exchanges = report.exchanges.map((exchange) => ({
      ...exchange,
      exchange: "kraken",
      statuses: [
        said("online"),
        said("maintenance"),
        said("scheduled", "upgrade"),
        said("ongoing", "upgrade")
      ]
    }))
    const { reasons, status } = health({ ...report, exchanges })
    const since = new Date(ago(60) / 1000).toISOString()
    expect(status).toBe("healthy")
    expect(reasons).toEqual([
      `kraken status: maintenance, since ${since}`,
      `kraken status: ongoing, since ${since} (upgrade)`
    ])
  })
})
