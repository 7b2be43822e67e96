import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { microsPerDay } from "../../src/domain/micros.ts"
import { isolated, program, type Variables } from "../support/collector.ts"
import { answering, faultyS3, hanging, refusing } from "../support/faultyS3.ts"
import { eventually, makeFolder, runNode, startNode } from "../support/process.ts"
import { copyDatabase, onDay, record, recordWith } from "../support/recorded.ts"
import { newYear } from "../support/snapshots.ts"
import { filesBelow, openDatabase } from "../support/stored.ts"

const run = (folder: string, variables: Variables, ...args: ReadonlyArray<string>) =>
  runNode([program, ...args], { cwd: folder, env: environment(folder, variables) })

const environment = (folder: string, variables: Variables): Variables => ({
  ...isolated(folder),
  TMPDIR: folder,
  DATABASE_PATH: `${folder}/none.db`,
  ARCHIVE_STORE: "file",
  ARCHIVE_DIR: `${folder}/archive`,
  HOME_SERVER_NAME: "reader",
  ...variables
})

const journalParts = (folder: string, server: string) =>
  filesBelow(`${folder}/archive`).filter(
    (file) => /^_journal\/.*\.journal$/.test(file) && file.includes(`/${server}_`)
  )

const Days = Schema.parseJson(Schema.Array(Schema.Struct({ server: Schema.String, messages: Schema.Int })))

/** What `coverage --json` counts, by server. */
const messagesBy = (stdout: string): Readonly<Record<string, number>> => {
  const sums: Record<string, number> = {}
  for (const { messages, server } of Schema.decodeSync(Days)(stdout)) {
    sums[server] = (sums[server] ?? 0) + messages
  }
  return sums
}

const streamFolder = "exchange=binance/symbol=btcusdt/data_type=trade/date=2026-01-01"

const plant = (folder: string, server: string, millis: number) => {
  const id = millis.toString(16).padStart(12, "0") + "0".repeat(12)
  const key = `${streamFolder}/${server}_20260101T000000000Z_${id}.parquet`
  NodeFs.writeFileSync(`${folder}/archive/${key}`, "x")
  return key
}

describe.concurrent("verify", () => {
  it.scopedLive("lists every object that is unknown, or newer than the journal", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "a", [1, 2, 3])
      const stranger = plant(folder, "stranger", Date.now() + 1000)
      const future = plant(folder, "a", Date.now() + 86_400_000)
      const newer = plant(folder, "a", Date.now() + 1000)
      const { code, stdout } = yield* run(folder, {}, "verify")
      expect(stdout).toContain(`unknown  ${stranger}: no journal knows it\n`)
      expect(stdout).toContain(`unknown  ${future}: no journal knows it\n`)
      expect(stdout).toContain(`newer    ${newer}\n`)
      expect(code).toBe(1)
      NodeFs.rmSync(`${folder}/archive/${stranger}`)
      NodeFs.rmSync(`${folder}/archive/${future}`)
      expect((yield* run(folder, {}, "verify")).code).toBe(0)
    })
  )

  it.scopedLive(
    "continues after a damaged part of a journal, while coverage leaves out that server and says so",
    () =>
      Effect.gen(function* () {
        const folder = yield* makeFolder
        yield* record(folder, "a", [1, 2, 3], [4, 5])
        yield* record(folder, "b", [1, 2, 3])
        const [part = ""] = journalParts(folder, "a")
        NodeFs.rmSync(`${folder}/archive/${part}`)
        NodeFs.writeFileSync(`${folder}/archive/${part}`, "PAR1 no more")
        const verified = yield* run(folder, {}, "verify")
        expect(verified.stdout).toContain(`damaged  ${part}: its entries cannot be read: `)
        expect(verified.stdout).toContain("2 archives with 5 rows")
        expect(verified.code).toBe(1)
        const covered = yield* run(folder, {}, "coverage", "--json")
        expect(covered.code).toBe(1)
        expect(covered.stderr).toMatch(
          new RegExp(`^server a is left out, because a part of its journal is damaged .*: ${part}: .*\\n$`)
        )
        expect(messagesBy(covered.stdout)).toEqual({ b: 3 })
        const merged = yield* run(folder, {}, "merge", "--into", `${folder}/merged`)
        expect(merged.code).toBe(1)
        expect(merged.stdout).toContain("  5 messages, 3 of which")
        expect(merged.stderr).toContain(part)
      })
  )

  it.scopedLive("reads a journal whose clock was set back, or whose server was renamed, as one", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "a", [1, 2, 3], [4, 5])
      // as if the second part had been made by a clock that was set back, and by another name
      const [, part = ""] = journalParts(folder, "a")
      const earlier = part.replace("/a_", "/old_").replace(/_[0-9a-f]{24}\./, `_${"0".repeat(24)}.`)
      NodeFs.renameSync(`${folder}/archive/${part}`, `${folder}/archive/${earlier}`)
      expect(messagesBy((yield* run(folder, {}, "coverage", "--json")).stdout)).toEqual({ a: 5 })
      const renamed = { DATABASE_PATH: `${folder}/a.db`, HOME_SERVER_NAME: "new" }
      expect(messagesBy((yield* run(folder, renamed, "coverage", "--json")).stdout)).toEqual({ new: 5 })
    })
  )
})

