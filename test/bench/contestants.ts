import { createServer } from "node:net"
import Database from "better-sqlite3"
import { Schema } from "effect"
import type { Settings } from "./Bench.ts"
import { cpuSecondsOf } from "./Machine.ts"
import { type Program, withOwnProgram, withProgram } from "./Program.ts"
import type { SenderOptions } from "./programs/sender.ts"

/** Where frames come from. */
export interface Source {
  readonly url: string
}

export const symbolsOf = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `s${String(i).padStart(4, "0")}usdt`)

export interface Simulator extends Source {
  /** Stops sending, and says how many messages went out. */
  readonly silence: () => Promise<number>
}

/** The simulated exchange, sending books. `rate` is of each symbol. */
export const withSimulator = <A>(
  settings: Settings,
  options: { readonly symbols: ReadonlyArray<string>; readonly rate: number | "max"; readonly bytes: number },
  use: (simulator: Simulator) => Promise<A>
): Promise<A> =>
  withProgram(
    settings.collector,
    {
      args: ["simulate", "--port", "0", "--symbols", options.symbols.join()].concat(
        ["--rate", String(options.rate), "--book-bytes", String(options.bytes)],
        ["--idle", "wait", "--duration", "3600"]
      )
    },
    async (program) => {
      const line = await program.awaitLine(/on (ws:\S+), control on (http:\S+)\/status/, 20)
      const [, url = "", control = ""] = line
      return use({
        url,
        silence: async () => {
          await fetch(`${control}/silence`, { method: "POST" })
          const { streams } = decodeStatus(await (await fetch(`${control}/status`)).json())
          return Object.values(streams).reduce((total, { messages }) => total + messages, 0)
        }
      })
    }
  )

const decodeStatus = Schema.decodeUnknownSync(
  Schema.Struct({
    streams: Schema.Record({ key: Schema.String, value: Schema.Struct({ messages: Schema.Number }) })
  })
)

export interface Sender extends Source {
  /** When the first subscription came, microseconds since the epoch. */
  readonly subscribed: Promise<number>
}

/** Sends frames of one size, each with its sequence id and, in trades, the microsecond in which it was sent. */
export const withSender = <A>(options: SenderOptions, use: (sender: Sender) => Promise<A>): Promise<A> =>
  withOwnProgram("sender", options, async (program) => {
    const { port } = await program.expect(Schema.Struct({ port: Schema.Number }), 20)
    const subscribed = program.expect(Schema.Struct({ subscribed: Schema.Number }), 60)
    subscribed.catch(() => {})
    return use({
      url: `ws://127.0.0.1:${port}/stream`,
      subscribed: subscribed.then((message) => message.subscribed)
    })
  })

export interface Collector {
  readonly program: Program
  readonly database: string
  /** Messages that gave way in the queue, as far as it has told. */
  readonly dropped: () => number
}

/** The collector as a process of its own, with its default settings but for folders and what is given. */
export const withCollector = async <A>(
  settings: Settings,
  options: {
    readonly source: Source
    readonly folder: string
    readonly symbols: ReadonlyArray<string>
    readonly type: "orderbook" | "trade"
    readonly env?: Readonly<Record<string, string>>
  },
  use: (collector: Collector) => Promise<A>
): Promise<A> => {
  const database = `${options.folder}/collector.db`
  const env = {
    MARKETS: options.symbols.map((symbol) => `binance:${symbol}:${options.type}`).join(),
    BINANCE_WS_URL: options.source.url,
    DATABASE_PATH: database,
    ARCHIVE_STORE: "file",
    ARCHIVE_DIR: `${options.folder}/archive`,
    LOG_DIR: `${options.folder}/logs`,
    HOME_SERVER_NAME: "bench",
    HTTP_PORT: String(await freePort()),
    ...options.env
  }
  return withProgram(settings.collector, { env }, (program) =>
    use({ program, database, dropped: () => droppedIn(program.stdout()) })
  )
}

const droppedIn = (log: string): number => {
  let dropped = 0
  for (const [, count] of log.matchAll(/dropped oldest messages .*?\bdropped=(\d+)/g))
    dropped += Number(count)
  return dropped
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(address === null || typeof address === "string" ? 0 : address.port))
    })
  })

/** What a recorder committed within a time. */
export interface Committed {
  /** Rows per second, from one commit to another. */
  readonly rate: number
  /** Processor time of the recorder, microseconds per row. */
  readonly cpuMicros: number
}

/**
 * Watches a recorder's database from outside: only what was committed counts. Begins `warmUp` seconds after the first row
 * and goes on for `seconds`.
 */
export const watchCommits = async (
  pid: number,
  path: string,
  options: { readonly warmUp: number; readonly seconds: number }
): Promise<Committed> => {
  const database = await opened(path)
  try {
    const rows = rowCounter(database)
    const first = performance.now() + 30_000
    while (rows() === 0) {
      if (performance.now() > first) throw new Error(`${path}: nothing was committed within 30 s`)
      await sleep(10)
    }
    await sleep(options.warmUp * 1000)
    const begin = await nextCommit(rows)
    const cpu = cpuSecondsOf(pid)
    const end = begin.at + options.seconds * 1000
    let last = begin
    while (last.at < end) last = await nextCommit(rows)
    const count = last.rows - begin.rows
    return {
      rate: (count * 1000) / (last.at - begin.at),
      cpuMicros: ((cpuSecondsOf(pid) - cpu) * 1e6) / count
    }
  } finally {
    database.close()
  }
}

/** Opens a recorder's database for reading as soon as it has its table. */
export const opened = async (path: string): Promise<Database.Database> => {
  const deadline = performance.now() + 30_000
  while (true) {
    try {
      const database = new Database(path, { readonly: true, fileMustExist: true })
      try {
        rowCounter(database)
        return database
      } catch (error) {
        database.close()
        throw error
      }
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(20)
    }
  }
}

/** All rows that were ever inserted. */
export const rowCounter = (database: Database.Database): (() => number) => {
  database.prepare("SELECT id FROM snapshots LIMIT 1")
  const statement = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'snapshots'").pluck()
  return () => Number(statement.get() ?? 0)
}

const nextCommit = async (rows: () => number): Promise<{ readonly at: number; readonly rows: number }> => {
  const before = rows()
  const deadline = performance.now() + 30_000
  while (true) {
    await sleep(5)
    const now = rows()
    if (now !== before) return { at: performance.now(), rows: now }
    if (performance.now() > deadline) throw new Error("nothing was committed within 30 s")
  }
}

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))
