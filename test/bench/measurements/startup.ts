import { each, type Measurement, othersOf, ratios, runRounds, type Settings, withFolder } from "../Bench.ts"
import { symbolsOf, withCollector, withSender } from "../contestants.ts"
import { withOwnProgram } from "../Program.ts"
import { copyDatabase, fillDatabase } from "./archive.ts"
import { bookBytes, channelsOf } from "./throughput.ts"

const symbols = symbolsOf(10)

/** From the start of the process to its first subscription. */
export const startup: Measurement = {
  name: "startup",
  title: "from the start of the process to the first subscription that the exchange sees",
  run: (settings) =>
    withFolder(settings, async (folder) => {
      const rows = settings.full ? 2_600_000 : 260_000
      const size = settings.full ? "5 GB" : "500 MB"
      const prepared = `${folder}/prepared.db`
      await fillDatabase(prepared, rows)
      const rounds = await runRounds<number>(
        settings,
        [
          ["bare loop", () => startBareLoop(settings)],
          ["collector, empty", () => startCollector(settings, undefined)],
          [`collector, ${size}`, () => startCollector(settings, prepared)]
        ],
        (milliseconds) => `${milliseconds.toFixed(0)} ms`,
        { rounds: settings.rounds + 2 }
      )
      const same = (milliseconds: number) => milliseconds
      return {
        figures: [
          { name: "bare loop", unit: "ms", values: each(rounds, "bare loop", same) },
          { name: "collector, new database", unit: "ms", values: each(rounds, "collector, empty", same) },
          {
            name: `collector, database of ${size}`,
            unit: "ms",
            values: each(rounds, `collector, ${size}`, same)
          },
          {
            name: `database of ${size} / new database`,
            unit: "times",
            values: ratios(rounds, `collector, ${size}`, "collector, empty", same),
            target: { atMost: 1.2 }
          }
        ],
        others: othersOf(rounds),
        notes: []
      }
    })
}

const startCollector = (settings: Settings, prepared: string | undefined): Promise<number> =>
  withFolder(settings, (folder) =>
    withSender({ kind: "orderbook", bytes: bookBytes, rate: 10 }, (source) => {
      if (prepared !== undefined) copyDatabase(prepared, `${folder}/collector.db`)
      const begin = Date.now()
      return withCollector(
        settings,
        { source, folder, symbols, type: "orderbook" },
        async () => (await source.subscribed) / 1000 - begin
      )
    })
  )

const startBareLoop = (settings: Settings): Promise<number> =>
  withFolder(settings, (folder) =>
    withSender({ kind: "orderbook", bytes: bookBytes, rate: 10 }, (source) => {
      const begin = Date.now()
      return withOwnProgram(
        "bareLoop",
        { url: source.url, database: `${folder}/bare.db`, streams: channelsOf(symbols, "orderbook") },
        async () => (await source.subscribed) / 1000 - begin
      )
    })
  )
