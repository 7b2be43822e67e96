import { hostname } from "node:os"
import { dirname, join } from "node:path"
import type { FileSystem } from "@effect/platform"
import { Duration, Effect, Either, LogLevel, Option } from "effect"
import { archiveStore, archiveStoreNames } from "./Config/archiveStore.ts"
import type { Given, Sources } from "./Config/Given.ts"
import { logDirectives } from "./Config/logDirectives.ts"
import { markets } from "./Config/markets.ts"
import { optional, type Rule, withDefault } from "./Config/Rule.ts"
import * as rules from "./Config/rules.ts"
import { loadSources } from "./Config/Sources.ts"
import { signerNames, signers } from "./Config/signers.ts"
import { all, problemsOf, type Validated } from "./Config/Validated.ts"
import type { Markets } from "./domain/Markets.ts"
import { SettingsInvalid } from "./domain/StartupError.ts"
import { defaultMinFreeDisk, type StorageSettings } from "./domain/StorageSettings.ts"
import type { Exchange, Signer } from "./exchange/Exchange.ts"
import { proxyProblems } from "./proxies/environment.ts"

/** The validated settings of the collector. Relative paths are as given. */
export interface Settings extends StorageSettings, Markets {
  /** `<EXCHANGE>_WS_URL`, by exchange name. */
  readonly endpoints: ReadonlyMap<string, URL>
  /** `<EXCHANGE>_REST_URL`, by exchange name. */
  readonly restEndpoints: ReadonlyMap<string, URL>
  /** Signers of the exchanges for which credentials are given. */
  readonly signers: ReadonlyMap<string, Signer>
  readonly batchInterval: Duration.Duration
  /** A number of Snapshots. */
  readonly queueCapacity: number
  /**
   * SILENCE_TIMEOUT: how long a lively stream may be silent before it is subscribed to again, and after that before it gets
   * another connection.
   */
  readonly silenceTimeout: Duration.Duration
  readonly logRetention: Duration.Duration
  readonly httpHost: string
  /** Additional host names under which the status page can be requested; `*`: any. */
  readonly httpAllowedHosts: ReadonlyArray<string>
  /** 0: any free port. */
  readonly httpPort: number
}

/**
 * Loads the settings from the variables of the current ConfigProvider (the process environment, unless a test provides another)
 * over the TOML file that CONFIG_PATH names. Fails with a line for each setting that is wrong, all at once.
 *
 * White space around a value is ignored. An empty variable counts as not set, since container files pass on what their own
 * environment lacks; it is an error where ignoring it would silently do something else than intended (CONFIG_PATH, MARKETS,
 * BUCKET_NAME). In the file an empty text is always an error.
 *
 * `exchanges` are those that MARKETS may name, by name.
 */
export const loadSettings = (
  exchanges: ReadonlyMap<string, Exchange>
): Effect.Effect<Settings, SettingsInvalid, FileSystem.FileSystem> =>
  Effect.map(loadGiven(exchanges), ({ settings }) => settings)

/** Settings, and how they were given: for a comparison with what is given later. */
export interface GivenSettings {
  readonly settings: Settings
  /** By name; what is not given is left out. */
  readonly given: ReadonlyMap<string, Given>
}

/** The same as `loadSettings`, with how they were given. */
export const loadGiven = (
  exchanges: ReadonlyMap<string, Exchange>
): Effect.Effect<GivenSettings, SettingsInvalid, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const all = [
      ...names,
      ...Array.from(exchanges.keys()).flatMap((name) => [wsName(name), restName(name)]),
      ...signerNames(exchanges)
    ]
    const sources = yield* loadSources(all)
    const settings = check(sources, exchanges, yield* signers(sources, exchanges))
    const problems = [
      ...sources.problems,
      ...problemsOf(settings),
      ...(Either.isRight(settings) ? polledElsewhere(settings.right, exchanges) : []),
      ...proxyProblems()
    ]
    if (Either.isLeft(settings) || problems.length > 0) return yield* new SettingsInvalid({ problems })
    const given = new Map(
      all.flatMap((name) => Option.toArray(sources.find(name)).map((value) => [name, value] as const))
    )
    return { settings: settings.right, given }
  })

/** Data that are requested over REST must come from the same place as the others: another endpoint can be a test network. */
const polledElsewhere = (
  settings: Pick<Settings, "endpoints" | "patterns" | "restEndpoints" | "streams">,
  exchanges: ReadonlyMap<string, Exchange>
): ReadonlyArray<string> =>
  Array.from(exchanges.values()).flatMap(({ dataTypes, name, url }) => {
    const endpoint = settings.endpoints.get(name)
    if (endpoint === undefined || endpoint.href === new URL(url).href || settings.restEndpoints.has(name))
      return []
    const types = [
      ...settings.streams.filter(({ exchange }) => exchange === name).map(({ dataType }) => dataType),
      ...settings.patterns.filter(({ exchange }) => exchange === name).flatMap((pattern) => pattern.dataTypes)
    ]
    const polled = new Set(types.filter((type) => !dataTypes.includes(type)))
    return polled.size === 0
      ? []
      : [
          `${restName(name)} must be set with ${wsName(name)}: ${[...polled].join(" and ")} is requested there`
        ]
  })

