import { setTimeout as sleep } from "node:timers/promises"
import { type Measurement, measured, withFolder } from "../Bench.ts"
import { symbolsOf, withCollector, withSender } from "../contestants.ts"
import { memoryOf } from "../Machine.ts"
import { median } from "../statistics.ts"
import { bookBytes } from "./throughput.ts"

/** Memory that grows with time. */
export const steady: Measurement = {
  name: "steady",
  title: "memory over time at 5,000 messages/s, books of 1.9 kB, archives every 20 s",
  run: async (settings) => {
    const seconds = settings.seconds ?? (settings.full ? 600 : 100)
    const [samples, load] = await measured(settings, () =>
      withFolder(settings, (folder) =>
        withSender({ kind: "orderbook", bytes: bookBytes, rate: 5_000 }, (source) =>
          withCollector(
            settings,
            { source, folder, symbols: symbolsOf(10), type: "orderbook", env: { ARCHIVE_INTERVAL: "20" } },
            async ({ program }) => {
              await source.subscribed
              const samples: Array<number> = []
              for (let i = 0; i < seconds * 2; i++) {
                await sleep(500)
                samples.push(memoryOf(program.pid, "VmRSS"))
                if (i % 20 === 19) {
                  settings.print(`  after ${(i + 1) / 2} s: ${median(samples.slice(-20)).toFixed(0)} MB\n`)
                }
              }
              return samples
            }
          )
        )
      )
    )
    // Over whole archive intervals: memory goes up and down with them.
    const window = 40
    const early = Math.floor(samples.length / 5)
    const before = median(samples.slice(early, early + window))
    const after = median(samples.slice(-window))
    return {
      figures: [
        { name: `after ${(early + window / 2) / 2} s`, unit: "MB", values: [before] },
        { name: `after ${(samples.length - window / 2) / 2} s`, unit: "MB", values: [after] },
        { name: "growth", unit: "MB", values: [after - before], target: { atMost: 20 } }
      ],
      others: [load.others],
      notes: ["Medians over 20 s each, which is one archive interval."]
    }
  }
}