const Verified = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      server: Schema.String,
      date: Schema.String,
      verifiedPercent: Schema.Number,
      exclude: Schema.Array(
        Schema.Struct({ from: Schema.String, to: Schema.String, reasons: Schema.Array(Schema.String) })
      )
    })
  )
)

/** Whether a part of a server's journal is in doubt, by what `coverage --json` says. */
const isInDoubt = (stdout: string, server: string) =>
  Schema.decodeSync(Verified)(stdout).some(
    (day) => day.server === server && day.exclude.some(({ reasons }) => reasons.includes("journal"))
  )

describe.concurrent("coverage of a journal with missing parts", () => {
  const missing = (server: string) =>
    new RegExp(`^server ${server}: entries are missing from its journal, the time is in doubt: .*\\n$`)

  it.scopedLive("is in doubt if a part is missing from the archive, and the command fails", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "a", [1, 2, 3], [4, 5], [6, 7], [8, 9])
      yield* record(folder, "b", [1, 2, 3])
      const whole = yield* run(folder, {}, "coverage", "--json")
      expect(whole).toMatchObject({ code: 0, stderr: "" })
      expect(isInDoubt(whole.stdout, "a")).toBe(false)
      const parts = journalParts(folder, "a")
      for (const [name, n] of [
        ["first", 0],
        ["second", 1],
        ["last but one", 2]
      ] as const) {
        const path = `${folder}/archive/${parts[n]}`
        NodeFs.renameSync(path, `${folder}/gone`)
        const covered = yield* run(folder, {}, "coverage", "--json")
        expect(covered.code, name).toBe(1)
        expect(covered.stderr, name).toMatch(missing("a"))
        expect(isInDoubt(covered.stdout, "a"), name).toBe(true)
        expect(isInDoubt(covered.stdout, "b"), name).toBe(false)
        const verified = yield* run(folder, {}, "verify")
        expect(verified.code, name).toBe(1)
        expect(verified.stdout, name).toContain("missing  _journal/")
        // with the database beside it, which has all of it still, too
        const own = { DATABASE_PATH: `${folder}/a.db`, HOME_SERVER_NAME: "a" }
        expect(yield* run(folder, own, "coverage", "--json"), name).toMatchObject({ code: 1 })
        NodeFs.renameSync(`${folder}/gone`, path)
      }
    })
  )

  it.scopedLive("is in doubt for what was pruned, if only the database is read", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordWith({ limits: { millis: 0, entries: 0 } }, folder, "a", [1, 2, 3], [4, 5])
      const own = { DATABASE_PATH: `${folder}/a.db`, HOME_SERVER_NAME: "a" }
      expect(yield* run(folder, own, "coverage", "--json")).toMatchObject({ code: 0, stderr: "" })
      const alone = yield* run(folder, { ...own, ARCHIVE_DIR: `${folder}/nothing` }, "coverage", "--json")
      expect(alone.code).toBe(1)
      expect(alone.stderr).toMatch(missing("a"))
      expect(isInDoubt(alone.stdout, "a") || alone.stdout.trim() === "[]").toBe(true)
      // the newest part is gone, and what was in it is pruned
      for (const part of journalParts(folder, "a").slice(-1)) NodeFs.rmSync(`${folder}/archive/${part}`)
      const tail = yield* run(folder, own, "coverage", "--json")
      expect(tail.code).toBe(1)
      expect(tail.stderr).toMatch(missing("a"))
      expect(isInDoubt(tail.stdout, "a")).toBe(true)
    })
  )

  it.scopedLive("keeps both what was recorded before and after a copy of the database was restored", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const database = `${folder}/a.db`
      const own = { DATABASE_PATH: database, HOME_SERVER_NAME: "a" }
      yield* record(folder, "a", [1, 2, 3])
      copyDatabase(database, `${folder}/copy.db`)
      yield* record(folder, "a", [4, 5], [6, 7])
      copyDatabase(`${folder}/copy.db`, database)
      // before it has archived anything, too
      const early = yield* run(folder, own, "coverage", "--json")
      expect(messagesBy(early.stdout)).toEqual({ a: 7 })
      yield* record(folder, "a", [8, 9], [10])
      const journals = new Set(journalParts(folder, "a").map((part) => /_([0-9a-f]{16})_/.exec(part)?.[1]))
      expect(journals.size).toBe(2)
      for (const variables of [{}, own]) {
        const covered = yield* run(folder, variables, "coverage", "--json")
        expect(messagesBy(covered.stdout)).toEqual({ a: 10 })
        expect(covered.code).toBe(1)
        expect(covered.stderr).toMatch(missing("a"))
        expect(isInDoubt(covered.stdout, "a")).toBe(true)
      }
      const verified = yield* run(folder, own, "verify", "--deep")
      expect(verified.stdout).toContain("5 archives with 10 rows")
      expect(verified.code).toBe(0)
    })
  )
})