const check = (
  sources: Sources,
  exchanges: ReadonlyMap<string, Exchange>,
  signers: Validated<ReadonlyMap<string, Signer>>
) => {
  const checked = all({
    markets: markets(sources, exchanges),
    endpoints: endpoints(sources, exchanges, wsName, rules.webSocketUrl),
    restEndpoints: endpoints(sources, exchanges, restName, rules.httpUrl),
    signers,
    batchInterval: withDefault(sources, ["BATCH_INTERVAL"], rules.seconds(3600), Duration.seconds(5)),
    queueCapacity: optional(sources, ["QUEUE_CAPACITY"], rules.integer(2, maxQueueCapacity)),
    silenceTimeout: withDefault(sources, ["SILENCE_TIMEOUT"], rules.seconds(86_400), Duration.seconds(60)),
    databasePath: withDefault(sources, ["DATABASE_PATH"], rules.databasePath, "data/collector.db"),
    minFreeDisk: withDefault(
      sources,
      ["MIN_FREE_DISK"],
      rules.integer(0, Number.MAX_SAFE_INTEGER),
      defaultMinFreeDisk
    ),
    archiveInterval: withDefault(sources, ["ARCHIVE_INTERVAL"], rules.seconds(604_800), Duration.hours(1)),
    archiveStore: archiveStore(sources),
    serverName: withDefault(sources, ["HOME_SERVER_NAME"], rules.serverName, hostname() || "localhost"),
    logDirectives: withDefault(sources, ["LOG_LEVEL"], logDirectives, {
      level: LogLevel.Info,
      modules: new Map()
    }),
    logDirectory: withDefault(sources, ["LOG_DIR"], rules.path, "logs"),
    logRetention: withDefault(sources, ["LOG_RETENTION_DAYS"], rules.days(36_500), Duration.days(1)),
    httpPort: withDefault(sources, ["HTTP_PORT"], rules.port, 9090),
    httpHost: withDefault(sources, ["HTTP_HOST"], rules.host, "127.0.0.1"),
    httpAllowedHosts: withDefault(sources, ["HTTP_ALLOWED_HOSTS"], rules.hostNames, []),
    otlpEndpoint: optional(sources, [otlpEndpointName], rules.httpUrl)
  })
  return Either.map(checked, ({ markets, otlpEndpoint, ...settings }) => ({
    ...settings,
    ...markets,
    ...(Option.isSome(otlpEndpoint) ? { otlpEndpoint: otlpEndpoint.value } : {}),
    queueCapacity: Option.getOrElse(settings.queueCapacity, () => queueCapacityFor(markets)),
    outboxDirectory: join(dirname(settings.databasePath), "outbox")
  }))
}

/** The name that OpenTelemetry gives to this setting. */
const otlpEndpointName = "OTEL_EXPORTER_OTLP_ENDPOINT"

const names = [
  "MARKETS",
  "MARKET_SYMBOL",
  "BATCH_INTERVAL",
  "QUEUE_CAPACITY",
  "SILENCE_TIMEOUT",
  "DATABASE_PATH",
  "ARCHIVE_INTERVAL",
  "MIN_FREE_DISK",
  ...archiveStoreNames,
  "HOME_SERVER_NAME",
  "LOG_LEVEL",
  "LOG_DIR",
  "LOG_RETENTION_DAYS",
  "HTTP_PORT",
  "HTTP_HOST",
  "HTTP_ALLOWED_HOSTS",
  otlpEndpointName
]

/** The default of QUEUE_CAPACITY. */
const queueCapacityFor = ({ patterns, streams }: Markets): number =>
  Math.min((streams.length + patterns.length * streamsPerPattern) * queueCapacityPerStream, maxQueueCapacity)

/** A number of Snapshots. */
const maxQueueCapacity = 10_000_000

const queueCapacityPerStream = 1000

/** How many streams a pattern of MARKETS stands for is known only later. */
const streamsPerPattern = 1000

const endpoints = (
  sources: Sources,
  exchanges: ReadonlyMap<string, Exchange>,
  nameOf: (exchange: string) => string,
  rule: Rule<URL>
): Validated<ReadonlyMap<string, URL>> => {
  const given = Array.from(
    exchanges.keys(),
    (name) => [name, optional(sources, [nameOf(name)], rule)] as const
  )
  return Either.map(
    all(Object.fromEntries(given)),
    (urls) =>
      new Map(
        Object.entries(urls).flatMap(([name, url]) => Option.toArray(url).map((url) => [name, url] as const))
      )
  )
}

/** The variable that sets another endpoint for an exchange, such as BINANCE_WS_URL. */
const wsName = (exchange: string): string => `${variableOf(exchange)}_WS_URL`

/** The same for its REST interface, such as BINANCE_REST_URL. */
const restName = (exchange: string): string => `${variableOf(exchange)}_REST_URL`

const variableOf = (exchange: string): string => exchange.toUpperCase().replace(/[^A-Z0-9]/g, "_")
