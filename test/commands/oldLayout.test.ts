import * as NodeFs from "node:fs"
import { dirname } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { isolated, program } from "../support/collector.ts"
import { makeFolder, runNode } from "../support/process.ts"
import { copyDatabase, onDay, record, recordWith } from "../support/recorded.ts"
import { newYear } from "../support/snapshots.ts"
import { filesBelow, openDatabase } from "../support/stored.ts"

const run = (folder: string, ...args: ReadonlyArray<string>) =>
  runNode([program, ...args], {
    cwd: folder,
    env: {
      ...isolated(folder),
      TMPDIR: folder,
      DATABASE_PATH: `${folder}/none.db`,
      ARCHIVE_STORE: "file",
      ARCHIVE_DIR: `${folder}/archive`
    }
  })

/** As versions until November 2026 named it. */
const oldNameOf = (key: string): string =>
  key.replace(/^_journal\/(.*)\//, "journal/date=$1/").replace(/\.journal$/, ".parquet")

const journalFiles = (folder: string) =>
  filesBelow(`${folder}/archive`).filter((file) => file.startsWith("_journal/"))

/** What is in the archive so far becomes as if one of these had made it: parts, checkpoints, and what the database knows of them. */
const makeOld = (folder: string, server: string) =>
  Effect.gen(function* () {
    const database = yield* openDatabase(`${folder}/${server}.db`, "write")
    for (const key of journalFiles(folder)) {
      const old = oldNameOf(key)
      NodeFs.mkdirSync(dirname(`${folder}/archive/${old}`), { recursive: true })
      NodeFs.renameSync(`${folder}/archive/${key}`, `${folder}/archive/${old}`)
      yield* database`UPDATE journal SET payload = replace(payload, ${key}, ${old})`
    }
  }).pipe(Effect.scoped)

const Days = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      date: Schema.String,
      messages: Schema.Int,
      exclude: Schema.Array(Schema.Struct({ reasons: Schema.Array(Schema.String) }))
    })
  )
)

const messagesByDay = (stdout: string) =>
  Schema.decodeSync(Days)(stdout).map(({ date, messages }) => [date, messages])

/** Two days of the old layout, then two of the new one. */
const recordBoth = (folder: string) =>
  Effect.gen(function* () {
    const day = (n: number, ids: ReadonlyArray<number>) =>
      recordWith({ from: newYear + n * 86_400_000_000 }, folder, "a", ids).pipe(onDay(n))
    yield* day(0, [1, 2, 3])
    yield* makeOld(folder, "a")
    yield* day(1, [4, 5])
    yield* makeOld(folder, "a")
    expect(journalFiles(folder)).toEqual([])
    yield* day(2, [6])
    yield* day(3, [7, 8])
    expect(journalFiles(folder).some((file) => file.endsWith(".journal"))).toBe(true)
    return filesBelow(`${folder}/archive`).filter((file) => file.startsWith("journal/"))
  })

describe.concurrent("an archive started with the old layout of the journal", () => {
  it.scopedLive("is read together with what followed, by every command", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const old = yield* recordBoth(folder)
      expect(old.filter((file) => file.endsWith(".parquet")).length).toBeGreaterThan(1)
      expect(old.filter((file) => file.endsWith(".checkpoint.json.gz"))).toHaveLength(2)

      const covered = yield* run(folder, "coverage", "--json")
      expect(covered).toMatchObject({ code: 0, stderr: "" })
      expect(messagesByDay(covered.stdout)).toEqual([
        ["2026-01-01", 3],
        ["2026-01-02", 2],
        ["2026-01-03", 1],
        ["2026-01-04", 2]
      ])
      const late = yield* run(folder, "coverage", "--json", "--from", "2026-01-03")
      expect(late).toMatchObject({ code: 0, stderr: "" })
      expect(messagesByDay(late.stdout)).toEqual([
        ["2026-01-03", 1],
        ["2026-01-04", 2]
      ])
      const merged = yield* run(folder, "merge", "--into", `${folder}/merged`)
      expect(merged).toMatchObject({ code: 0, stderr: "" })

      const verified = yield* run(folder, "verify", "--deep")
      expect(verified.stdout).not.toMatch(/missing|damaged|unknown/)
      expect(verified.stdout).toContain("4 archives with 8 rows")
      expect(verified.code).toBe(0)
      // What a killed process of then left.
      NodeFs.writeFileSync(`${folder}/archive/journal/probe`, "probe")
      expect((yield* run(folder, "verify")).code).toBe(0)
    })
  )

  it.scopedLive("is in doubt if a part of either layout is missing", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const old = yield* recordBoth(folder)
      const parts = old.filter((file) => file.endsWith(".parquet"))
      const newPart = journalFiles(folder).find((file) => file.endsWith(".journal"))
      for (const part of [parts[0], parts[1], newPart]) {
        NodeFs.renameSync(`${folder}/archive/${part}`, `${folder}/part`)
        const covered = yield* run(folder, "coverage", "--json")
        expect(covered.code).toBe(1)
        expect(covered.stderr).toMatch(/^server a: entries are missing from its journal/)
        NodeFs.renameSync(`${folder}/part`, `${folder}/archive/${part}`)
      }
    })
  )

  it.scopedLive("has its old checkpoints used: parts before one can be missing", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const old = yield* recordBoth(folder)
      for (const file of filesBelow(`${folder}/archive`)) {
        if (file.startsWith("_journal/") && file.endsWith(".checkpoint.json.gz")) {
          NodeFs.rmSync(`${folder}/archive/${file}`)
        }
      }
      const [first = ""] = old.filter((file) => file.endsWith(".parquet"))
      NodeFs.rmSync(`${folder}/archive/${first}`)
      expect(yield* run(folder, "coverage", "--json", "--from", "2026-01-03")).toMatchObject({ code: 0 })
      expect(yield* run(folder, "coverage", "--json")).toMatchObject({ code: 1 })
    })
  )

  it.scopedLive("is detected to be ahead of a database restored from a copy", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* record(folder, "a", [1, 2, 3])
      yield* makeOld(folder, "a")
      copyDatabase(`${folder}/a.db`, `${folder}/copy.db`)
      yield* record(folder, "a", [4, 5])
      yield* makeOld(folder, "a")
      copyDatabase(`${folder}/copy.db`, `${folder}/a.db`)
      yield* record(folder, "a", [6, 7])
      const journals = new Set(
        filesBelow(`${folder}/archive`).flatMap(
          (file) => /\/a_([0-9a-f]{16})_[0-9a-f]{24}\.(?:journal|parquet)$/.exec(file)?.[1] ?? []
        )
      )
      expect(journals.size).toBe(2)
    })
  )
})
