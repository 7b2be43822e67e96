import * as NodeFs from "node:fs"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as FileArchiveStore from "../../src/archive/FileArchiveStore.ts"
import * as HyparquetReader from "../../src/archive/HyparquetReader.ts"
import { faultsOf, readCoverage } from "../../src/commands/coverage/read.ts"
import { asJson } from "../../src/commands/coverage/render.ts"
import { daysOf } from "../../src/domain/CoverageReport.ts"
import type { JournalEvent } from "../../src/domain/JournalEvent.ts"
import { microsPerDay } from "../../src/domain/micros.ts"
import { type JournalLimits, journalLimits } from "../../src/storage/JournalUpkeep.ts"
import { isolated, program } from "../support/collector.ts"
import { makeFolder, runNode } from "../support/process.ts"
import { copyDatabase, onDay, recordWith } from "../support/recorded.ts"
import { newYear, trade } from "../support/snapshots.ts"
import { filesBelow } from "../support/stored.ts"

/** What `coverage` says, and what is wrong. */
const coverage = (
  folder: string,
  archive: string,
  { database = "none.db", exchange, from }: { database?: string; exchange?: string; from: string }
) =>
  Effect.gen(function* () {
    const services = yield* Layer.build(
      Layer.merge(
        FileArchiveStore.layer({ directory: `${folder}/${archive}`, readOnly: true }),
        HyparquetReader.layer
      )
    )
    const scratch = yield* makeFolder
    const settings = { databasePath: `${folder}/${database}`, serverName: "a" }
    const read = yield* readCoverage(
      { settings, services, folder: scratch },
      {
        takes: (stream) => exchange === undefined || stream.exchange === exchange,
        range: { from: Date.parse(from) * 1000, to: Number.MAX_SAFE_INTEGER }
      }
    )
    const range = { from: Date.parse(from) * 1000, to: Number.MAX_SAFE_INTEGER }
    const said = read.servers.flatMap(({ clock, server, statuses, streams }) =>
      streams.map((coverage) => ({ server, clock, statuses, days: () => daysOf(coverage, range, true) }))
    )
    return { days: Array.from(asJson(said)).join(""), fault: faultsOf(read)[0]?.message }
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

/** Records some messages on a day, of which `events` tell something, and archives them. */
const recordDay = (
  folder: string,
  day: number,
  ids: ReadonlyArray<number>,
  events: (at: number) => ReadonlyArray<JournalEvent> = () => [],
  options: { readonly limits?: JournalLimits; readonly isArchived?: boolean } = {}
) => {
  const from = newYear + day * microsPerDay
  return recordWith({ from, events: events(from), ...options }, folder, "a", ids).pipe(onDay(day))
}

const checkpointsIn = (archive: string) =>
  filesBelow(archive).filter((file) => file.endsWith(".checkpoint.json.gz"))
const partsIn = (archive: string) =>
  filesBelow(archive).filter((file) => file.startsWith("_journal/") && file.endsWith(".journal"))

/** A copy of the archive without its checkpoints. */
const withoutCheckpoints = (folder: string) => {
  NodeFs.rmSync(`${folder}/plain`, { recursive: true, force: true })
  NodeFs.cpSync(`${folder}/archive`, `${folder}/plain`, { recursive: true })
  for (const file of checkpointsIn(`${folder}/plain`)) NodeFs.rmSync(`${folder}/plain/${file}`)
}

/** The same is said with and without the checkpoints. */
const saysTheSame = (folder: string, options: Parameters<typeof coverage>[2]) =>
  Effect.gen(function* () {
    const said = yield* coverage(folder, "archive", options)
    expect({ options, ...said }).toEqual({ options, ...(yield* coverage(folder, "plain", options)) })
    return said
  })

/** Something is open over days, and of some days something else is told. */
const recordSome = (folder: string, limits: JournalLimits = journalLimits) =>
  Effect.gen(function* () {
    const numbers = { rule: "counter", scope: "stream", expected: 1, received: 3, size: 2 } as const
    const gap = (at: number): ReadonlyArray<JournalEvent> => [
      { _tag: "GapDetected", at, stream: trade, ...numbers, after: at - 1_000_000, before: at }
    ]
    const silent = (at: number): ReadonlyArray<JournalEvent> => [
      { _tag: "StreamSilent", at, stream: trade, seconds: 3, action: "moved", isOpen: true }
    ]
    const measured = (at: number): ReadonlyArray<JournalEvent> => [
      { _tag: "ClockMeasured", at, drift: 5, offset: 7, bound: 9, source: "chrony" }
    ]
    yield* recordDay(folder, 0, [1, 2, 3], measured, { limits })
    yield* recordDay(folder, 1, [4, 5], gap, { limits })
    yield* recordDay(folder, 2, [6], silent, { limits })
    yield* recordDay(folder, 3, [7, 8], measured, { limits })
    yield* recordDay(folder, 4, [9], gap, { limits })
  })

const froms = ["2025-12-30", "2026-01-01", "2026-01-02T12:00:00Z", "2026-01-03", "2026-01-05", "2026-01-06"]

const databases = ["none.db", "a.db"]

describe.concurrent("coverage from a checkpoint of the journal", () => {
  it.scopedLive("says the same as from the whole journal", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordSome(folder)
      expect(checkpointsIn(`${folder}/archive`)).toHaveLength(5)
      withoutCheckpoints(folder)
      for (const from of froms) {
        for (const database of databases) {
          expect((yield* saysTheSame(folder, { from, database })).fault).toBe(undefined)
        }
      }
      expect((yield* saysTheSame(folder, { from: "2026-01-03", exchange: "kraken" })).days).toBe("[]\n")
      // What is before the checkpoint is not read: it need not be there.
      for (const part of partsIn(`${folder}/archive`).slice(0, 2)) {
        NodeFs.rmSync(`${folder}/archive/${part}`)
      }
      yield* saysTheSame(folder, { from: "2026-01-05" })
      expect((yield* coverage(folder, "archive", { from: "2026-01-01" })).fault).toContain("are missing")
    })
  )

  it.scopedLive("reads more if a checkpoint is damaged or missing, and says the same", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordSome(folder)
      withoutCheckpoints(folder)
      const [first = "", second = "", third = "", fourth = "", fifth = ""] = checkpointsIn(
        `${folder}/archive`
      ).map((file) => `${folder}/archive/${file}`)
      const content = NodeFs.readFileSync(second)
      const replace = (file: string, bytes: Buffer) => {
        NodeFs.rmSync(file)
        NodeFs.writeFileSync(file, bytes)
      }
      for (const damage of [
        () => replace(fifth, content),
        () => replace(fourth, content.subarray(0, content.length / 2)),
        () => replace(third, Buffer.from("{}")),
        () => NodeFs.rmSync(second),
        () => replace(first, Buffer.alloc(0))
      ]) {
        damage()
        for (const from of froms.slice(3)) {
          expect((yield* saysTheSame(folder, { from })).fault).toBe(undefined)
        }
      }
      const verify = (...args: ReadonlyArray<string>) =>
        runNode([program, "verify", ...args], {
          cwd: folder,
          env: {
            ...isolated(folder),
            TMPDIR: folder,
            DATABASE_PATH: `${folder}/none.db`,
            ARCHIVE_STORE: "file",
            ARCHIVE_DIR: `${folder}/archive`
          }
        })
      expect((yield* verify()).code).toBe(0)
      const deep = yield* verify("--deep")
      expect(deep.code).toBe(1)
      expect(
        deep.stdout.match(/damaged {2}_journal\/.*checkpoint\.json\.gz: it cannot be read/g)
      ).toHaveLength(4)
    })
  )

  it.scopedLive("is in doubt if a part after the checkpoint is missing", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordSome(folder)
      for (const part of partsIn(`${folder}/archive`).filter((key) => key.includes("/2026-01-04/"))) {
        NodeFs.rmSync(`${folder}/archive/${part}`)
      }
      withoutCheckpoints(folder)
      const covered = yield* saysTheSame(folder, { from: "2026-01-03T12:00:00Z" })
      expect(covered.fault).toContain("entries are missing from its journal")
      expect(covered.days).toContain('"journal"')
    })
  )

  it.scopedLive("accepts parts made while the clock was set back", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordSome(folder)
      for (const n of [1, 3]) {
        const part = partsIn(`${folder}/archive`)[n] ?? ""
        const earlier = part.replace(/_[0-9a-f]{24}\./, `_${"0".repeat(24)}.`)
        NodeFs.renameSync(`${folder}/archive/${part}`, `${folder}/archive/${earlier}`)
        withoutCheckpoints(folder)
        for (const from of froms) {
          expect((yield* saysTheSame(folder, { from })).fault).toBe(undefined)
        }
      }
    })
  )

  it.scopedLive("continues across the restoring of a copy of the database", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      const database = `${folder}/a.db`
      yield* recordDay(folder, 0, [1, 2, 3])
      copyDatabase(database, `${folder}/copy.db`)
      yield* recordDay(folder, 1, [4, 5])
      yield* recordDay(folder, 2, [6, 7])
      copyDatabase(`${folder}/copy.db`, database)
      withoutCheckpoints(folder)
      for (const from of froms) yield* saysTheSame(folder, { from, database: "a.db" })
      // until it has an entry of its own under the id of the last one in the archive, and more
      const heard = (at: number): ReadonlyArray<JournalEvent> =>
        Array.from({ length: 60 }, () => ({ _tag: "StreamHeard", at, stream: trade, after: null }))
      yield* recordDay(folder, 3, [11], heard, { isArchived: false })
      for (const from of [...froms.slice(0, 4), "2026-01-03T12:00:00Z"]) {
        expect((yield* saysTheSame(folder, { from, database: "a.db" })).fault).toContain("are missing")
      }
      yield* recordDay(folder, 4, [8, 9])
      yield* recordDay(folder, 5, [10])
      withoutCheckpoints(folder)
      for (const from of [...froms, "2026-01-07"]) {
        for (const database of databases) yield* saysTheSame(folder, { from, database })
      }
    })
  )

  it.scopedLive("continues after a lost database", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordDay(folder, 0, [1, 2, 3])
      yield* recordDay(folder, 1, [4, 5])
      for (const suffix of ["", "-wal", "-shm"]) NodeFs.rmSync(`${folder}/a.db${suffix}`, { force: true })
      yield* recordDay(folder, 3, [6])
      yield* recordDay(folder, 4, [7])
      withoutCheckpoints(folder)
      for (const from of froms) {
        for (const database of databases) yield* saysTheSame(folder, { from, database })
      }
    })
  )

  it.scopedLive("is made before entries are pruned, and continues from what is kept", () =>
    Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* recordSome(folder, { millis: 0, entries: 0 })
      withoutCheckpoints(folder)
      for (const from of froms) {
        expect((yield* saysTheSame(folder, { from, database: "a.db" })).fault).toBe(undefined)
      }
    })
  )
})
