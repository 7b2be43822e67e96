import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Effect, Layer, type Scope, Stream } from "effect"
import { build } from "esbuild"
import { forNode } from "../../esbuild.config.js"
import * as HyparquetReader from "../../src/archive/HyparquetReader.ts"
import { ParquetReader } from "../../src/archive/ParquetReader.ts"
import { streamKey } from "../../src/domain/StreamId.ts"
import { type Child, eventually, runNode, startNode } from "../support/process.ts"
import { archiveFiles, filesBelow, query } from "../support/stored.ts"
import { message } from "./messages.ts"

/** Every boundary between two steps at which a process can be killed. */
export const boundaries: ReadonlyArray<string> = [
  "before append",
  "after append",
  "before ArchivePlanned",
  "after ArchivePlanned",
  "before write",
  "a page",
  "after write",
  "before ArchiveWritten",
  "after ArchiveWritten",
  "before put",
  "after put",
  "before ArchiveUploaded",
  "after ArchiveUploaded",
  "before head",
  "after head",
  "before ArchiveVerified",
  "after ArchiveVerified",
  "before purge",
  "before ArchiveRowsPurged",
  "after ArchiveRowsPurged",
  "before ArchivePurged",
  "after ArchivePurged",
  "after purge",
  "before MessagesCommitted",
  "after MessagesCommitted",
  "before JournalSegmentPlanned",
  "after JournalSegmentPlanned",
  "before JournalSegmentArchived",
  "after JournalSegmentArchived",
  "before JournalPruned",
  "after JournalPruned"
]

export type StoreMode = "healthy" | "slow" | "failing"

export const storeModes: ReadonlyArray<StoreMode> = ["healthy", "slow", "failing"]

/** Runs the child until it kills itself at a boundary. */
export const killAt = (folder: string, boundary: string, store: StoreMode = "healthy") =>
  Effect.gen(function* () {
    const child = yield* start(folder, { TORTURE_KILL_AT: boundary, TORTURE_STORE: store })
    yield* eventually(
      () => `an end ${boundary}\n${child.printed()}`,
      Effect.sync(() => !child.isRunning())
    )
    const ended = yield* child.ended
    if (ended.signal !== "SIGKILL") return yield* Effect.dieMessage(`${boundary}: ${child.printed()}`)
  }).pipe(Effect.scoped)

/** Runs the child for so long, and kills it. */
export const killAfter = (folder: string, millis: number, store: StoreMode) =>
  Effect.gen(function* () {
    const starts = () =>
      NodeFs.existsSync(`${folder}/starts`) ? NodeFs.statSync(`${folder}/starts`).size : 0
    const before = starts()
    const child = yield* start(folder, { TORTURE_STORE: store })
    yield* eventually(
      () => `a start\n${child.printed()}`,
      Effect.sync(() => starts() > before || !child.isRunning())
    )
    yield* Effect.sleep(millis)
    if (!child.isRunning()) return yield* Effect.dieMessage(`it ended by itself\n${child.printed()}`)
    yield* child.stop("SIGKILL")
  }).pipe(Effect.scoped)

/** Archives all that is left, and compares what is in the objects with what was taken. Returns how many messages there are. */
export const drainAndCompare = (folder: string) =>
  Effect.gen(function* () {
    const ended = yield* runNode([yield* childFile], {
      cwd: folder,
      env: { HOME: folder, TORTURE_FOLDER: folder, TORTURE_DRAIN: "1" }
    })
    if (ended.code !== 0) return yield* Effect.dieMessage(`draining failed\n${ended.stdout}\n${ended.stderr}`)
    return yield* compare(folder)
  })

/** The child, bundled as the program is, once for each run of a test file. */
const childFile: Effect.Effect<string> = Effect.runSync(
  Effect.cached(
    Effect.promise(async () => {
      const outfile = NodePath.resolve(
        import.meta.dirname,
        `../../node_modules/.cache/torture/child-${process.pid}.mjs`
      )
      await build({ ...forNode, entryPoints: [NodePath.join(import.meta.dirname, "child.ts")], outfile })
      return outfile
    })
  )
)

const start = (
  folder: string,
  variables: Readonly<Record<string, string>>
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.flatMap(childFile, (file) =>
    startNode([file], { cwd: folder, env: { HOME: folder, TORTURE_FOLDER: folder, ...variables } })
  )

const compare = (folder: string) =>
  Effect.gen(function* () {
    const reader = yield* ParquetReader
    const lines = (file: string) =>
      NodeFs.readFileSync(`${folder}/${file}`, "utf8").split("\n").slice(0, -1).map(Number)
    const taken = Math.max(0, ...lines("taken"))
    const sent = Math.max(0, ...lines("sent"))
    const expected = new Map(
      Array.from({ length: sent }, (_, n) => {
        const { data, id, stream } = message(n)
        return [`${streamKey(stream)}:${id}`, { n, data }]
      })
    )
    const seen = new Set<number>()
    const faults: Array<string> = []
    for (const file of archiveFiles(`${folder}/archive`)) {
      const pages = reader.pages(`${folder}/archive/${file}`, {
        columns: ["exchange", "symbol", "data_type", "exchange_sequence_id", "data"]
      })
      yield* Stream.runForEach(pages, ({ columns, length }) =>
        Effect.sync(() => {
          for (let i = 0; i < length; i++) {
            const [exchange, symbol, type, id, data] = columns.map((column) => String(column[i]))
            const known = expected.get(`${exchange}:${symbol}:${type}:${id}`)
            if (known === undefined) faults.push(`unknown: ${id} in ${file}`)
            else if (known.data !== data) faults.push(`altered: ${id} in ${file}`)
            else if (seen.has(known.n)) faults.push(`twice: ${id} in ${file}`)
            else seen.add(known.n)
          }
        })
      )
    }
    for (let n = 0; n < taken; n++) if (!seen.has(n)) faults.push(`missing: ${n} of ${taken}`)

    const planned = yield* query<{ key: string }>(
      `${folder}/collector.db`,
      "SELECT json_extract(payload, '$.plan.key') AS key FROM journal WHERE tag = 'ArchivePlanned'"
    )
    const files = new Set(archiveFiles(`${folder}/archive`))
    for (const { key } of planned) if (!files.has(key)) faults.push(`no object: ${key}`)
    faults.push(...(yield* missingEntries(folder)))
    for (const file of filesBelow(`${folder}/outbox`)) faults.push(`left in the outbox: ${file}`)
    return { messages: seen.size, objects: files.size, faults: faults.slice(0, 10) }
  }).pipe(Effect.provide(Layer.merge(HyparquetReader.layer, NodeContext.layer)))

/** Entries of the journal that are neither in the database nor in the archive. */
const missingEntries = (folder: string) =>
  Effect.gen(function* () {
    const reader = yield* ParquetReader
    const kept = yield* query<{ id: number }>(`${folder}/collector.db`, "SELECT id FROM journal")
    const ids = new Set(kept.map(({ id }) => id))
    const last = Math.max(0, ...ids)
    for (const file of filesBelow(`${folder}/archive`).filter((name) =>
      /^_journal\/.*\.journal$/.test(name)
    )) {
      yield* Stream.runForEach(reader.pages(`${folder}/archive/${file}`, { columns: ["id"] }), (page) =>
        Effect.sync(() => {
          for (const id of page.columns[0] ?? []) ids.add(Number(id))
        })
      )
    }
    return Array.from({ length: last }, (_, n) => n + 1)
      .filter((id) => !ids.has(id))
      .map((id) => `entry ${id} of the journal is lost`)
  })
