import { setTimeout as sleep } from "node:timers/promises"
import Database from "better-sqlite3"
import { Schema } from "effect"
import {
  each,
  type Figure,
  type Measurement,
  othersOf,
  type Round,
  ratios,
  runRounds,
  type Settings,
  withFolder
} from "../Bench.ts"
import { opened, rowCounter, symbolsOf, withCollector, withSender } from "../contestants.ts"
import { withOwnProgram } from "../Program.ts"
import { quantile } from "../statistics.ts"
import { firstEventAt, lastEventAt } from "./archive.ts"
import { channelsOf } from "./throughput.ts"

const symbols = symbolsOf(10)
const payloadBytes = 1900
const archivedRows = 300_000
const warmUp = 2

/** How long after it was sent a message was stamped, milliseconds. */
interface Run {
  readonly messages: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** What the receive times are worth while the collector commits and archives. */
export const stamps: Measurement = {
  name: "stamps",
  title: "receive time minus send time, messages of 1.9 kB, with commits while 300,000 rows are archived",
  run: async (settings) => {
    const seconds = settings.seconds ?? 8
    const results: Array<readonly [rate: number, rounds: ReadonlyArray<Round<Run>>]> = []
    for (const rate of [10_000, 20_000]) {
      settings.print(`  at ${rate} messages/s\n`)
      const rounds = await runRounds<Run>(
        settings,
        [
          ["client that stores nothing", () => runBareClient(rate, seconds)],
          ["collector, archiving", () => runCollector(settings, rate)],
          ["bare loop", () => runBareLoop(settings, rate, seconds)]
        ],
        ({ messages, p50, p99, p999 }) =>
          `p50 ${p50.toFixed(3)}  p99 ${p99.toFixed(3)}  p99.9 ${p999.toFixed(3)} ms  of ${messages}`
      )
      results.push([rate, rounds])
    }
    return {
      figures: results.flatMap(([rate, rounds]) => figuresOf(rate, rounds)),
      others: results.flatMap(([, rounds]) => othersOf(rounds)),
      notes: [
        "The collector's messages are those received from the first archive's plan to the last one's purge."
      ]
    }
  }
}

const figuresOf = (rate: number, rounds: ReadonlyArray<Round<Run>>): ReadonlyArray<Figure> => {
  const at = `${rate / 1000},000/s`
  const quantiles = [
    ["p50", (run: Run) => run.p50, undefined],
    ["p99", (run: Run) => run.p99, 1],
    ["p99.9", (run: Run) => run.p999, 5]
  ] as const
  return quantiles.flatMap(([name, measure, most]): ReadonlyArray<Figure> => {
    const figure = (who: string, contestant: string) => ({
      name: `${at} ${name}, ${who}`,
      unit: "ms",
      values: each(rounds, contestant, measure)
    })
    const collector = figure("collector", "collector, archiving")
    return [
      figure("client that stores nothing", "client that stores nothing"),
      most === undefined ? collector : { ...collector, target: { atMost: most } },
      figure("bare loop", "bare loop"),
      {
        name: `${at} ${name}, collector / client that stores nothing`,
        unit: "times",
        values: ratios(rounds, "collector, archiving", "client that stores nothing", measure),
        ...(most === undefined ? {} : { target: { atMost: 3 } })
      }
    ]
  })
}

const summary = (delaysInMicros: ArrayLike<number>): Run => {
  const sorted = Float64Array.from(delaysInMicros).sort()
  const at = (part: number) => quantile(sorted, part) / 1000
  return { messages: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999) }
}

const runBareClient = (rate: number, seconds: number): Promise<Run> =>
  withSender({ kind: "trade", bytes: payloadBytes, rate }, ({ subscribed, url }) =>
    withOwnProgram("bareClient", { url, streams: channelsOf(symbols, "trade"), warmUp }, async (program) => {
      await subscribed
      await sleep((warmUp + seconds) * 1000)
      program.tell("stop")
      const { delays } = await program.expect(Schema.Struct({ delays: Schema.Array(Schema.Number) }), 20)
      return summary(delays)
    })
  )

const runBareLoop = (settings: Settings, rate: number, seconds: number): Promise<Run> =>
  withFolder(settings, (folder) =>
    withSender({ kind: "trade", bytes: payloadBytes, rate }, async ({ subscribed, url }) => {
      const database = `${folder}/bare.db`
      await withOwnProgram("bareLoop", { url, database, streams: channelsOf(symbols, "trade") }, async () => {
        await subscribed
        await sleep((warmUp + seconds) * 1000)
      })
      return summary(delaysIn(database, (await subscribed) + warmUp * 1e6, Number.MAX_SAFE_INTEGER))
    })
  )

/**
 * When there are rows enough they are archived. A queue that holds ten seconds, so that commits come every 5 s and not
 * sooner.
 */
const runCollector = (settings: Settings, rate: number): Promise<Run> =>
  withFolder(settings, (folder) =>
    withSender({ kind: "trade", bytes: payloadBytes, rate }, async (source) => {
      const env = { QUEUE_CAPACITY: String(rate * 11) }
      const options = { source, folder, symbols, type: "trade", env } as const
      const { from, path, to } = await withCollector(settings, options, async ({ database }) => {
        await source.subscribed
        await sleep(warmUp * 1000)
        await rowsCommitted(database, archivedRows)
        await archiveNow(database)
        return {
          from: firstEventAt(database, "ArchivePlanned"),
          to: lastEventAt(database, "ArchivePurged"),
          path: database
        }
      })
      return summary(delaysIn(path, from * 1000, to * 1000))
    })
  )

const rowsCommitted = async (path: string, rows: number): Promise<void> => {
  const database = await opened(path)
  try {
    const committed = rowCounter(database)
    while (committed() < rows) await sleep(20)
  } finally {
    database.close()
  }
}

/** As the command `archive` does it. */
const archiveNow = async (path: string): Promise<void> => {
  const database = new Database(path, { timeout: 10_000 })
  try {
    database.exec("INSERT INTO archive_requests (report) VALUES (NULL)")
    const open = database.prepare("SELECT count(*) FROM archive_requests WHERE report IS NULL").pluck()
    while (Number(open.get()) > 0) await sleep(100)
  } finally {
    database.close()
  }
}

/** Of the messages received in [from, to), microseconds since the epoch. */
const delaysIn = (path: string, from: number, to: number): ReadonlyArray<number> => {
  const database = new Database(path, { readonly: true })
  try {
    return database
      .prepare("SELECT timestamp - exchange_timestamp FROM snapshots WHERE timestamp >= ? AND timestamp < ?")
      .pluck()
      .all(from, to)
      .map(Number)
  } finally {
    database.close()
  }
}