describe.concurrent("the holes that merge shows", () => {
  const day = ["--from", "2026-01-01", "--to", "2026-01-01"]
  const merge = (folder: string, variables: Variables, ...args: ReadonlyArray<string>) =>
    run(folder, variables, "merge", "--into", `${folder}/merged`, ...args)

  it.scopedLive("include what is still in a database, and what was in a missing object", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      // The last one is of the next day: it proves that none is missing before.
      yield* record(folder, "a", [1, 2, 3], [4, 5, 90_000_000])
      const own = { DATABASE_PATH: `${folder}/a.db`, HOME_SERVER_NAME: "a" }
      const whole = "\n  no hole remains in 1d\n"
      expect((yield* merge(folder, own, ...day)).stdout).toContain(whole)

      const [, object = ""] = filesBelow(`${folder}/archive`).filter((file) => file.startsWith(streamFolder))
      NodeFs.renameSync(`${folder}/archive/${object}`, `${folder}/gone`)
      const without = yield* merge(folder, own, ...day)
      expect(without.stdout).toContain("  3 messages, 0 of which")
      expect(without.stdout).toMatch(/holes that remain: .*\n {2}exclude 2026-01-01T00:00:00.003001Z to /)
      NodeFs.renameSync(`${folder}/gone`, `${folder}/archive/${object}`)
      expect((yield* merge(folder, own, ...day)).stdout).toContain(whole)

      yield* recordWith({ isArchived: false }, folder, "a", [6, 7])
      const waiting = yield* merge(folder, own, ...day)
      expect(waiting.stdout).toContain("  5 messages, 0 of which")
      expect(waiting.stdout).toMatch(/holes that remain: .*\n {2}exclude /)
      // another server has them
      yield* record(folder, "b", [1, 2, 3, 4, 5, 6, 7, 90_000_000])
      expect((yield* merge(folder, own, ...day)).stdout).toContain(whole)
    })
  )

  it.scopedLive("include days without archives, and the time when no server was alive", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const at = Date.now() * 1000
      yield* recordWith({ from: at - 60_000_000 }, folder, "a", [1, 2, 3])
      const later = at + 3 * 86_400_000_000
      yield* recordWith({ from: later }, folder, "b", [4, 5])
      const { stdout } = yield* merge(folder, {})
      const dates = [0, 1, 2, 3].map((n) => new Date(at / 1000 + n * 86_400_000).toISOString().slice(0, 10))
      for (const date of dates) expect(stdout).toContain(`binance:btcusdt:trade  ${date}  `)
      for (const date of dates.slice(1, 3)) {
        expect(stdout).toContain(`${date}  nothing is archived\n  holes that remain: 1d of 1d\n`)
      }
      expect(stdout).not.toContain("no hole remains")
    })
  )
})

