import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { isolated, program, startReceiving, type Variables, workspace } from "../support/collector.ts"
import { freePort, makeFolder, runNode } from "../support/process.ts"
import { isPortable, makeBucket, s3Server, s3ServerName } from "../support/s3Bucket.ts"
import { filesBelow, openDatabase } from "../support/stored.ts"

/** Never to be seen in any output. */
const secret = "Zs7SecretNobodyMaySee7sZ"

interface Failure {
  readonly what: string
  readonly variables: Variables
  /** One for each line on stderr. */
  readonly lines: ReadonlyArray<RegExp>
  /** Makes files in the folder. */
  readonly prepare?: (folder: string) => void
}

const s3 = { BUCKET_NAME: "some-bucket", S3_ENDPOINT: "http://127.0.0.1:9" }

const failures: ReadonlyArray<Failure> = [
  {
    what: "numbers that are none, or out of bounds: a line for each",
    variables: {
      BATCH_INTERVAL: "soon",
      QUEUE_CAPACITY: "1.5",
      ARCHIVE_INTERVAL: "0",
      LOG_RETENTION_DAYS: "-1"
    },
    lines: [
      /^BATCH_INTERVAL="soon": must be a number of seconds greater than 0/,
      /^QUEUE_CAPACITY="1\.5": must be a whole number from \d+ to \d+/,
      /^ARCHIVE_INTERVAL="0": must be a number of seconds greater than 0/,
      /^LOG_RETENTION_DAYS="-1": must be a number of days greater than 0/
    ]
  },
  {
    what: "an exchange that does not exist",
    variables: { MARKETS: "bynance:btcusdt" },
    lines: [/^MARKETS="bynance:btcusdt": .*no exchange "bynance".*binance/]
  },
  {
    what: "a type that the exchange does not have",
    variables: { MARKETS: "binance:btcusdt:orderbook+trades" },
    lines: [/^MARKETS="binance:btcusdt:orderbook\+trades": .*no type "trades".*orderbook, trade/]
  },
  {
    what: "several mistakes of different kinds",
    variables: {
      MARKETS: "binance",
      BINANCE_WS_URL: "http://127.0.0.1/",
      LOG_LEVEL: "loud",
      HTTP_PORT: "70000",
      ARCHIVE_STORE: "tape",
      HOME_SERVER_NAME: "a\u0007b"
    },
    lines: [
      /^MARKETS="binance": .*exchange:symbol/,
      /^BINANCE_WS_URL="http:\/\/127\.0\.0\.1\/": must be a ws:\/\/ or wss:\/\/ URL/,
      /^ARCHIVE_STORE="tape": must be s3 or file/,
      /^HOME_SERVER_NAME="a\\u0007b": must be/,
      /^LOG_LEVEL="loud": .*no level "loud".*info/,
      /^HTTP_PORT="70000": must be a whole number from 1 to 65535/
    ]
  },
  {
    what: "S3 without the name of a bucket",
    variables: { ARCHIVE_STORE: "s3" },
    lines: [/^BUCKET_NAME is not set: .*S3/]
  },
  {
    what: "S3 without credentials",
    variables: { ARCHIVE_STORE: "s3", ...s3 },
    lines: [/no credentials.*AWS_ACCESS_KEY and AWS_SECRET_KEY/]
  },
  {
    what: "a secret without its key, which is not shown",
    variables: { ...s3, AWS_SECRET_KEY: secret },
    lines: [/^AWS_SECRET_KEY \(value not shown\) is set without AWS_ACCESS_KEY/]
  },
  {
    what: "secrets with white space, which are not shown",
    variables: { ...s3, AWS_ACCESS_KEY: "AKIA", AWS_SECRET_KEY: `${secret} ${secret}` },
    lines: [/^AWS_SECRET_KEY \(value not shown\): must not contain white space/]
  },
  {
    what: "a password in a URL, which is not shown",
    variables: { BINANCE_WS_URL: `http://user:${secret}@127.0.0.1/` },
    lines: [/^BINANCE_WS_URL="http:\/\/\*\*\*@127\.0\.0\.1\/": must be/]
  },
  {
    what: "a database that is none",
    variables: { DATABASE_PATH: "notes.txt" },
    prepare: (folder) => NodeFs.writeFileSync(`${folder}/notes.txt`, "Dear diary,\n".repeat(100)),
    lines: [/^DATABASE_PATH=notes\.txt: is not an SQLite database/]
  },
  {
    what: "a database that is a folder",
    variables: { DATABASE_PATH: "folder" },
    prepare: (folder) => NodeFs.mkdirSync(`${folder}/folder`),
    lines: [/^DATABASE_PATH=folder: is not a file/]
  },
  {
    what: "an archive folder that is a file",
    variables: { ARCHIVE_STORE: "file", ARCHIVE_DIR: "file" },
    prepare: (folder) => NodeFs.writeFileSync(`${folder}/file`, ""),
    lines: [/^ARCHIVE_DIR=file: .*cannot be written/]
  },
  {
    what: "a log folder that is a file",
    variables: { LOG_DIR: "file" },
    prepare: (folder) => NodeFs.writeFileSync(`${folder}/file`, ""),
    lines: [/^LOG_DIR="file": cannot be written/]
  },
  {
    what: "a settings file that is missing",
    variables: { CONFIG_PATH: "nowhere.toml" },
    lines: [/^CONFIG_PATH="nowhere\.toml": there is no such file/]
  },
  {
    what: "a settings file with an error of syntax, whose text is not shown",
    variables: { CONFIG_PATH: "settings.toml" },
    prepare: (folder) =>
      NodeFs.writeFileSync(`${folder}/settings.toml`, `batch_interval = 1\naws_secret_key = "${secret}\n`),
    lines: [/^CONFIG_PATH="settings\.toml": is not valid TOML: line 2/]
  },
  {
    what: "settings that do not exist and values of the wrong kind in a settings file",
    variables: { CONFIG_PATH: "settings.toml" },
    prepare: (folder) =>
      NodeFs.writeFileSync(
        `${folder}/settings.toml`,
        `batch_intervall = 1\narchive_interval = "often"\n[[markets]]\nexchange = "binance"\nsymbol = 5\n`
      ),
    lines: [
      /^settings\.toml: there is no setting "batch_intervall".*batch_interval/,
      /^MARKETS \(markets in settings\.toml\): entry 1: symbol must be/,
      /^ARCHIVE_INTERVAL \(archive_interval in settings\.toml\)="often": must be a number/
    ]
  }
]

