import { FileSystem } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { Clock, Effect, Layer, Option, Schema, Stream } from "effect"
import { dateOf, journalPrefixes, journalPrefixesOf, microsOf, parseKey } from "../../domain/Archive.ts"
import { JournalSegmentPlanned } from "../../domain/JournalEvent.ts"
import { microsPerDay } from "../../domain/micros.ts"
import { DatabaseError } from "../../storage/DatabaseError.ts"
import { EventJournal } from "../../storage/EventJournal.ts"
import { textsIn } from "../ArchivedJournal.ts"
import { ArchiveStore } from "../ArchiveStore.ts"
import { download } from "../download.ts"
import { ParquetReader } from "../ParquetReader.ts"

/**
 * Detects that this database was restored from a copy: the store has parts of its journal that the database has not planned.
 * Returns the id, `plannedThrough` at least, up to which those parts agree with the database. Only the days since the latest
 * part known to the database are listed, so that the time taken does not grow with the history.
 */
export const findOtherEpoch = (plannedThrough: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const store = yield* ArchiveStore
    const journal = yield* (yield* EventJournal).id
    const plans = yield* sql<{ payload: string }>`
      SELECT payload FROM journal WHERE tag = 'JournalSegmentPlanned' ORDER BY id`
    const known = yield* Effect.forEach(plans, ({ payload }) => decodePlan(payload))
    const [oldest] = yield* sql<{ at: number }>`SELECT at FROM journal ORDER BY id LIMIT 1`
    const now = (yield* Clock.currentTimeMillis) * 1000
    const first = known.at(-1)?.plan.date ?? dateOf(oldest?.at ?? now)
    const knownIds = new Set(known.map(({ plan }) => plan.archiveId))
    const latest = known.at(-1)?.plan.archiveId ?? ""
    const newer: Array<{ readonly archiveId: string; readonly key: string }> = []
    const listed = Stream.flatMap(Stream.fromIterable(prefixesBetween(first, now)), store.list)
    yield* Stream.runForEach(listed, ({ key }) =>
      Effect.sync(() => {
        const parsed = parseKey(key)
        if (parsed?._tag !== "Journal" || parsed.journal !== journal) return
        if (parsed.archiveId > latest && !knownIds.has(parsed.archiveId)) newer.push({ ...parsed, key })
      })
    )
    return newer.length === 0 ? Option.none<number>() : yield* sameThrough(newer, plannedThrough)
  }).pipe(
    Effect.catchIf(
      (error) => error._tag === "ArchiveStoreError" && error.operation === "list" && error.kind === "Refused",
      (error) =>
        Effect.as(
          Effect.logWarning(
            "no permission to list the archive, cannot check whether the database was restored from a copy"
          ).pipe(Effect.annotateLogs({ reason: error.message })),
          Option.none<number>()
        )
    ),
    Effect.mapError((error) => (error._tag === "ArchiveStoreError" ? error : DatabaseError.from(error)))
  )

/** Maximum number of days listed one by one. */
const maxDays = 62

/**
 * The prefixes of the journal's parts from a date until tomorrow. All parts if there are more days than that, or none: the
 * clock was wrong at one of the two times.
 */
const prefixesBetween = (date: string, now: number): ReadonlyArray<string> => {
  const { start } = microsOf(date)
  const days = Math.floor((now - start) / microsPerDay) + 2
  return days > maxDays || days < 2
    ? journalPrefixes
    : Array.from({ length: days }, (_, n) => journalPrefixesOf(dateOf(start + n * microsPerDay))).flat()
}

/** Reads the parts that extend beyond what the database has archived; none if they do not. */
const sameThrough = (
  parts: ReadonlyArray<{ readonly archiveId: string; readonly key: string }>,
  plannedThrough: number
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const reader = yield* ParquetReader
    const journal = yield* EventJournal
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "crypto-collector-" })
    const path = `${folder}/part.parquet`
    let through = plannedThrough
    let isNewer = false
    for (const { key } of parts.toSorted((a, b) => (a.archiveId < b.archiveId ? -1 : 1))) {
      yield* download(key, path)
      const last = yield* Effect.map(reader.info(path), ({ metadata }) => Number(metadata.last_id ?? 0))
      if (last <= plannedThrough) continue
      isNewer = true
      const own = new Map<number, string>()
      yield* Stream.runForEach(journal.rows(through, last), (rows) =>
        Effect.sync(() => {
          for (const { at, id, payload } of rows) own.set(id, `${at} ${payload}`)
        })
      )
      const before = through
      yield* Stream.runForEach(textsIn(path), ({ at, id, payload }) =>
        Effect.sync(() => {
          if (id === through + 1 && own.get(id) === `${at} ${payload}`) through = id
        })
      )
      if (through === before) break
    }
    return isNewer ? Option.some(through) : Option.none<number>()
  }).pipe(
    // A part that cannot be read still exists.
    Effect.catchTag("ParquetError", () => Effect.succeedSome(plannedThrough)),
    Effect.scoped,
    Effect.provide(
      Effect.map(
        Effect.promise(() => import("../HyparquetReader.ts")),
        ({ layer }) => layer
      ).pipe(Layer.unwrapEffect)
    )
  )

const decodePlan = Schema.decode(Schema.parseJson(JournalSegmentPlanned))
