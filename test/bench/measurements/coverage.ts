import { spawn } from "node:child_process"
import { Schema } from "effect"
import { each, type Measurement, othersOf, runRounds, type Settings, withFolder } from "../Bench.ts"
import { memoryOf, ownProcesses } from "../Machine.ts"
import { withOwnProgram } from "../Program.ts"

interface Run {
  readonly seconds: number
  /** The most memory, MB. */
  readonly memory: number
}

const streams = 2000
const from = Date.UTC(2026, 0, 1) * 1000

/** Reading the archived journal of a server with 2,000 streams, and listing its objects. */
export const coverage: Measurement = {
  name: "coverage",
  title: "the journal of 2,000 streams, as many days as --days says (--full: 365)",
  run: (settings) =>
    withFolder(settings, async (folder) => {
      const days = settings.full ? 365 : (settings.days ?? 3)
      const archive = `${folder}/archive`
      // Of a year it would take half an hour, and say nothing else.
      const isShort = days <= 30
      const argument = { folder: archive, streams, days, objectDays: isShort ? days : 2, from }
      const written = await withOwnProgram("journal", argument, (program) =>
        program.expect(Schema.Struct({ entries: Schema.Int, bytes: Schema.Number }), 36_000)
      )
      const last = new Date(from / 1000 + (days - 1) * 86_400_000).toISOString().slice(0, 10)
      const rounds = await runRounds<Run>(
        settings,
        [
          ["coverage of the last day", () => run(settings, folder, ["coverage", "--json", "--from", last])],
          ...(isShort
            ? [["coverage of all", () => run(settings, folder, ["coverage", "--json"])] as const]
            : [])
        ],
        ({ memory, seconds }) => `${seconds.toFixed(1)} s, ${memory.toFixed(0)} MB`
      )
      const seconds = ({ seconds }: Run) => seconds
      const memory = ({ memory }: Run) => memory
      const one = "coverage of the last day"
      const all = "coverage of all"
      return {
        figures: [
          { name: one, unit: "s", values: each(rounds, one, seconds), target: { atMost: 10 } },
          { name: `${one}, memory`, unit: "MB", values: each(rounds, one, memory), target: { atMost: 500 } },
          ...(isShort
            ? [
                { name: all, unit: "s", values: each(rounds, all, seconds) },
                { name: `${all}, memory`, unit: "MB", values: each(rounds, all, memory) },
                {
                  name: "entries read",
                  unit: "entries/s",
                  values: each(rounds, all, (run) => written.entries / run.seconds)
                }
              ]
            : [])
        ],
        others: othersOf(rounds),
        notes: [`${days} days, ${written.entries} entries in ${(written.bytes / 1e6).toFixed(0)} MB`]
      }
    })
}

/** Runs a command of the collector to its end. */
const run = (settings: Settings, folder: string, args: ReadonlyArray<string>): Promise<Run> =>
  new Promise((resolve, reject) => {
    const begin = performance.now()
    const child = spawn(process.execPath, [settings.collector, ...args], {
      env: {
        PATH: process.env.PATH ?? "",
        TMPDIR: folder,
        DATABASE_PATH: `${folder}/none.db`,
        ARCHIVE_STORE: "file",
        ARCHIVE_DIR: `${folder}/archive`,
        LOG_DIR: `${folder}/logs`
      },
      stdio: ["ignore", "ignore", "inherit"]
    })
    const pid = child.pid ?? 0
    ownProcesses.add(pid)
    let memory = 0
    const timer = setInterval(() => {
      const now = memoryOf(pid, "VmHWM")
      if (now > memory) memory = now
    }, 50)
    child.once("error", reject)
    child.once("exit", (code) => {
      clearInterval(timer)
      ownProcesses.delete(pid)
      if (code === 0) resolve({ seconds: (performance.now() - begin) / 1000, memory })
      else reject(new Error(`${args.join(" ")} ended with ${code}`))
    })
  })