describe.concurrent("what merge lists", () => {
  it.scopedLive("starts on the day of a stream's first message, whenever the exchange accepted it", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const taken = { startedAt: newYear - 3 * microsPerDay }
      yield* recordWith(taken, folder, "a", [1, 2, 90_000_000])
      yield* recordWith({ ...taken, from: newYear + microsPerDay }, folder, "b", [1])
      const { code, stdout } = yield* run(folder, {}, "merge", "--into", `${folder}/merged`)
      expect(code).toBe(0)
      expect(stdout).not.toContain("nothing is archived")
      expect(stdout.match(/trade {2}[\d-]+/g)).toEqual(["trade  2026-01-01", "trade  2026-01-02"])
    })
  )
})

describe.concurrent("the result of merge", () => {
  const merge = (folder: string, ...args: ReadonlyArray<string>) =>
    run(folder, {}, "merge", "--into", `${folder}/merged`, ...args)
  const midnight = newYear + microsPerDay

  it.scopedLive("has each message in one day, whether days are merged together or separately", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      // what `a` received before midnight, `b` received after it
      yield* recordWith({ from: midnight - 3000 }, folder, "a", [1, 2]).pipe(onDay(1))
      yield* recordWith({ from: midnight }, folder, "b", [1, 2, 3]).pipe(onDay(1))
      const rowsOf = (stdout: string) => stdout.match(/\d+ messages, \d+ of which/g)
      const together = yield* merge(folder)
      expect(rowsOf(together.stdout)).toEqual(["2 messages, 0 of which", "1 messages, 2 of which"])
      const [first, second] = [
        yield* merge(folder, "--from", "2026-01-01", "--to", "2026-01-01"),
        yield* merge(folder, "--from", "2026-01-02", "--to", "2026-01-02")
      ]
      expect(rowsOf(first.stdout)).toEqual(["2 messages, 0 of which"])
      expect(rowsOf(second.stdout)).toEqual(["1 messages, 2 of which"])
      const halves = [
        yield* merge(folder, "--to", "2026-01-02T00:00:00.002Z"),
        yield* merge(folder, "--from", "2026-01-02T00:00:00.002Z")
      ]
      expect(halves.map(({ stdout }) => rowsOf(stdout))).toEqual([
        ["2 messages, 0 of which", "0 messages, 1 of which"],
        ["1 messages, 1 of which"]
      ])
    })
  )

  it.scopedLive("names an unreadable object, counts its time as a hole, and continues", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const day = ["--from", "2026-01-01", "--to", "2026-01-01"]
      // The last one is of the next day: it proves that none is missing before.
      yield* record(folder, "a", [1, 2, 3], [4, 5], [6, 7, 90_000_000])
      const [, object = ""] = filesBelow(`${folder}/archive`).filter((file) => file.startsWith(streamFolder))
      const path = `${folder}/archive/${object}`
      const content = NodeFs.readFileSync(path)
      // as long as it was: nothing but reading it shows
      NodeFs.rmSync(path)
      NodeFs.writeFileSync(path, Buffer.alloc(content.length))
      const damaged = yield* merge(folder, ...day)
      expect(damaged.code).toBe(1)
      expect(damaged.stdout).toContain(`unreadable  ${object}: `)
      expect(damaged.stdout).toContain("  5 messages, 0 of which")
      expect(damaged.stdout).toMatch(/\n {2}exclude 2026-01-01T00:00:00.00(3001|4000)Z to /)
      expect(damaged.stderr).toContain(`objects could not be read, their time is a hole: ${object}: `)
      // another server has it
      yield* record(folder, "b", [1, 2, 3, 4, 5, 6, 7, 90_000_000])
      const whole = yield* merge(folder, ...day)
      expect(whole.code).toBe(1)
      expect(whole.stdout).toContain("  7 messages, 5 of which")
      expect(whole.stdout).toContain("no hole remains in 1d\n")
    })
  )

  it.scopedLive("keeps once what a restored copy of a database archived again", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const database = `${folder}/a.db`
      yield* recordWith({ isArchived: false }, folder, "a", [1, 2, 3])
      copyDatabase(database, `${folder}/copy.db`)
      yield* record(folder, "a", [4])
      copyDatabase(`${folder}/copy.db`, database)
      yield* record(folder, "a", [5])
      expect((yield* merge(folder)).stdout).toContain("  5 messages, 3 of which")
    })
  )

  it.scopedLive("lists only the selected exchange and symbol", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const empty = `<?xml version="1.0"?><ListBucketResult><Name>bucket</Name><KeyCount>0</KeyCount>
        <IsTruncated>false</IsTruncated></ListBucketResult>`
      const store = yield* faultyS3(() =>
        answering(200, { headers: { "content-type": "application/xml" }, body: empty })
      )
      const s3 = {
        ARCHIVE_STORE: "s3",
        S3_ENDPOINT: store.endpoint,
        BUCKET_NAME: "bucket",
        AWS_ACCESS_KEY: "a",
        AWS_SECRET_KEY: "b"
      }
      const { code } = yield* run(
        folder,
        s3,
        ...["merge", "--into", `${folder}/merged`, "--exchange", "Binance", "--symbol", "btcusdt"]
      )
      expect(code).toBe(0)
      const prefixes = store.requests.flatMap((request) => /[?&]prefix=([^& ]*)/.exec(request)?.[1] ?? [])
      expect(prefixes.map(decodeURIComponent).sort()).toEqual([
        "_journal/",
        "exchange=binance/symbol=BTCUSDT/",
        "exchange=binance/symbol=btcusdt/",
        "journal/"
      ])
    })
  )
})

