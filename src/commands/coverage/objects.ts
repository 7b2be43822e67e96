import { type Chunk, Data, Effect, Option, Stream } from "effect"
import { ArchiveStore, type StoredObject } from "../../archive/ArchiveStore.ts"
import { microsOf, parseKey } from "../../domain/Archive.ts"
import type { JournalEntry } from "../../domain/JournalEvent.ts"
import { streamKey } from "../../domain/StreamId.ts"
import { intersection, union, type Window } from "../../domain/Window.ts"
import { pagesAfter } from "../../storage/pagesAfter.ts"
import { temporaryDatabase } from "../../storage/temporaryDatabase.ts"
import type { Selection } from "../selection.ts"
import { clockTolerance, makeSetBacks, type SetBacks } from "../setBacks.ts"

/** The archive lacks objects whose rows have left the database, or has others in their place. */
export class ObjectsMissing extends Data.TaggedError("ObjectsMissing")<{
  readonly objects: number
  /** The first missing ones. */
  readonly keys: ReadonlyArray<string>
  /** Why the archive could not be queried for all of them. */
  readonly failure: string | undefined
}> {
  override get message() {
    const more = this.objects > this.keys.length ? `, and ${this.objects - this.keys.length} more` : ""
    const keys = `${this.keys.join(", ")}${more}`
    return this.failure === undefined
      ? `objects are missing in the archive, or of another length, the time is in doubt: ${keys}`
      : `the archive does not say which objects it has (${this.failure}), the time is in doubt of: ${keys}`
  }
}

/** Times for which the archive lacks the messages, by server and stream. */
export interface AbsentObjects {
  readonly windows: ReadonlyMap<string, ReadonlyMap<string, ReadonlyArray<Window>>>
  readonly missing: Option.Option<ObjectsMissing>
}

/**
 * Compares what the journals say about objects whose rows have left the database with what the archive has. Archives that were
 * planned before a checkpoint can be unknown: all their messages are older than the requested time. What is expected is kept in
 * a scratch file.
 */
