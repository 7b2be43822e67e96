import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { archiveKey } from "../../src/domain/Archive.ts"
import type { JournalEvent } from "../../src/domain/JournalEvent.ts"
import { microsPerDay, microsPerHour } from "../../src/domain/micros.ts"
import { isolated, program, type Variables } from "../support/collector.ts"
import { makeFolder, runNode } from "../support/process.ts"
import { onDay, record, recordWith } from "../support/recorded.ts"
import { newYear, trade } from "../support/snapshots.ts"
import { filesBelow } from "../support/stored.ts"

const environment = (folder: string): Variables => ({
  ...isolated(folder),
  TMPDIR: folder,
  DATABASE_PATH: `${folder}/none.db`,
  ARCHIVE_STORE: "file",
  ARCHIVE_DIR: `${folder}/archive`,
  HOME_SERVER_NAME: "reader"
})

const coverage = (folder: string, options: Variables, ...args: ReadonlyArray<string>) =>
  Effect.map(
    runNode([program, "coverage", "--json", ...args], {
      cwd: folder,
      env: {
        ...environment(folder),
        ...options
      }
    }),
    ({ code, stderr, stdout }) => ({ code, stderr, days: Schema.decodeSync(Days)(stdout) })
  )

const Days = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      server: Schema.String,
      date: Schema.String,
      messages: Schema.Number,
      wantedSeconds: Schema.Number,
      verifiedPercent: Schema.Number,
      exclude: Schema.Array(
        Schema.Struct({ from: Schema.String, to: Schema.String, reasons: Schema.Array(Schema.String) })
      )
    })
  )
)

const objectsOf = (folder: string, server: string) =>
  filesBelow(`${folder}/archive`).filter(
    (file) => file.startsWith("exchange=") && file.includes(`/${server}_`)
  )

/** Of which times the archive does not have the messages of a server. */
const absentOf = (days: (typeof Days)["Type"], server: string) =>
  days
    .filter((day) => day.server === server)
    .flatMap(({ exclude }) => exclude.filter(({ reasons }) => reasons.includes("archive")))

const whole = { code: 0, stderr: "" }
const missing = /^objects are missing in the archive, or of another length, the time is in doubt: /

