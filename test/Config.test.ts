import { hostname } from "node:os"
import { join } from "node:path"
import { FileSystem } from "@effect/platform"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Either, FastCheck, LogLevel, Option, Redacted } from "effect"
import { loadSettings, type Settings } from "../src/Config.ts"
import { type StreamId, streamKey } from "../src/domain/StreamId.ts"
import type { Exchange } from "../src/exchange/Exchange.ts"
import { binance } from "../src/exchange/venues/binance.ts"

describe("loadSettings", () => {
  it.effect("has a default for every setting", () =>
    Effect.gen(function* () {
      const settings = yield* load({})
      expect(settings.streams.map(streamKey)).toEqual(["binance:btcusdt:orderbook", "binance:btcusdt:trade"])
      expect(settings).toMatchObject({
        queueCapacity: 2000,
        databasePath: "data/collector.db",
        archiveStore: { _tag: "File", directory: "data/archive" },
        outboxDirectory: "data/outbox",
        serverName: hostname(),
        logDirectives: { level: LogLevel.Info },
        logDirectory: "logs",
        httpHost: "127.0.0.1",
        httpPort: 9090
      })
      expect(settings.endpoints.size).toBe(0)
      expect(settings.logDirectives.modules.size).toBe(0)
      expect(Duration.toSeconds(settings.batchInterval)).toBe(5)
      expect(Duration.toSeconds(settings.silenceTimeout)).toBe(60)
      expect(Duration.toSeconds(settings.archiveInterval)).toBe(3600)
      expect(Duration.toDays(settings.logRetention)).toBe(1)
    })
  )

  it.effect("reads every setting from the environment", () =>
    Effect.gen(function* () {
      const settings = yield* load({
        MARKETS: " other : ETH-USD , binance:ETHUSDT : trade + orderbook_diff,binance:ethusdt:trade",
        BINANCE_WS_URL: "ws://127.0.0.1:9443/stream",
        BATCH_INTERVAL: "0.25",
        QUEUE_CAPACITY: "50",
        SILENCE_TIMEOUT: "7",
        DATABASE_PATH: "/var/lib/collector/c.db",
        ARCHIVE_INTERVAL: "60",
        ARCHIVE_STORE: "S3",
        AWS_ACCESS_KEY: "AKIA",
        AWS_SECRET_KEY: "sesame",
        AWS_REGION: "eu-central-1",
        BUCKET_NAME: "my.ticks",
        HOME_SERVER_NAME: "tokyo 1",
        LOG_LEVEL: "warn, archive=debug",
        LOG_DIR: "/var/log/collector",
        LOG_RETENTION_DAYS: "0.5",
        HTTP_PORT: "8080",
        HTTP_HOST: "::1"
      })
      expect(settings.streams.map(streamKey)).toEqual([
        "other:ETH-USD:trade",
        "binance:ethusdt:trade",
        "binance:ethusdt:orderbook_diff"
      ])
      expect(settings.endpoints.get("binance")?.href).toBe("ws://127.0.0.1:9443/stream")
      expect(settings.archiveStore).toMatchObject({ _tag: "S3", bucket: "my.ticks", region: "eu-central-1" })
      expect(settings).toMatchObject({
        queueCapacity: 50,
        databasePath: "/var/lib/collector/c.db",
        outboxDirectory: "/var/lib/collector/outbox",
        serverName: "tokyo 1",
        logDirectory: "/var/log/collector",
        httpHost: "::1",
        httpPort: 8080
      })
      expect(Duration.toMillis(settings.batchInterval)).toBe(250)
      expect(Duration.toHours(settings.logRetention)).toBe(12)
      expect(settings.logDirectives.level).toBe(LogLevel.Warning)
      expect(settings.logDirectives.modules).toEqual(new Map([["archive", LogLevel.Debug]]))
    })
  )

  it.effect("reports all problems at once, a line for each setting", () =>
    Effect.gen(function* () {
      const problems = yield* problemsOf({
        MARKETS: "nowhere:x,,binance:b:trade+ticks,binance",
        BINANCE_WS_URL: "https://user:hush@example.com/?token=hush",
        BATCH_INTERVAL: "abc",
        QUEUE_CAPACITY: "1",
        SILENCE_TIMEOUT: "-1",
        DATABASE_PATH: ":memory:",
        ARCHIVE_INTERVAL: "1e3",
        BUCKET_NAME: "My_Bucket",
        AWS_ACCESS_KEY: "two words",
        AWS_SECRET_KEY: "more secret words",
        AWS_REGION: "Oregon",
        S3_ENDPOINT: "localhost:9000",
        HOME_SERVER_NAME: "x".repeat(65),
        LOG_LEVEL: "loud,archve=debug",
        LOG_RETENTION_DAYS: "0",
        HTTP_PORT: "65536",
        HTTP_HOST: "not a host"
      })
      expect(problems).toEqual([
        'MARKETS="nowhere:x,,binance:b:trade+ticks,binance": "nowhere:x": there is no exchange "nowhere", but binance, other; entry 2 is empty; "binance:b:trade+ticks": symbol "b" must be two characters or more; binance has no type "ticks", but orderbook, trade, orderbook_diff, instrument; "binance" must be exchange:symbol or exchange:symbol:type+type',
        'BINANCE_WS_URL="https://***@example.com/?***": must be a ws:// or wss:// URL without a fragment',
        'BATCH_INTERVAL="abc": must be a number of seconds greater than 0, at most 3600',
        'QUEUE_CAPACITY="1": must be a whole number from 2 to 10000000',
        'SILENCE_TIMEOUT="-1": must be a number of seconds greater than 0, at most 86400',
        'DATABASE_PATH=":memory:": must be the path of a file, without ~, which only a shell knows',
        'ARCHIVE_INTERVAL="1e3": must be a number of seconds greater than 0, at most 604800',
        'S3_ENDPOINT="localhost:9000": must be an http:// or https:// URL without user, query and fragment',
        'AWS_REGION="Oregon": must be a region: up to 63 lower-case letters, digits and hyphens',
        'BUCKET_NAME="My_Bucket": must be a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit',
        "AWS_ACCESS_KEY (value not shown): must not contain white space or control characters",
        "AWS_SECRET_KEY (value not shown): must not contain white space or control characters",
        `HOME_SERVER_NAME="${"x".repeat(65)}": must be 1 to 64 printable characters, at most 150 once percent-encoded`,
        'LOG_LEVEL="loud,archve=debug": there is no level "loud", but trace, debug, info, warning, error, fatal, all, none; there is no module "archve" (did you mean "archive"?), but exchange, ingest, storage, archive, operations, simulator, main',
        'LOG_RETENTION_DAYS="0": must be a number of days greater than 0, at most 36500',
        'HTTP_PORT="65536": must be a whole number from 1 to 65535, or 0 for any that is free',
        'HTTP_HOST="not a host": must be an IP address or a host name'
      ])
    })
  )

  it.effect("treats an empty variable as not set", () =>
    Effect.gen(function* () {
      const settings = yield* load({
        BATCH_INTERVAL: "",
        HTTP_PORT: "  ",
        AWS_ACCESS_KEY: "",
        AWS_SECRET_KEY: "",
        S3_ENDPOINT: "",
        MARKET_SYMBOL: "",
        MARKETS: "other:XY"
      })
      expect(Duration.toSeconds(settings.batchInterval)).toBe(5)
      expect(settings.archiveStore._tag).toBe("File")
    })
  )

  it.effect("reports a name that is nearly that of a setting", () =>
    Effect.gen(function* () {
      const problems = yield* problemsOf({
        MARKET: "binance:btcusdt",
        BATCH_INTERVALL: "1",
        CONFG_PATH: "x.toml",
        DATABSAE_PATH: "x.db",
        BINANCE_WS_ULR: "ws://127.0.0.1",
        HTTP_PROXY: "http://127.0.0.1",
        LANG: "C",
        PATH: "/bin"
      })
      expect([...problems].sort()).toEqual([
        "BATCH_INTERVALL: there is no such setting (did you mean BATCH_INTERVAL?)",
        "BINANCE_WS_ULR: there is no such setting (did you mean BINANCE_WS_URL?)",
        "CONFG_PATH: there is no such setting (did you mean CONFIG_PATH?)",
        "DATABSAE_PATH: there is no such setting (did you mean DATABASE_PATH?)",
        "MARKET: there is no such setting (did you mean MARKETS?)"
      ])
    })
  )

  it.effect("reports quotes that a container's file keeps, and a home folder that only a shell expands", () =>
    Effect.gen(function* () {
      const quoted = "must not be in quotes (docker --env-file keeps them)"
      expect(
        yield* problemsOf({
          MARKETS: '"binance:btcusdt"',
          HTTP_PORT: "'9090'",
          DATABASE_PATH: "~/c.db",
          LOG_DIR: "~collector",
          ARCHIVE_DIR: '"/archive"',
          AWS_SECRET_KEY: '"sesame"'
        })
      ).toEqual([
        `MARKETS="\\"binance:btcusdt\\"": ${quoted}`,
        'DATABASE_PATH="~/c.db": must be the path of a file, without ~, which only a shell knows',
        `ARCHIVE_DIR="\\"/archive\\"": ${quoted}`,
        `AWS_SECRET_KEY (value not shown): ${quoted}`,
        'LOG_DIR="~collector": must be a path without control characters, and without ~, which only a shell knows',
        `HTTP_PORT="'9090'": ${quoted}`
      ])
      expect(yield* problemsOf({ CONFIG_PATH: '"c.toml"' })).toEqual([
        `CONFIG_PATH="\\"c.toml\\"": ${quoted}`
      ])
    })
  )

  it.effect("accepts host names for the status page", () =>
    Effect.gen(function* () {
      const hosts = (text: string) =>
        Effect.map(load({ HTTP_ALLOWED_HOSTS: text }), ({ httpAllowedHosts }) => httpAllowedHosts)
      expect(yield* hosts("Collector.example.com, prometheus")).toEqual([
        "collector.example.com",
        "prometheus"
      ])
      expect(yield* hosts("*")).toEqual(["*"])
      expect(yield* problemsOf({ HTTP_ALLOWED_HOSTS: "a:9090" })).toEqual([
        'HTTP_ALLOWED_HOSTS="a:9090": must be host names without ports, separated by commas, or * for any'
      ])
    })
  )

  it.effect("refuses an empty variable where ignoring it would hide a mistake", () =>
    Effect.gen(function* () {
      expect(yield* problemsOf({ MARKETS: "", BUCKET_NAME: " ", CONFIG_PATH: "" })).toEqual([
        'CONFIG_PATH="": must be the path of a TOML file (leave the variable out to use none)',
        'MARKETS="": must not be empty (leave the variable out for the default)',
        'BUCKET_NAME="": must be the name of a bucket (leave the variable out to archive to a folder)'
      ])
      expect((yield* load({ ARCHIVE_STORE: "file", BUCKET_NAME: "" })).archiveStore._tag).toBe("File")
    })
  )
})