/** Runs the collector in an empty folder, to its end. `told` is what it logged on stdout above the level DEBUG. */
const failToStart = ({ prepare, variables }: Pick<Failure, "prepare" | "variables">) =>
  Effect.gen(function* () {
    const folder = yield* makeFolder
    prepare?.(folder)
    const result = yield* runNode([program], {
      cwd: folder,
      env: { ...isolated(folder), HTTP_PORT: String(yield* freePort), LOG_LEVEL: "trace", ...variables }
    })
    const logs = filesBelow(`${folder}/logs`).map((file) =>
      NodeFs.readFileSync(`${folder}/logs/${file}`, "utf8")
    )
    const told = linesOf(result.stdout).filter((line) => line !== "" && !/^\S+ (DEBUG|TRACE) /.test(line))
    return { logs: logs.join(""), told, ...result }
  })

const linesOf = (text: string): ReadonlyArray<string> => text.replace(/\n$/, "").split("\n")

describe.concurrent("a start that fails: exit code 1, and one line on stderr for each mistake", () => {
  for (const { lines, what, ...failure } of failures) {
    it.scopedLive(what, () =>
      Effect.gen(function* () {
        const { code, logs, stderr, stdout, told } = yield* failToStart(failure)
        expect(linesOf(stderr)).toEqual(expectInAnyOrder(linesOf(stderr), lines))
        expect(code).toBe(1)
        expect(told).toEqual([])
        expect(stderr + stdout + logs).not.toContain(secret)
      })
    )
  }

  it.scopedLive("a database of a newer version, which is left unchanged", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const database = `${folder}/newer.db`
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* openDatabase(database, "write")
          yield* sql`CREATE TABLE schema_migrations (
              migration_id INTEGER PRIMARY KEY NOT NULL, created_at DATETIME NOT NULL, name VARCHAR(255) NOT NULL)`
          yield* sql`INSERT INTO schema_migrations VALUES (999, '2030-01-01', 'from_the_future')`
        })
      )
      const bytes = NodeFs.readFileSync(database)
      const result = yield* failToStart({ variables: { DATABASE_PATH: database } })
      expect(linesOf(result.stderr)).toEqual([
        expect.stringMatching(/^DATABASE_PATH=.*newer\.db: was made by a newer version \(schema 999/)
      ])
      expect(result.code).toBe(1)
      expect(result.told).toEqual([])
      expect(NodeFs.readFileSync(database).equals(bytes)).toBe(true)
    })
  )

  it.scopedLive.skipIf(isPortable)(
    `a secret that the S3 server refuses (${isPortable ? "skipped: it accepts any: " : ""}${s3ServerName})`,
    () =>
      Effect.gen(function* () {
        const bucket = yield* makeBucket(yield* s3Server)
        const { code, logs, stderr, stdout, told } = yield* failToStart({
          variables: { ...bucket.variables(), AWS_SECRET_KEY: secret }
        })
        expect(linesOf(stderr)).toEqual([
          expect.stringMatching(new RegExp(`refused access to BUCKET_NAME=${bucket.name}: .*AWS_SECRET_KEY`))
        ])
        expect(code).toBe(1)
        expect(told).toEqual([])
        expect(stderr + stdout + logs).not.toContain(secret)
      })
  )
})

describe("a start that succeeds even if something is missing", () => {
  it.scopedLive(
    "with an unreachable S3 server warns, records, and shows no secret at the lowest log level",
    () =>
      Effect.gen(function* () {
        const where = yield* workspace
        const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 20 })
        const collector = yield* startReceiving(where, {
          ...s3,
          MARKETS: "binance:btcusdt",
          BINANCE_WS_URL: simulator.url(),
          AWS_ACCESS_KEY: `AKIA${secret}`,
          AWS_SECRET_KEY: secret,
          AWS_SESSION_TOKEN: `token-${secret}`,
          LOG_LEVEL: "trace"
        })
        yield* collector.awaitLine(/WARN .*the bucket is not ready/)
        yield* collector.awaitLine(/WARN .*upload failed/)
        expect((yield* collector.stop()).code).toBe(0)
        const logs = filesBelow(where.logs).map((file) =>
          NodeFs.readFileSync(`${where.logs}/${file}`, "utf8")
        )
        expect(logs.join("")).toContain("upload failed")
        expect(collector.stdout() + collector.stderr() + logs.join("")).not.toContain(secret)
      })
  )
})

/** What `lines` should be, for a comparison that shows both: each pattern where it fits. */
const expectInAnyOrder = (lines: ReadonlyArray<string>, patterns: ReadonlyArray<RegExp>) => {
  const left = [...patterns]
  const placed = lines.map((line) => {
    const at = left.findIndex((pattern) => pattern.test(line))
    return at < 0
      ? expect.stringMatching(/^a line less$/)
      : expect.stringMatching(left.splice(at, 1)[0] ?? "")
  })
  return [...placed, ...left.map((pattern) => expect.stringMatching(pattern))]
}
