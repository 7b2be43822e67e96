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
import { opened, symbolsOf, withCollector, withSender } from "../contestants.ts"
import { withOwnProgram } from "../Program.ts"
import { quantile } from "../statistics.ts"
import { copyDatabase, fillDatabase, lastEventAt } from "./archive.ts"
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
  title: "receive time minus send time, messages of 1.9 kB, commits and an archive of 300,000 rows meanwhile",
  run: (settings) =>
    withFolder(settings, async (folder) => {
      const prepared = `${folder}/prepared.db`
      await fillDatabase(prepared, archivedRows, "archivedusdt")
      const seconds = settings.seconds ?? 8
      const results: Array<readonly [rate: number, rounds: ReadonlyArray<Round<Run>>]> = []
      for (const rate of [10_000, 20_000]) {
        settings.print(`  at ${rate} messages/s\n`)
        const rounds = await runRounds<Run>(
          settings,
          [
            ["client that stores nothing", () => runBareClient(rate, seconds)],
            ["collector, archiving", () => runCollector(settings, prepared, rate, seconds)],
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
        notes: ["The collector's messages are those received while the archive was being made."]
      }
    })
}

const figuresOf = (rate: number, rounds: ReadonlyArray<Round<Run>>): ReadonlyArray<Figure> => {
  const at = `${rate / 1000},000/s`
  const quantiles = [
    ["p50", (run: Run) => run.p50, undefined],
    ["p99", (run: Run) => run.p99, 1],
    ["p99.9", (run: Run) => run.p999, 5]
  ] as const
  return quantiles.flatMap(([name, of, most]): ReadonlyArray<Figure> => {
    const figure = (who: string, contestant: string) => ({
      name: `${at} ${name}, ${who}`,
      unit: "ms",
      values: each(rounds, contestant, of)
    })
    const collector = figure("collector", "collector, archiving")
    return [
      figure("client that stores nothing", "client that stores nothing"),
      most === undefined ? collector : { ...collector, target: { atMost: most } },
      figure("bare loop", "bare loop"),
      {
        name: `${at} ${name}, collector / client that stores nothing`,
        unit: "times",
        values: ratios(rounds, "collector, archiving", "client that stores nothing", of),
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
      return summary(delaysIn(database, warmUp, Number.POSITIVE_INFINITY))
    })
  )

/** A queue that holds ten seconds, so that commits come every 5 s and not sooner. */
const runCollector = (settings: Settings, prepared: string, rate: number, seconds: number): Promise<Run> =>
  withFolder(settings, async (folder) => {
    copyDatabase(prepared, `${folder}/collector.db`)
    return withSender({ kind: "trade", bytes: payloadBytes, rate }, async (source) => {
      const env = { QUEUE_CAPACITY: String(rate * 11) }
      const options = { source, folder, symbols, type: "trade", env } as const
      const { archived, path } = await withCollector(settings, options, async ({ database }) => {
        await source.subscribed
        await sleep((warmUp + seconds) * 1000)
        const reader = await opened(database)
        reader.close()
        for (let i = 0; i < 300 && lastEventAt(database, "ArchivePurged") === 0; i++) await sleep(100)
        return { archived: lastEventAt(database, "ArchivePurged"), path: database }
      })
      return summary(delaysIn(path, warmUp, archived * 1000))
    })
  })

/** From `warmUp` seconds after the first message to a time in microseconds, or to the end. */
const delaysIn = (path: string, warmUp: number, until: number): ReadonlyArray<number> => {
  const database = new Database(path, { readonly: true })
  try {
    const first = Number(
      database.prepare("SELECT min(timestamp) FROM snapshots WHERE data_type = 'trade'").pluck().get()
    )
    return database
      .prepare(
        `SELECT timestamp - exchange_timestamp FROM snapshots
         WHERE data_type = 'trade' AND timestamp >= ? AND timestamp < ?`
      )
      .pluck()
      .all(first + warmUp * 1e6, Number.isFinite(until) ? until : Number.MAX_SAFE_INTEGER)
      .map(Number)
  } finally {
    database.close()
  }
}