describe("MARKETS", () => {
  it.effect("MARKET_SYMBOL is short for the order book on Binance", () =>
    Effect.gen(function* () {
      const settings = yield* load({ MARKET_SYMBOL: "ETHUSDT" })
      expect(settings.streams).toEqual([{ exchange: "binance", symbol: "ethusdt", dataType: "orderbook" }])
      expect(settings.queueCapacity).toBe(1000)
      expect(yield* problemsOf({ MARKET_SYMBOL: "e" })).toEqual([
        'MARKET_SYMBOL="e": symbol "e" must be two characters or more'
      ])
      const [line, ...rest] = yield* problemsOf({ MARKET_SYMBOL: "ethusdt", MARKETS: "binance:ethusdt" })
      expect(rest).toEqual([])
      expect(line).toContain("are both set")
    })
  )

  it.effect.prop("reads back what was written", { streams: FastCheck.array(anyStream()) }, ({ streams }) =>
    Effect.gen(function* () {
      if (streams.length === 0) return
      const settings = yield* load({ MARKETS: streams.map(streamKey).join(",") })
      expect(settings.streams.map(streamKey)).toEqual([...new Set(streams.map(streamKey))])
    })
  )
})

describe("the archive store", () => {
  it.effect("is S3 if one of its settings is given", () =>
    Effect.gen(function* () {
      expect((yield* load({ AWS_ACCESS_KEY_ID: "shell" })).archiveStore._tag).toBe("File")
      expect(yield* problemsOf({ S3_ENDPOINT: "http://127.0.0.1:9000" })).toEqual([
        "BUCKET_NAME is not set: archives go to S3 (S3_ENDPOINT is set), which needs the name of a bucket"
      ])
      expect(yield* problemsOf({ ARCHIVE_STORE: "s3" })).toEqual([
        "BUCKET_NAME is not set: archives go to S3 (ARCHIVE_STORE is s3), which needs the name of a bucket"
      ])
      const settings = yield* load({
        BUCKET_NAME: "ticks",
        S3_ENDPOINT: "https://r2.example",
        AWS_REGION: "auto"
      })
      expect(settings.archiveStore).toMatchObject({ _tag: "S3", bucket: "ticks", region: "auto" })
      expect((yield* s3({ BUCKET_NAME: "ticks" })).region).toBe("us-west-2")
      expect((yield* s3({ BUCKET_NAME: "ticks", AWS_DEFAULT_REGION: "us-gov-west-1" })).region).toBe(
        "us-gov-west-1"
      )
    })
  )

  it.effect("accepts credentials under our names and the usual ones", () =>
    Effect.gen(function* () {
      const BUCKET_NAME = "ticks"
      const usual = { AWS_ACCESS_KEY_ID: "ASIA", AWS_SECRET_ACCESS_KEY: "shell", AWS_SESSION_TOKEN: "token" }
      expect(shown(yield* s3({ BUCKET_NAME }))).toEqual([])
      expect(shown(yield* s3({ BUCKET_NAME, ...usual }))).toEqual(["ASIA", "shell", "token"])
      const ours = { AWS_ACCESS_KEY: "AKIA", AWS_SECRET_KEY: "ours" }
      expect(shown(yield* s3({ BUCKET_NAME, ...usual, ...ours }))).toEqual(["AKIA", "ours"])
      expect(yield* problemsOf({ BUCKET_NAME, AWS_ACCESS_KEY: "AKIA" })).toEqual([
        "AWS_ACCESS_KEY (value not shown) is set without AWS_SECRET_KEY or AWS_SECRET_ACCESS_KEY: set both, or neither to let the AWS provider chain find them"
      ])
      expect(yield* problemsOf({ AWS_SECRET_KEY: "ours" })).toHaveLength(1)
    })
  )

  it.effect.each(["ab", "-ab", "a..b", "192.168.0.1", "xn--abc", "abc-s3alias", "a_b", "x".repeat(64)])(
    "refuses the bucket name %s",
    (BUCKET_NAME) =>
      Effect.gen(function* () {
        expect(yield* problemsOf({ BUCKET_NAME })).toHaveLength(1)
      })
  )
})