describe.concurrent("a command that only reads", () => {
  const s3 = (endpoint: string): Variables => ({
    ARCHIVE_STORE: "s3",
    S3_ENDPOINT: endpoint,
    BUCKET_NAME: "bucket",
    AWS_ACCESS_KEY: "a",
    AWS_SECRET_KEY: "b"
  })

  it.scopedLive("creates no bucket, and coverage needs none if there is a database", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "a", [1, 2, 3])
      const own = { DATABASE_PATH: `${folder}/a.db`, HOME_SERVER_NAME: "a" }
      const refuses = yield* faultyS3(() => refusing(403, "AccessDenied"))
      const missing = yield* faultyS3((method) =>
        method === "GET" || method === "HEAD" ? refusing(404, "NoSuchBucket") : answering(200)
      )
      for (const server of [refuses.endpoint, missing.endpoint, "http://127.0.0.1:1"]) {
        const covered = yield* run(folder, { ...own, ...s3(server) }, "coverage", "--json")
        expect(covered.code).toBe(0)
        expect(messagesBy(covered.stdout)).toEqual({ a: 3 })
        expect(covered.stderr).toMatch(/^the archive cannot be read, .*\n$/)
        const verified = yield* run(folder, { ...own, ...s3(server) }, "verify")
        expect(verified).toMatchObject({ code: 1, stdout: "" })
        expect(verified.stderr).toMatch(/^list .*\n$/)
      }
      expect(missing.requests.filter((request) => request.startsWith("PUT"))).toEqual([])
    })
  )

  for (const args of [["coverage"], ["verify", "--deep"], ["merge", "--into", "merged"]]) {
    it.scopedLive(`lets a collector empty its WAL while it reads the archive: ${args[0]}`, () =>
      Effect.gen(function* () {
        const folder = yield* makeFolder
        yield* record(folder, "a", [1, 2, 3])
        const [part = ""] = journalParts(folder, "a")
        const list = `<?xml version="1.0"?><ListBucketResult><Name>bucket</Name><KeyCount>1</KeyCount>
          <IsTruncated>false</IsTruncated><Contents><Key>${part}</Key><Size>1000</Size></Contents></ListBucketResult>`
        const listing = answering(200, { headers: { "content-type": "application/xml" }, body: list })
        const store = yield* faultyS3(() => (request, response) => {
          const isList = request.url?.includes("list-type=2") === true
          return isList ? listing(request, response) : hanging(request, response)
        })
        const reader = yield* startNode([program, ...args], {
          cwd: folder,
          env: environment(folder, {
            ...s3(store.endpoint),
            DATABASE_PATH: `${folder}/a.db`,
            HOME_SERVER_NAME: "a"
          })
        })
        yield* eventually(
          () => `a request for the part\n${reader.printed()}`,
          Effect.sync(() => store.requests.some((request) => request.includes("/_journal/")))
        )
        const collector = yield* openDatabase(`${folder}/a.db`, "write")
        yield* collector`INSERT INTO archive_requests (report) VALUES (NULL)`
        expect(yield* collector`PRAGMA wal_checkpoint(TRUNCATE)`).toEqual([
          { busy: 0, log: 0, checkpointed: 0 }
        ])
        yield* reader.stop("SIGKILL")
      })
    )
  }

  it.scopedLive("describes an unexpected error in one line", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const { code, stderr } = yield* run(folder, { TMPDIR: "/nonexistent" }, "coverage")
      expect(code).toBe(1)
      expect(stderr).toMatch(/^.*\/nonexistent.*\n$/)
    })
  )
})
