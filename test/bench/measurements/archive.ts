import { closeSync, copyFileSync, fsyncSync, openSync } from "node:fs"
import Database from "better-sqlite3"
import { Schema } from "effect"
import { each, type Measurement, othersOf, ratios, runRounds, type Settings, withFolder } from "../Bench.ts"
import { memoryOf } from "../Machine.ts"
import { withOwnProgram } from "../Program.ts"
import { bookBytes } from "./throughput.ts"

interface Run {
  readonly rows: number
  /** From the first row read to the verified object. */
  readonly rowsPerSecond: number
  /** The purge of the rows included. */
  readonly rowsPerSecondInAll: number
  readonly bytes: number
  /** The most memory, over what the process had before, MB. */
  readonly memory: number
  /** The longest time for which the thread did nothing else, ms. */
  readonly stall: number
}

/** From SQLite to a verified Parquet file. */
export const archive: Measurement = {
  name: "archive",
  title: "rows of 1.9 kB from SQLite to a verified Parquet file in a folder",
  run: (settings) =>
    withFolder(settings, async (folder) => {
      const few = 10_000
      const some = 300_000
      const many = settings.full ? 3_000_000 : 1_000_000
      const databases = { few: `${folder}/few.db`, some: `${folder}/some.db`, many: `${folder}/many.db` }
      await fillDatabase(databases.few, few)
      await fillDatabase(databases.some, some)
      const rounds = await runRounds<Run>(
        settings,
        [
          [`DuckDB, ${some}`, () => runDuckdb(settings, databases.some)],
          [`collector, ${some}`, () => runCycle(settings, databases.some)]
        ],
        show
      )
      await fillDatabase(databases.many, many)
      const large = await runRounds<Run>(
        settings,
        [
          [`collector, ${few}`, () => runCycle(settings, databases.few)],
          [`collector, ${many}`, () => runCycle(settings, databases.many)]
        ],
        show,
        { rounds: 1 }
      )
      const speed = (run: Run) => run.rowsPerSecond
      const memory = (run: Run) => run.memory
      const smallest = each(large, `collector, ${few}`, memory)
      const medium = Math.max(...each(rounds, `collector, ${some}`, memory))
      const largest = each(large, `collector, ${many}`, memory)
      const thousands = (rows: number) => rows.toLocaleString("en")
      return {
        figures: [
          { name: "DuckDB, append and COPY", unit: "rows/s", values: each(rounds, `DuckDB, ${some}`, speed) },
          { name: "collector, verified", unit: "rows/s", values: each(rounds, `collector, ${some}`, speed) },
          {
            name: "collector / DuckDB",
            unit: "times",
            values: ratios(rounds, `collector, ${some}`, `DuckDB, ${some}`, speed),
            target: { atLeast: 0.7 }
          },
          {
            name: "collector, rows purged",
            unit: "rows/s",
            values: each(rounds, `collector, ${some}`, (run) => run.rowsPerSecondInAll)
          },
          {
            name: "file size, collector / DuckDB",
            unit: "times",
            values: ratios(rounds, `collector, ${some}`, `DuckDB, ${some}`, (run) => run.bytes),
            target: { atMost: 1 }
          },
          {
            name: "longest that the thread was busy at a stretch",
            unit: "ms",
            values: each(rounds, `collector, ${some}`, (run) => run.stall),
            target: { atMost: 100 }
          },
          { name: "DuckDB's memory", unit: "MB", values: each(rounds, `DuckDB, ${some}`, memory) },
          {
            name: `memory over idle, ${thousands(some)} rows`,
            unit: "MB",
            values: each(rounds, `collector, ${some}`, memory),
            target: { atMost: 250 }
          },
          {
            name: `memory over idle, ${thousands(many)} rows`,
            unit: "MB",
            values: largest,
            target: { atMost: 250 }
          },
          {
            name: `memory, ${thousands(many)} rows / ${thousands(some)} rows`,
            unit: "times",
            values: largest.map((value) => value / medium),
            target: { atMost: 1.1 }
          },
          {
            name: `memory, ${thousands(many)} rows over ${thousands(few)} rows`,
            unit: "MB",
            values: largest.map((value, i) => value - (smallest[i] ?? 0)),
            target: { atMost: 300 }
          }
        ],
        others: [...othersOf(rounds), ...othersOf(large)],
        notes: []
      }
    })
}

const show = ({ bytes, memory, rows, rowsPerSecond, rowsPerSecondInAll, stall }: Run): string =>
  `${Math.round(rowsPerSecond)} rows/s of ${rows} (${Math.round(rowsPerSecondInAll)} to the end)  ${(bytes / 1e6).toFixed(1)} MB  ${memory.toFixed(0)} MB memory  stall ${stall.toFixed(0)} ms`

/** A database as a collector leaves it that could not archive. */
export const fillDatabase = (database: string, rows: number, symbol = "btcusdt"): Promise<void> =>
  withOwnProgram("fill", { database, symbol, rows, bytes: bookBytes }, async (program) => {
    await program.expect(Schema.Struct({ rows: Schema.Number }), 1200)
  })

/** A copy that is on the disk, so that its writing does not fall into what is measured. */
export const copyDatabase = (from: string, to: string): void => {
  copyFileSync(from, to)
  const file = openSync(to, "r+")
  fsyncSync(file)
  closeSync(file)
}

const Idle = Schema.Struct({ idle: Schema.Literal(true) })
const Done = Schema.Struct({
  begin: Schema.Number,
  end: Schema.Number,
  rows: Schema.Number,
  bytes: Schema.Number,
  stall: Schema.Number
})

const run = (
  program: "archiveCycle" | "duckdbCopy",
  folder: string,
  database: string,
  verifiedAt: (end: number) => number
): Promise<Run> =>
  withOwnProgram(program, { folder, database }, async ({ expect, pid, tell }) => {
    await expect(Idle, 30)
    await new Promise((resolve) => setTimeout(resolve, 300))
    const idle = memoryOf(pid, "VmRSS")
    tell("go")
    const { begin, bytes, end, rows, stall } = await expect(Done, 600)
    const memory = memoryOf(pid, "VmHWM") - idle
    const verified = verifiedAt(end)
    return {
      rows,
      bytes,
      memory,
      stall,
      rowsPerSecond: (rows * 1000) / (verified - begin),
      rowsPerSecondInAll: (rows * 1000) / (end - begin)
    }
  })

const runDuckdb = (settings: Settings, database: string): Promise<Run> =>
  withFolder(settings, (folder) => run("duckdbCopy", folder, database, (end) => end))

const runCycle = (settings: Settings, prepared: string): Promise<Run> =>
  withFolder(settings, (folder) => {
    const database = `${folder}/collector.db`
    copyDatabase(prepared, database)
    return run("archiveCycle", folder, database, () => lastEventAt(database, "ArchiveVerified"))
  })

/** When the journal first told this of a stream, milliseconds. */
export const firstEventAt = (path: string, tag: string): number => eventAt(path, tag, "min")

/** When the journal last told this of a stream, milliseconds. */
export const lastEventAt = (path: string, tag: string): number => eventAt(path, tag, "max")

const eventAt = (path: string, tag: string, which: "min" | "max"): number => {
  const database = new Database(path, { readonly: true })
  try {
    const select = `SELECT ${which}(at) FROM journal WHERE tag = ? AND stream IS NOT NULL`
    return Number(database.prepare(select).pluck().get(tag)) / 1000
  } finally {
    database.close()
  }
}