describe("the settings file", () => {
  it.scoped("supplies what the environment lacks", () =>
    Effect.gen(function* () {
      const CONFIG_PATH = yield* file(`
        batch_interval = 0.5
        http_port = 1234
        log_level = "debug"
        other_ws_url = "wss://example.org"
        aws_secret_key = "sesame"
        aws_access_key = "AKIA"
        bucket_name = "ticks"

        [[markets]]
        exchange = "binance"
        symbol = "BTCUSDT"
        types = ["trade"]

        [[markets]]
        exchange = "other"
        symbol = "ETH-USD"
      `)
      const settings = yield* load({ CONFIG_PATH, HTTP_PORT: "4321", LOG_LEVEL: "" })
      expect(settings.streams.map(streamKey)).toEqual(["binance:btcusdt:trade", "other:ETH-USD:trade"])
      expect(Duration.toMillis(settings.batchInterval)).toBe(500)
      expect(settings.httpPort).toBe(4321)
      expect(settings.logDirectives.level).toBe(LogLevel.Debug)
      expect(settings.endpoints.get("other")?.href).toBe("wss://example.org/")
      expect(settings.archiveStore).toMatchObject({ _tag: "S3", bucket: "ticks" })
      const other = yield* load({ CONFIG_PATH, MARKET_SYMBOL: "ethusdt" })
      expect(other.streams.map(streamKey)).toEqual(["binance:ethusdt:orderbook"])
    })
  )

  it.scoped("is named in problems, without its secrets", () =>
    Effect.gen(function* () {
      const CONFIG_PATH = yield* file(`
        batch_interval = "5"
        batch_intervall = 5
        HTTP_PORT = 80
        http_port = 70000
        log_dir = 7
        database_path = ""
        aws_access_key = ["sesame"]
        aws_secret_key = "ses ame"
        bucket_name = 2020-01-01
        [[markets]]
        exchange = "binanse"
        symbol = "btcusdt"
        [[markets]]
        exchange = "binance"
        symbl = "btcusdt"
        [[markets]]
        exchange = "binance"
        symbol = "btcusdt"
        types = "trade"
      `)
      expect(yield* problemsOf({ CONFIG_PATH })).toEqual([
        'collector.toml: there is no setting "batch_intervall" (did you mean "batch_interval"?)',
        'collector.toml: there is no setting "HTTP_PORT" (did you mean "http_port"?)',
        'MARKETS (markets in collector.toml): entry 1: there is no exchange "binanse" (did you mean "binance"?), but binance, other; entry 2: there is no "symbl" (did you mean "symbol"?); entry 3: types must be an array of texts, as ["orderbook", "trade"]',
        'BATCH_INTERVAL (batch_interval in collector.toml)="5": must be a number, without quotes',
        'DATABASE_PATH (database_path in collector.toml)="": must not be empty',
        "BUCKET_NAME (bucket_name in collector.toml)=2020-01-01: must be a text in quotes",
        "AWS_ACCESS_KEY (aws_access_key in collector.toml; value not shown): must be a text in quotes",
        "AWS_SECRET_KEY (aws_secret_key in collector.toml; value not shown): must not contain white space or control characters",
        "LOG_DIR (log_dir in collector.toml)=7: must be a text in quotes",
        "HTTP_PORT (http_port in collector.toml)=70000: must be a whole number from 1 to 65535, or 0 for any that is free"
      ])
    })
  )

  it.scoped("that is not TOML is one problem with line and column, besides those of the environment", () =>
    Effect.gen(function* () {
      const CONFIG_PATH = yield* file('aws_secret_key = "sesame\nhttp_port = 1')
      const problems = yield* problemsOf({ CONFIG_PATH, ARCHIVE_STORE: "s3", HTTP_PORT: "-1" })
      expect(problems).toHaveLength(2)
      expect(problems[0]).toMatch(/^CONFIG_PATH="[^"]+": is not valid TOML: line 1, column \d+: [a-z ]+$/)
      expect(problems[1]).toContain("HTTP_PORT")
    })
  )

  it.effect("that does not exist is one problem", () =>
    Effect.gen(function* () {
      expect(yield* problemsOf({ CONFIG_PATH: "/nowhere/c.toml" })).toEqual([
        'CONFIG_PATH="/nowhere/c.toml": there is no such file'
      ])
      expect(yield* problemsOf({ CONFIG_PATH: "/" })).toEqual([
        'CONFIG_PATH="/": must be the path of a TOML file'
      ])
    })
  )

  it.scoped.prop("yields settings or problems, whatever it contains", { text: anyToml() }, ({ text }) =>
    Effect.gen(function* () {
      const result = yield* Effect.either(load({ CONFIG_PATH: yield* file(text) }))
      if (Either.isLeft(result)) expect(result.left.problems.length).toBeGreaterThan(0)
    })
  )
})

