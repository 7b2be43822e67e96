import { setTimeout as sleep } from "node:timers/promises"
import Database from "better-sqlite3"
import { each, type Measurement, othersOf, runRounds, type Settings, withFolder } from "../Bench.ts"
import { rowCounter, symbolsOf, withCollector, withSimulator } from "../contestants.ts"
import { bookBytes, runBareLoop } from "./throughput.ts"

const symbols = symbolsOf(10)

interface Run {
  readonly rate: number
  readonly sent: number
  readonly missing: number
  readonly dropped: number
}

/** Everything that is sent is stored, at the rate that the bare loop can just keep up with. */
export const loss: Measurement = {
  name: "loss",
  title: "messages lost at the bare loop's full speed, books of 1.9 kB, default settings",
  run: async (settings) => {
    const seconds = settings.seconds ?? (settings.full ? 60 : 15)
    const rounds = await runRounds<Run>(
      settings,
      [
        ["bare loop, full speed", () => fullSpeed(settings)],
        [
          "collector, that rate",
          (done) => hold(settings, done.get("bare loop, full speed")?.rate ?? 0, seconds)
        ]
      ],
      ({ dropped, missing, rate, sent }) =>
        sent === 0
          ? `${Math.round(rate)} rows/s`
          : `${Math.round(rate)} messages/s, ${sent} sent, ${missing} not stored, ${dropped} gave way`,
      { rounds: settings.full ? settings.rounds : 1, inOrder: true }
    )
    const collector = (measure: (run: Run) => number) => each(rounds, "collector, that rate", measure)
    return {
      figures: [
        { name: "rate", unit: "messages/s", values: collector((run) => run.rate) },
        { name: `sent in ${seconds} s`, unit: "messages", values: collector((run) => run.sent) },
        {
          name: "not stored",
          unit: "messages",
          values: collector((run) => run.missing),
          target: { atMost: 0 }
        },
        { name: "gave way in the queue", unit: "messages", values: collector((run) => run.dropped) }
      ],
      others: othersOf(rounds),
      notes: []
    }
  }
}

const fullSpeed = async (settings: Settings): Promise<Run> => {
  const { rate } = await withSimulator(settings, { symbols, rate: "max", bytes: bookBytes }, (source) =>
    runBareLoop(settings, source, "orderbook", { warmUp: 3, seconds: 6 })
  )
  return { rate, sent: 0, missing: 0, dropped: 0 }
}

const hold = (settings: Settings, rate: number, seconds: number): Promise<Run> =>
  withFolder(settings, (folder) =>
    withSimulator(
      settings,
      { symbols, rate: Math.round(rate / symbols.length), bytes: bookBytes },
      async (simulator) => {
        let sent = 0
        const { database, dropped } = await withCollector(
          settings,
          { source: simulator, folder, symbols, type: "orderbook" },
          async (collector) => {
            await collector.program.awaitLine(/ connected /, 30)
            await sleep(seconds * 1000)
            sent = await simulator.silence()
            await sleep(1000)
            return collector
          }
        )
        return { rate, sent, missing: sent - rowsIn(database), dropped: dropped() }
      }
    )
  )

const rowsIn = (path: string): number => {
  const database = new Database(path, { readonly: true })
  try {
    return rowCounter(database)()
  } finally {
    database.close()
  }
}