describe.concurrent("coverage of an archive with missing objects", () => {
  it.scopedLive("is in doubt for the time of an object that is missing or has another length", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "a", [1, 2, 3], [4, 5])
      // The last one is of the next day: it proves that none is missing before.
      yield* record(folder, "b", [1, 2, 3], [4, 5, 90_000_000])
      const before = yield* coverage(folder, {})
      expect(before).toMatchObject(whole)
      expect(absentOf(before.days, "a")).toEqual([])
      const [, object = ""] = objectsOf(folder, "a")
      const path = `${folder}/archive/${object}`
      const content = NodeFs.readFileSync(path)
      for (const damage of [
        () => NodeFs.rmSync(path),
        () => NodeFs.writeFileSync(path, content.subarray(1)),
        () => NodeFs.writeFileSync(path, "")
      ]) {
        damage()
        for (const own of [{}, { DATABASE_PATH: `${folder}/a.db`, HOME_SERVER_NAME: "a" }]) {
          const { code, days, stderr } = yield* coverage(folder, own)
          expect(code).toBe(1)
          expect(stderr).toMatch(missing)
          expect(stderr).toContain(object)
          expect(absentOf(days, "b")).toEqual([])
          expect(absentOf(days, "a")[0]?.from).toBe("2026-01-01T00:00:00.004000Z")
          const [day] = days.filter(({ date, server }) => server === "a" && date === "2026-01-01")
          const [other] = days.filter(({ date, server }) => server === "b" && date === "2026-01-01")
          expect(day?.verifiedPercent).toBeLessThan(1)
          expect(day?.messages).toBe(5)
          expect(other?.verifiedPercent).toBeGreaterThan(99)
        }
      }
      // of other days, streams and servers nothing is said
      expect(yield* coverage(folder, {}, "--from", "2026-01-02")).toMatchObject(whole)
      expect(yield* coverage(folder, {}, "--type", "orderbook")).toMatchObject(whole)
      NodeFs.rmSync(path)
      NodeFs.writeFileSync(path, content)
      expect(yield* coverage(folder, {})).toMatchObject(whole)
    })
  )

  it.scopedLive("names the first missing ones, and how many more there are", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "a", [1], [2], [3], [4], [5])
      for (const object of objectsOf(folder, "a")) NodeFs.rmSync(`${folder}/archive/${object}`)
      const { code, stderr } = yield* coverage(folder, {})
      expect(code).toBe(1)
      expect(stderr).toMatch(/, and 2 more\n$/)
    })
  )

  it.scopedLive("includes what is still in the database", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const key = (n: number) =>
        archiveKey({
          stream: trade,
          date: "2026-01-01",
          serverName: "a",
          firstTimestamp: newYear,
          archiveId: `${n}`.padStart(24, "0")
        })
      const planned = (n: number): JournalEvent => ({
        _tag: "ArchivePlanned",
        plan: {
          archiveId: `${n}`.padStart(24, "0"),
          stream: trade,
          date: "2026-01-01",
          firstId: 1000 * n,
          lastId: 1000 * n,
          key: key(n)
        }
      })
      const archiveId = (n: number) => `${n}`.padStart(24, "0")
      const file = { rows: 1, size: 10, sha256: "ab".repeat(32) }
      const written = (n: number): JournalEvent => ({
        _tag: "ArchiveWritten",
        archiveId: archiveId(n),
        file
      })
      const events: ReadonlyArray<JournalEvent> = [
        planned(1),
        planned(2),
        written(2),
        { _tag: "ArchiveUploaded", archiveId: archiveId(2) },
        { _tag: "ArchiveVerified", archiveId: archiveId(2) },
        planned(3),
        written(3),
        { _tag: "ArchiveAbandoned", archiveId: archiveId(3), key: key(3), reason: "taken" }
      ]
      yield* recordWith({ isArchived: false, events }, folder, "a", [1, 2])
      const own = { DATABASE_PATH: `${folder}/a.db`, HOME_SERVER_NAME: "a" }
      NodeFs.mkdirSync(`${folder}/archive`, { recursive: true })
      expect(yield* coverage(folder, own)).toMatchObject(whole)
      // some of its rows have left the database, not all
      const purged: JournalEvent = {
        _tag: "ArchiveRowsPurged",
        archiveId: archiveId(2),
        throughId: 2000,
        rows: 1
      }
      yield* recordWith({ isArchived: false, events: [purged] }, folder, "a", [3])
      const covered = yield* coverage(folder, own)
      expect(covered.code).toBe(1)
      expect(covered.stderr).toContain(key(2))
      expect(covered.stderr).not.toContain(key(1))
      expect(covered.stderr).not.toContain(key(3))
    })
  )

  it.scopedLive("knows what was archived after the checkpoint from which it starts", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const recordDay = (day: number, ...ids: ReadonlyArray<number>) =>
        recordWith({ from: newYear + day * microsPerDay }, folder, "a", ids).pipe(onDay(day))
      for (const day of [0, 1, 2, 3]) yield* recordDay(day, day * 2 + 1, day * 2 + 2)
      const objects = objectsOf(folder, "a")
      expect(objects).toHaveLength(4)
      for (const object of objects.slice(1, 3)) NodeFs.rmSync(`${folder}/archive/${object}`)
      for (const withCheckpoints of [true, false]) {
        for (const [from, gone] of [
          ["2026-01-01", 2],
          ["2026-01-02T06:00:00Z", 1],
          ["2026-01-03", 1],
          ["2026-01-04", 0]
        ] as const) {
          const { code, days, stderr } = yield* coverage(folder, {}, "--from", from)
          expect([from, code]).toEqual([from, gone === 0 ? 0 : 1])
          expect(stderr.split(".parquet").length - 1).toBe(gone)
          expect(absentOf(days, "a").length > 0).toBe(gone > 0)
        }
        if (withCheckpoints) {
          for (const file of filesBelow(`${folder}/archive`)) {
            if (file.endsWith(".checkpoint.json.gz")) NodeFs.rmSync(`${folder}/archive/${file}`)
          }
        }
      }
    })
  )

  it.scopedLive(
    "is in doubt for what was counted before a missing part of the journal that named its object",
    () =>
      Effect.gen(function* () {
        const folder = yield* makeFolder
        const hour = (n: number) => newYear + n * microsPerHour
        const recordHour = (n: number, isArchived: boolean | "without rows", ...ids: ReadonlyArray<number>) =>
          recordWith({ from: hour(n), isArchived }, folder, "a", ids).pipe(onDay(n / 24))
        yield* recordHour(0, true, 1, 2)
        // Counted and not archived, twice, then archived with what came later.
        yield* recordHour(1, "without rows", 3, 1000)
        yield* recordHour(2, "without rows", 1001, 2000)
        yield* recordHour(3, true, 2001, 3000)
        yield* recordHour(4, true, 3001, 4000)
        yield* recordHour(5, true, 4001, 5000)
        yield* recordHour(6, true, 5001, 6000)
        yield* recordHour(30, true, 6001)
        const before = yield* coverage(folder, {})
        expect(before).toMatchObject(whole)
        const journal = filesBelow(`${folder}/archive`).filter((file) => file.endsWith(".journal"))
        const objects = objectsOf(folder, "a")
        const isExcluded = (days: (typeof Days)["Type"], n: number, id: number) => {
          const at = hour(n) + id * 1000
          return days.some(({ exclude }) =>
            exclude.some(({ from, to }) => Date.parse(from) * 1000 <= at && at < Date.parse(to) * 1000 + 999)
          )
        }
        NodeFs.rmSync(`${folder}/archive/${journal[3]}`)
        NodeFs.rmSync(`${folder}/archive/${objects.find((key) => key.includes("_20260101T01"))}`)
        const { code, days } = yield* coverage(folder, {})
        expect(code).toBe(1)
        for (const [n, id] of [
          [1, 500],
          [2, 1500]
        ] as const) {
          expect(isExcluded(before.days, n, id)).toBe(false)
          expect([n, isExcluded(days, n, id)]).toEqual([n, true])
        }
        for (const [n, id] of [
          [0, 1],
          [4, 3500],
          [5, 4500],
          [6, 5500]
        ] as const) {
          expect([n, isExcluded(days, n, id)]).toEqual([n, false])
        }
        // What came later was archived, and told of: a part that is missing later makes none of it doubtful.
        NodeFs.rmSync(`${folder}/archive/${journal[6]}`)
        const again = yield* coverage(folder, {})
        for (const [n, id] of [
          [0, 1],
          [4, 3500],
          [5, 4500]
        ] as const) {
          expect([n, isExcluded(again.days, n, id)]).toEqual([n, false])
        }
        for (const [n, id] of [
          [1, 500],
          [2, 1500],
          [6, 5500]
        ] as const) {
          expect([n, isExcluded(again.days, n, id)]).toEqual([n, true])
        }
      })
  )

  it.scopedLive("claims nothing that was counted but not archived, unless it has the database", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordWith({}, folder, "a", [1, 1000]).pipe(onDay(0))
      yield* recordWith({ isArchived: "without rows" }, folder, "a", [2000, 10_000]).pipe(onDay(5 / 86_400))
      const own = { DATABASE_PATH: `${folder}/a.db`, HOME_SERVER_NAME: "a" }
      const wanted = (days: (typeof Days)["Type"]) =>
        days.map(({ wantedSeconds }) => Math.floor(wantedSeconds))
      const withDatabase = yield* coverage(folder, own)
      expect(withDatabase).toMatchObject(whole)
      expect(wanted(withDatabase.days)).toEqual([9])
      const alone = yield* coverage(folder, {})
      expect(alone).toMatchObject(whole)
      expect(wanted(alone.days)).toEqual([1])
      // Merged, it is a hole.
      const merged = yield* runNode([program, "merge", "--into", `${folder}/merged`], {
        cwd: folder,
        env: environment(folder)
      })
      expect(merged.stdout).toMatch(/holes that remain: 9s of 10s/)
    })
  )

  it.scopedLive("accepts a copy of an archive", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "a", [1, 2, 3], [4])
      yield* record(folder, "b", [1, 2, 3])
      NodeFs.cpSync(`${folder}/archive`, `${folder}/copy`, { recursive: true })
      NodeFs.rmSync(`${folder}/archive`, { recursive: true })
      expect(yield* coverage(folder, { ARCHIVE_DIR: `${folder}/copy` })).toMatchObject(whole)
      // the journals without the objects
      NodeFs.rmSync(`${folder}/copy/exchange=binance`, { recursive: true })
      const { code, days } = yield* coverage(folder, { ARCHIVE_DIR: `${folder}/copy` })
      expect(code).toBe(1)
      for (const server of ["a", "b"]) {
        const [day] = days.filter((day) => day.server === server && day.date === "2026-01-01")
        expect(day?.verifiedPercent).toBeLessThan(1)
      }
    })
  )

  it.scopedLive("counts the times on both sides of a clock that was set back as one", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const hour = 3_600_000_000
      const at = newYear + microsPerDay + 12 * hour
      const stepped: JournalEvent = { _tag: "ClockStepped", at: at - hour, from: at + hour, to: at - hour }
      yield* recordWith({ from: at - 2 * hour, isArchived: false }, folder, "a", [1]).pipe(onDay(1 + 10 / 24))
      // messages around noon, archived while the clock showed half past eleven
      yield* recordWith({ from: at, events: [stepped] }, folder, "a", [2, 3]).pipe(onDay(1 + 11.5 / 24))
      const object = objectsOf(folder, "a").at(-1) ?? ""
      NodeFs.rmSync(`${folder}/archive/${object}`)
      const { days } = yield* coverage(folder, {})
      const [absent] = absentOf(days, "a")
      expect((absent?.from ?? "none") <= "2026-01-02T11:00:00.000000Z").toBe(true)
      expect((absent?.to ?? "") >= "2026-01-02T12:00:00.003000Z").toBe(true)
    })
  )
})
