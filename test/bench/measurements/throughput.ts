import { each, type Measurement, othersOf, ratios, runRounds, type Settings, withFolder } from "../Bench.ts"
import {
  type Committed,
  type Source,
  symbolsOf,
  watchCommits,
  withCollector,
  withSender,
  withSimulator
} from "../contestants.ts"
import { withOwnProgram } from "../Program.ts"

const symbols = symbolsOf(10)
/** Of an order book's payload; the envelope comes on top. */
export const bookBytes = 1900
const tradeBytes = 260

export interface Run extends Committed {
  readonly dropped: number
}

/** From the socket to the committed row, as fast as it goes. */
export const throughput: Measurement = {
  name: "throughput",
  title: "messages per second from the socket to the committed row, full speed, 10 symbols on one connection",
  run: async (settings) => {
    const times = { warmUp: 3, seconds: settings.seconds ?? 6 }
    const books = <A>(use: (source: Source) => Promise<A>) =>
      withSimulator(settings, { symbols, rate: "max", bytes: bookBytes }, use)
    const trades = <A>(use: (source: Source) => Promise<A>) =>
      withSender({ kind: "trade", bytes: tradeBytes, rate: 0 }, use)
    const rounds = await runRounds<Run>(
      settings,
      [
        ["bare loop, books", () => books((source) => runBareLoop(settings, source, "orderbook", times))],
        ["collector, books", () => books((source) => runCollector(settings, source, "orderbook", times))],
        ["bare loop, trades", () => trades((source) => runBareLoop(settings, source, "trade", times))],
        ["collector, trades", () => trades((source) => runCollector(settings, source, "trade", times))]
      ],
      ({ cpuMicros, dropped, rate }) =>
        `${Math.round(rate).toLocaleString("en").padStart(8)} rows/s  ${cpuMicros.toFixed(1)} µs CPU a row  ${dropped} gave way`
    )
    const rate = (run: Run) => run.rate
    return {
      figures: [
        {
          name: "books of 1.9 kB, bare loop",
          unit: "rows/s",
          values: each(rounds, "bare loop, books", rate)
        },
        {
          name: "books of 1.9 kB, collector",
          unit: "rows/s",
          values: each(rounds, "collector, books", rate)
        },
        {
          name: "books: collector / bare loop",
          unit: "times",
          values: ratios(rounds, "collector, books", "bare loop, books", rate),
          target: { atLeast: 2 }
        },
        {
          name: "books: collector's processor time",
          unit: "µs/row",
          values: each(rounds, "collector, books", (run) => run.cpuMicros)
        },
        {
          name: "trades of 300 bytes, bare loop",
          unit: "rows/s",
          values: each(rounds, "bare loop, trades", rate)
        },
        {
          name: "trades of 300 bytes, collector",
          unit: "rows/s",
          values: each(rounds, "collector, trades", rate)
        },
        {
          name: "trades: collector / bare loop",
          unit: "times",
          values: ratios(rounds, "collector, trades", "bare loop, trades", rate),
          target: { atLeast: 1.2 }
        }
      ],
      others: othersOf(rounds),
      notes: [
        "Only committed rows count. What gives way in the collector's queue at full speed is not among them."
      ]
    }
  }
}

export const runBareLoop = (
  settings: Settings,
  source: Source,
  type: "orderbook" | "trade",
  times: { readonly warmUp: number; readonly seconds: number }
): Promise<Run> =>
  withFolder(settings, (folder) => {
    const database = `${folder}/bare.db`
    return withOwnProgram(
      "bareLoop",
      { url: source.url, database, streams: channelsOf(symbols, type) },
      async ({ pid }) => ({ ...(await watchCommits(pid, database, times)), dropped: 0 })
    )
  })

const runCollector = (
  settings: Settings,
  source: Source,
  type: "orderbook" | "trade",
  times: { readonly warmUp: number; readonly seconds: number }
): Promise<Run> =>
  withFolder(settings, (folder) =>
    withCollector(settings, { source, folder, symbols, type }, async ({ database, dropped, program }) => ({
      ...(await watchCommits(program.pid, database, times)),
      dropped: dropped()
    }))
  )

/** As Binance names the streams. */
export const channelsOf = (
  symbols: ReadonlyArray<string>,
  type: "orderbook" | "trade"
): ReadonlyArray<string> =>
  symbols.map((symbol) => (type === "trade" ? `${symbol}@trade` : `${symbol}@depth20@100ms`))
