import { hostname } from "node:os"
import { dirname, join } from "node:path"
import type { FileSystem } from "@effect/platform"
import { Duration, Effect, Either, LogLevel, Option } from "effect"
import { archiveStore, archiveStoreNames } from "./Config/archiveStore.ts"
import { all, type Checked, problemsOf } from "./Config/Checked.ts"
import { logDirectives } from "./Config/logDirectives.ts"
import { markets } from "./Config/markets.ts"
import { optional, withDefault } from "./Config/Rule.ts"
import * as rules from "./Config/rules.ts"
import { loadSources, type Sources } from "./Config/Sources.ts"
import { SettingsInvalid } from "./domain/StartupError.ts"
import type { StorageSettings } from "./domain/StorageSettings.ts"
import type { StreamId } from "./domain/StreamId.ts"
import type { Exchange } from "./exchange/Exchange.ts"

/** The settings of the collector, checked. Relative paths are as given. */
export interface Settings extends StorageSettings {
  /** Every stream once, in the order of MARKETS. */
  readonly streams: ReadonlyArray<StreamId>
  /** `<EXCHANGE>_WS_URL`, by exchange name. */
  readonly endpoints: ReadonlyMap<string, URL>
  readonly batchInterval: Duration.Duration
  /** Snapshots. */
  readonly queueCapacity: number
  /** SILENCE_TIMEOUT: how long a lively stream may say nothing before its connection is made anew. */
  readonly silenceTimeout: Duration.Duration
  readonly logRetention: Duration.Duration
  readonly httpHost: string
  readonly httpPort: number
}

/**
 * The settings, from the variables of the current ConfigProvider (the process environment, unless a test gives another)
 * over the TOML file that CONFIG_PATH names. Fails with a line for each setting that is wrong, all at once.
 *
 * White space around a value is ignored. A variable without text counts as not set, as container files pass on what
 * their own environment lacks; it is a mistake where that would hide that something else is done than was meant
 * (CONFIG_PATH, MARKETS, BUCKET_NAME). In the file an empty text is always a mistake.
 *
 * `exchanges` are those that MARKETS may name, by their names.
 */
export const loadSettings = (
  exchanges: ReadonlyMap<string, Exchange>
): Effect.Effect<Settings, SettingsInvalid, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const sources = yield* loadSources([...names, ...Array.from(exchanges.keys(), endpointName)])
    const settings = check(sources, exchanges)
    const problems = [...sources.problems, ...problemsOf(settings)]
    return Either.isRight(settings) && problems.length === 0
      ? settings.right
      : yield* new SettingsInvalid({ problems })
  })

const check = (sources: Sources, exchanges: ReadonlyMap<string, Exchange>) => {
  const checked = all({
    streams: markets(sources, exchanges),
    endpoints: endpoints(sources, exchanges),
    batchInterval: withDefault(sources, ["BATCH_INTERVAL"], rules.seconds(3600), Duration.seconds(5)),
    queueCapacity: optional(sources, ["QUEUE_CAPACITY"], rules.integer(2, maxQueueCapacity)),
    silenceTimeout: withDefault(sources, ["SILENCE_TIMEOUT"], rules.seconds(86_400), Duration.seconds(60)),
    databasePath: withDefault(sources, ["DATABASE_PATH"], rules.databasePath, "data/collector.db"),
    archiveInterval: withDefault(sources, ["ARCHIVE_INTERVAL"], rules.seconds(604_800), Duration.hours(1)),
    archiveStore: archiveStore(sources),
    serverName: withDefault(sources, ["HOME_SERVER_NAME"], rules.serverName, hostname() || "localhost"),
    logDirectives: withDefault(sources, ["LOG_LEVEL"], logDirectives, {
      level: LogLevel.Info,
      modules: new Map()
    }),
    logDirectory: withDefault(sources, ["LOG_DIR"], rules.path, "logs"),
    logRetention: withDefault(sources, ["LOG_RETENTION_DAYS"], rules.days(36_500), Duration.days(1)),
    httpPort: withDefault(sources, ["HTTP_PORT"], rules.integer(1, 65_535), 9090),
    httpHost: withDefault(sources, ["HTTP_HOST"], rules.host, "127.0.0.1")
  })
  return Either.map(checked, (settings) => ({
    ...settings,
    queueCapacity: Option.getOrElse(settings.queueCapacity, () =>
      Math.min(settings.streams.length * queueCapacityPerStream, maxQueueCapacity)
    ),
    outboxDirectory: join(dirname(settings.databasePath), "outbox")
  }))
}

const names = [
  "MARKETS",
  "MARKET_SYMBOL",
  "BATCH_INTERVAL",
  "QUEUE_CAPACITY",
  "SILENCE_TIMEOUT",
  "DATABASE_PATH",
  "ARCHIVE_INTERVAL",
  ...archiveStoreNames,
  "HOME_SERVER_NAME",
  "LOG_LEVEL",
  "LOG_DIR",
  "LOG_RETENTION_DAYS",
  "HTTP_PORT",
  "HTTP_HOST"
]

/** Snapshots. */
const maxQueueCapacity = 10_000_000

const queueCapacityPerStream = 1000

const endpoints = (
  sources: Sources,
  exchanges: ReadonlyMap<string, Exchange>
): Checked<ReadonlyMap<string, URL>> => {
  const given = Array.from(
    exchanges.keys(),
    (name) => [name, optional(sources, [endpointName(name)], rules.webSocketUrl)] as const
  )
  return Either.map(
    all(Object.fromEntries(given)),
    (urls) =>
      new Map(
        Object.entries(urls).flatMap(([name, url]) => Option.toArray(url).map((url) => [name, url] as const))
      )
  )
}

/** The variable that names another endpoint for an exchange, as BINANCE_WS_URL. */
const endpointName = (exchange: string): string =>
  `${exchange.toUpperCase().replace(/[^A-Z0-9]/g, "_")}_WS_URL`