export const expectObjects = (folder: string, select: Selection) =>
  Effect.gen(function* () {
    const sql = yield* temporaryDatabase(`${folder}/archived.db`)
    yield* sql`
      CREATE TABLE expected (key TEXT, server TEXT, size INTEGER, since INTEGER, until INTEGER, found INTEGER DEFAULT 0,
        PRIMARY KEY (key, server)) WITHOUT ROWID`
    /** Archives that were planned and whose rows have not all left the database, by archive id. */
    const pending = new Map<string, PendingObjects>()
    /** The dates of the expected objects, by the folder of each stream. */
    const dates = new Map<string, Set<string>>()
    const setBacks = new Map<string, ReadonlyArray<SetBacks>>()

    const isAsked = (date: string) => {
      const { end, start } = microsOf(date)
      return end > select.range.from && start < select.range.to
    }

    /** Records that the objects must be there. */
    const expect = (archives: ReadonlyArray<PendingObjects>) =>
      Effect.gen(function* () {
        const rows: Array<ReadonlyArray<string | number | null>> = []
        for (const { key, plannedAt, server, size } of archives) {
          const time = receiveTimesOf(key, plannedAt)
          if (time === undefined) continue
          const date = key.indexOf("date=")
          const known = dates.get(key.slice(0, date)) ?? new Set()
          dates.set(key.slice(0, date), known.add(key.slice(date + 5, date + 15)))
          rows.push([key, server, size ?? null, time.from, time.to])
        }
        if (rows.length === 0) return
        yield* sql.unsafe(
          `INSERT INTO expected (key, server, size, since, until)
           SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?) WHERE true
           ON CONFLICT DO UPDATE SET size = excluded.size`,
          [JSON.stringify(rows)]
        )
      })

    /** Handles one journal of a server. */
    const beginJournal = (server: string) => {
      const clock = makeSetBacks()
      setBacks.set(server, [...(setBacks.get(server) ?? []), clock])

      /** Records what entries say, in their order. */
      const note = (entries: Chunk.Chunk<JournalEntry>) =>
        Effect.suspend(() => {
          const purged: Array<PendingObjects> = []
          for (const entry of entries) {
            const { event } = entry
            clock.hear(entry)
            if (event._tag === "ArchivePlanned") {
              const { archiveId, date, key, stream } = event.plan
              if (!select.takes(stream) || !isAsked(date)) continue
              pending.set(archiveId, { key, server, plannedAt: entry.at, size: undefined, isPurged: false })
            } else if ("archiveId" in event) {
              const archive = pending.get(event.archiveId)
              if (archive === undefined) continue
              if (event._tag === "ArchiveWritten") archive.size = event.file.size
              else if (event._tag === "ArchiveRowsPurged") archive.isPurged = true
              else if (event._tag === "ArchiveAbandoned") pending.delete(event.archiveId)
              else if (event._tag === "ArchivePurged") {
                purged.push({ ...archive, server })
                pending.delete(event.archiveId)
              }
            }
          }
          return expect(purged)
        })

      /** If the journal has missing entries, it is unknown whether they recorded that rows have left the database. */
      const end = (isWhole: boolean) =>
        expect(
          Array.from(pending.values()).filter(
            (archive) => archive.server === server && (archive.isPurged || !isWhole)
          )
        )
      return { note, end }
    }

    /** Records existing objects, some hundreds at a time, since a statement per listing would take most of the time. */
    const found: Array<readonly [key: string, size: number]> = []
    const find = (objects: Chunk.Chunk<StoredObject>) =>
      Effect.suspend(() => {
        for (const { key, size } of objects) found.push([key, size])
        return found.length < foundAtOnce ? Effect.void : takeDown
      })
    const takeDown = Effect.suspend(() =>
      sql.unsafe(
        `UPDATE expected SET found = 1
         FROM (SELECT value ->> 0 AS key, value ->> 1 AS size FROM json_each(?)) AS listed
         WHERE expected.key = listed.key AND coalesce(expected.size, listed.size) = listed.size`,
        [JSON.stringify(found.splice(0))]
      )
    )

    /** Queries the archive. `abandoned`: keys of archives that were given up, whose rows are in others. */
    const compare = (abandoned: ReadonlySet<string>) =>
      Effect.gen(function* () {
        const store = yield* ArchiveStore
        const prefixes = Array.from(dates).flatMap(([folder, dates]) =>
          dates.size > maxDates ? [folder] : Array.from(dates, (date) => `${folder}date=${date}/`)
        )
        const failure = yield* Effect.forEach(
          prefixes,
          (prefix) => Stream.runForEachChunk(store.list(prefix), find),
          { concurrency: listingsAtOnce, discard: true }
        ).pipe(
          Effect.as(undefined),
          Effect.catchTag("ArchiveStoreError", ({ message }) => Effect.succeed(message))
        )
        yield* takeDown
        return yield* absent(abandoned, failure)
      })

    const absent = (abandoned: ReadonlySet<string>, failure: string | undefined) =>
      Effect.gen(function* () {
        const windows = new Map<string, Map<string, ReadonlyArray<Window>>>()
        const keys: Array<string> = []
        let objects = 0
        yield* Stream.runForEach(notFound, ({ key, server, since, until }) =>
          Effect.sync(() => {
            const parsed = parseKey(key)
            if (parsed?._tag !== "Archive" || abandoned.has(key)) return
            const { end, start } = microsOf(parsed.date)
            const steps = (setBacks.get(server) ?? []).flatMap((clock) => clock.windows())
            const window = aroundSetBacks({ from: since, to: until }, steps)
            const [doubt] = intersection([window], [{ from: start, to: end }])
            if (doubt === undefined || intersection([doubt], [select.range]).length === 0) return
            if (keys.length < maxKeys) keys.push(key)
            objects++
            const streams = windows.get(server) ?? new Map<string, ReadonlyArray<Window>>()
            windows.set(server, streams)
            const stream = streamKey(parsed.stream)
            streams.set(stream, union([...(streams.get(stream) ?? []), doubt]))
          })
        )
        const missing =
          objects === 0 ? Option.none() : Option.some(new ObjectsMissing({ objects, keys, failure }))
        return { windows, missing } satisfies AbsentObjects
      })

    const notFound = pagesAfter({
      start: { key: "", server: "" },
      limit: rowsPerPage,
      page: (after) => sql<NotFound>`
        SELECT key, server, since, until FROM expected
        WHERE (key, server) > (${after.key}, ${after.server}) AND found = 0 ORDER BY key, server LIMIT ${rowsPerPage}`,
      keyOf: ({ key, server }) => ({ key, server })
    }).pipe(Stream.flattenIterables)

    return { beginJournal, compare }
  })

/**
 * The receive times, microseconds, that the messages of an archive can have, unless the clock was set back meanwhile; undefined
 * if the key is not one of an archive of rows.
 */
export const receiveTimesOf = (key: string, plannedAt: number): Window | undefined => {
  const parsed = parseKey(key)
  if (parsed?._tag !== "Archive") return undefined
  const { end, start } = microsOf(parsed.date)
  const first = parsed.firstTimestamp
  // An archive planned before its first message was received stems from a clock that was set back.
  const from = Math.max(start, Math.min(first, plannedAt))
  return { from, to: Math.max(from + 1, Math.min(end, Math.max(first, plannedAt) + clockTolerance)) }
}

/** Messages received on either side of a step lie in its time, too. */
const aroundSetBacks = (window: Window, steps: ReadonlyArray<Window>): Window =>
  steps.reduce(
    (all, { from, to }) =>
      from < all.to && to > all.from ? { from: Math.min(all.from, from), to: Math.max(all.to, to) } : all,
    window
  )

interface PendingObjects {
  readonly key: string
  readonly server: string
  /** Microseconds. */
  readonly plannedAt: number
  size: number | undefined
  isPurged: boolean
}

interface NotFound {
  readonly key: string
  readonly server: string
  readonly since: number
  readonly until: number
}

/** A stream with objects of more dates than this is listed as a whole. */
const maxDates = 40
const listingsAtOnce = 64
const foundAtOnce = 2000
const maxKeys = 3
const rowsPerPage = 1000