describe("any environment", () => {
  it.effect.prop(
    "yields settings or problems, one line each",
    { environment: anyEnvironment() },
    ({ environment }) =>
      Effect.gen(function* () {
        const result = yield* Effect.either(load(environment))
        if (Either.isRight(result)) return
        expect(result.left.problems.length).toBeGreaterThan(0)
        for (const line of result.left.problems) expect(line).not.toMatch(/[\p{Cc}\u2028\u2029]/u)
      })
  )

  it.effect.prop(
    "shows no secret in a problem",
    { environment: anyEnvironment(), secret: FastCheck.string({ minLength: 12, unit: "binary" }) },
    ({ environment, secret }) =>
      Effect.gen(function* () {
        const secrets = ["AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN"].map(
          (name) => [name, secret] as const
        )
        const result = yield* Effect.either(
          load({
            ...environment,
            ...Object.fromEntries(secrets),
            S3_ENDPOINT: `ftp://user:${secret}@host`,
            BINANCE_WS_URL: `http://${secret}@host`
          })
        )
        expect(Either.isLeft(result)).toBe(true)
        expect(Either.isLeft(result) ? result.left.message : secret).not.toContain(secret)
      })
  )
})

const load = (environment: Record<string, string>) =>
  loadSettings(exchanges).pipe(
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)))),
    Effect.provide(NodeFileSystem.layer)
  )

