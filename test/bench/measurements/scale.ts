import { each, type Measurement, othersOf, ratios, runRounds, type Settings, withFolder } from "../Bench.ts"
import { symbolsOf, watchCommits, withCollector, withSender } from "../contestants.ts"
import { bookBytes, type Run } from "./throughput.ts"

const counts = [1, 10, 100, 1000]
const rate = 10_000

/** What a message costs when it is of one of many streams. */
export const scale: Measurement = {
  name: "scale",
  title: "processor time per message, 1 to 1,000 streams at the same 10,000 messages/s, books of 1.9 kB",
  run: async (settings) => {
    const nameOf = (streams: number) => `${streams} streams`
    const rounds = await runRounds<Run>(
      settings,
      counts.map((streams) => [nameOf(streams), () => runCollector(settings, streams)] as const),
      ({ cpuMicros, dropped, rate }) =>
        `${cpuMicros.toFixed(1)} µs CPU a message  ${Math.round(rate)} rows/s  ${dropped} gave way`
    )
    const cost = (run: Run) => run.cpuMicros
    return {
      figures: [
        ...counts.map((streams) => ({
          name: nameOf(streams),
          unit: "µs CPU/message",
          values: each(rounds, nameOf(streams), cost)
        })),
        ...counts.slice(1).map((streams) => ({
          name: `${nameOf(streams)} / 1 stream`,
          unit: "times",
          values: ratios(rounds, nameOf(streams), nameOf(1), cost),
          target: { atMost: 1.2 }
        }))
      ],
      others: othersOf(rounds),
      notes: []
    }
  }
}

/** A queue of the same size for all, so that commits are alike. */
const runCollector = (settings: Settings, streams: number): Promise<Run> =>
  withFolder(settings, (folder) =>
    withSender({ kind: "orderbook", bytes: bookBytes, rate }, (source) =>
      withCollector(
        settings,
        { source, folder, symbols: symbolsOf(streams), type: "orderbook", env: { QUEUE_CAPACITY: "20000" } },
        async ({ database, dropped, program }) => ({
          ...(await watchCommits(program.pid, database, { warmUp: 3, seconds: settings.seconds ?? 6 })),
          dropped: dropped()
        })
      )
    )
  )