const problemsOf = (environment: Record<string, string>) =>
  Effect.map(Effect.flip(load(environment)), (error) => error.problems)

const s3 = (environment: Record<string, string>) =>
  Effect.flatMap(load(environment), ({ archiveStore }) =>
    archiveStore._tag === "S3" ? Effect.succeed(archiveStore) : Effect.dieMessage("not S3")
  )

const shown = (store: Extract<Settings["archiveStore"], { _tag: "S3" }>) =>
  Option.match(store.credentials, {
    onNone: () => [],
    onSome: ({ accessKeyId, secretAccessKey, sessionToken }) => [
      accessKeyId,
      Redacted.value(secretAccessKey),
      ...Option.toArray(sessionToken).map(Redacted.value)
    ]
  })

/** A settings file in a folder of its own. */
const file = (text: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = join(yield* fs.makeTempDirectoryScoped(), "collector.toml")
    yield* fs.writeFileString(path, text)
    return path
  }).pipe(Effect.provide(NodeFileSystem.layer))

const exchange = (
  name: string,
  dataTypes: Exchange["dataTypes"],
  parseSymbol: Exchange["parseSymbol"]
): Exchange => ({ ...binance, name, dataTypes, parseSymbol })

const exchanges: ReadonlyMap<string, Exchange> = new Map(
  [
    exchange("binance", ["orderbook", "trade", "orderbook_diff"], (text) =>
      text.length < 2 ? Either.left("two characters or more") : Either.right(text.toLowerCase())
    ),
    exchange("other", ["trade"], Either.right)
  ].map((exchange) => [exchange.name, exchange])
)

function anyStream(): FastCheck.Arbitrary<StreamId> {
  return FastCheck.oneof(
    FastCheck.record({
      exchange: FastCheck.constant("binance"),
      symbol: FastCheck.stringMatching(/^[a-z0-9]{2,8}$/),
      dataType: FastCheck.constantFrom("orderbook" as const, "trade" as const, "orderbook_diff" as const)
    }),
    FastCheck.record({
      exchange: FastCheck.constant("other"),
      symbol: FastCheck.stringMatching(/^[A-Z0-9/_-]{2,8}$/),
      dataType: FastCheck.constant("trade" as const)
    })
  )
}

function anyEnvironment() {
  const value = FastCheck.oneof(
    FastCheck.string({ unit: "binary" }),
    FastCheck.string(),
    FastCheck.constantFrom(
      "",
      "s3",
      "file",
      "5",
      "1e9",
      "binance:btcusdt",
      "http://[::1]:9000",
      "info,archive=debug"
    )
  )
  return FastCheck.dictionary(FastCheck.constantFrom(...names), value, { noNullPrototype: true })
}

function anyToml(): FastCheck.Arbitrary<string> {
  const value = FastCheck.oneof(
    FastCheck.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value)),
    FastCheck.constantFrom("1979-05-27", "inf", "nan", "{}", "[{exchange = 1}]", "07:32:00", "0xff", "''")
  )
  return FastCheck.array(
    FastCheck.tuple(FastCheck.constantFrom(...names.slice(1), "CONSTRUCTOR", "X.Y", "__PROTO__"), value)
  ).map((entries) => entries.map(([name, value]) => `${name.toLowerCase()} = ${value}`).join("\n"))
}

const names = [
  "CONFIG_PATH",
  "MARKETS",
  "MARKET_SYMBOL",
  "BINANCE_WS_URL",
  "BATCH_INTERVAL",
  "QUEUE_CAPACITY",
  "SILENCE_TIMEOUT",
  "DATABASE_PATH",
  "ARCHIVE_INTERVAL",
  "ARCHIVE_STORE",
  "ARCHIVE_DIR",
  "AWS_ACCESS_KEY",
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_KEY",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_REGION",
  "AWS_DEFAULT_REGION",
  "BUCKET_NAME",
  "S3_ENDPOINT",
  "HOME_SERVER_NAME",
  "LOG_LEVEL",
  "LOG_DIR",
  "LOG_RETENTION_DAYS",
  "HTTP_PORT",
  "HTTP_HOST"
]
