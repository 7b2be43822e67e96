import { FileSystem } from "@effect/platform"
import { Clock, Context, Deferred, Duration, Effect, Layer, Option, Queue, Schedule, Schema } from "effect"
import { withoutBearing } from "../../domain/Coverage.ts"
import { CheckpointText, entryText } from "../../domain/CoverageCheckpoint.ts"
import { JournalSegmentPlanned } from "../../domain/JournalEvent.ts"
import type { JournalText } from "../../domain/JournalText.ts"
import type { DatabaseError } from "../../storage/DatabaseError.ts"
import { decodeEntry } from "../../storage/EventJournal.ts"
import { yieldToEventLoop } from "../../storage/eventLoop.ts"
import { type JournalPages, openJournalPages } from "../../storage/JournalPages.ts"
import { supervise } from "../../supervise.ts"
import { archivedPast, type Fold, readOn } from "./archivedPast.ts"
import type { HttpSettings } from "./HttpSettings.ts"
import { makePast, type Past } from "./Past.ts"
import { loadPast, savePast } from "./savedPast.ts"

/** What the journal says about the last days, as far as it has been read. */
export interface KnownHoles {
  readonly past: Past
  /** What is still being read; null if nothing is. */
  readonly reading: ReadingProgress | null
}

/** What is being read now, and which share of it is done. */
export interface ReadingProgress {
  readonly what: "archive" | "database"
  readonly done: number
}

/**
 * What the journal says about the last days: read once, from the archive and from the database beside storage, and followed
 * from then on. Reading starts when the server listens, and lets the server answer after every page.
 */
export class RecentCoverage extends Context.Tag("collector/RecentCoverage")<
  RecentCoverage,
  {
    /**
     * As of the last seconds; while the journal is being read, as far as it has been read. What cannot be read stays as before.
     */
    readonly known: Effect.Effect<KnownHoles>
  }
>() {
  static readonly layer = (settings: HttpSettings) => Layer.scoped(this, make(settings))
}

const make = (settings: HttpSettings) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const wanted = yield* Queue.sliding<void>(1)
    const archiveIsWanted = yield* Queue.sliding<void>(1)
    let fold = emptyFold
    /** The coverage from the archive, until the fold continues from it. */
    let fromArchive: Fold | undefined
    let archiveDone: number | null = null
    let databaseDone: number | null = 0
    let next = yield* Deferred.make<void>()
    let refreshedAt = Number.NEGATIVE_INFINITY
    let savedAt = Number.NEGATIVE_INFINITY

    const beginAnew = (journal: JournalPages) =>
      Effect.gen(function* () {
        fold = yield* fromCheckpoint(journal)
        yield* Queue.offer(archiveIsWanted, undefined)
      })

    const begin = (journal: JournalPages) =>
      Effect.gen(function* () {
        const saved = yield* loadPast(settings.databasePath, journal)
        if (Option.isNone(saved)) return yield* beginAnew(journal)
        fold = saved.value
        savedAt = yield* Clock.currentTimeMillis
      })

    /** Continues in the archive: the entries after the last one read have left the database. */
    const readArchived = (journal: JournalPages) =>
      Effect.gen(function* () {
        const { archived } = fold
        if (archived === null) return yield* beginAnew(journal)
        fold = yield* readOn(settings, { ...fold, archived })
      }).pipe(
        Effect.catchAll((error) =>
          Effect.zipRight(Effect.logDebug("could not read the archived journal", error), beginAnew(journal))
        )
      )

    const refresh = Effect.gen(function* () {
      const opened = yield* openJournalPages(settings.databasePath)
      if (Option.isNone(opened)) return
      const journal = opened.value
      if (fold.journal !== journal.id || journal.lastId < fold.through) {
        databaseDone = 0
        yield* begin(journal)
      }
      const from = fold.through
      let isTorn = from === 0
      while (true) {
        if (fromArchive !== undefined) {
          fold = fromArchive
          fromArchive = undefined
          archiveDone = null
          isTorn = false
          savedAt = Number.NEGATIVE_INFINITY
        }
        const page = yield* journal.after(fold.through)
        const whole = isTorn ? page.rows : wholeRows(page.rows, fold.through)
        const isCut = whole.length < page.rows.length
        const entries = yield* Effect.forEach(whole, (row) => decodeEntry(row, withoutBearing))
        fold.past.apply(entries)
        fold.past.settle(
          (yield* Clock.currentTimeMillis) * 1000,
          Option.match(isCut ? Option.none() : page.end, {
            onNone: () => undefined,
            onSome: ({ counted, heard, lastSeen }) => ({ open: counted, heard, lastSeen })
          })
        )
        fold = readThrough(fold, whole)
        if (isCut) {
          isTorn = true
          yield* readArchived(journal)
          continue
        }
        if (Option.isSome(page.end)) break
        if (databaseDone !== null) {
          databaseDone = Math.max(0, (fold.through - from) / Math.max(1, journal.lastId - from))
        }
        yield* yieldToEventLoop
      }
      databaseDone = null
    }).pipe(
      Effect.scoped,
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.catchAllCause((cause) =>
        Effect.logDebug("could not read the journal for the status page", cause)
      )
    )

    const save = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (now - savedAt < Duration.toMillis(saveEvery) || archiveDone !== null) return
      savedAt = now
      yield* savePast(settings.databasePath, fold)
    }).pipe(Effect.provideService(FileSystem.FileSystem, fs))

    /** Remembers what will later leave the database, whether or not anybody requests it. */
    const keepUp = Effect.gen(function* () {
      yield* refresh
      refreshedAt = yield* Clock.currentTimeMillis
      yield* Deferred.succeed(next, undefined)
      next = yield* Deferred.make<void>()
      yield* save
      yield* Effect.timeoutOption(Queue.take(wanted), "10 minutes")
    })

    const readArchive = Effect.gen(function* () {
      archiveDone = 0
      const read = yield* archivedPast(settings, (share) => {
        archiveDone = share
      })
      if (Option.isNone(read)) {
        archiveDone = null
        return
      }
      fromArchive = read.value
      yield* Queue.offer(wanted, undefined)
    }).pipe(
      Effect.scoped,
      Effect.provideService(FileSystem.FileSystem, fs),
      // The database does not exist yet.
      Effect.retry({
        while: (error) => error._tag === "NoSuchElementException",
        schedule: Schedule.spaced("1 second")
      }),
      Effect.tapErrorCause((cause) =>
        Effect.logWarning("could not read the archived journal, heat map starts with the database", cause)
      ),
      Effect.sandbox,
      Effect.retry(Schedule.spaced("10 minutes")),
      Effect.ignore
    )

    yield* Effect.forkScoped(supervise("reading the journal")(Effect.forever(keepUp)))
    yield* Effect.forkScoped(
      supervise("reading the archived journal")(
        Effect.forever(Effect.zipRight(Queue.take(archiveIsWanted), readArchive))
      )
    )

    return RecentCoverage.of({
      known: Effect.gen(function* () {
        if ((yield* Clock.currentTimeMillis) - refreshedAt >= Duration.toMillis(freshFor)) {
          const refreshed = next
          yield* Queue.offer(wanted, undefined)
          yield* Effect.timeoutOption(Deferred.await(refreshed), waitFor)
        }
        return { past: fold.past, reading: readingOf(databaseDone, archiveDone) }
      })
    })
  })

const readingOf = (database: number | null, archive: number | null): ReadingProgress | null =>
  database !== null
    ? { what: "database", done: database }
    : archive !== null
      ? { what: "archive", done: archive }
      : null

const freshFor = Duration.seconds(5)

/** How long an answer waits for new entries. */
const waitFor = Duration.seconds(2)

/** Bounds what must be read again after a restart. */
const saveEvery = Duration.hours(1)

const emptyFold: Fold = { journal: "", past: makePast(), through: 0, lastText: "", archived: null }

/** Starts from what storage keeps of the entries that have left the database, otherwise from the first entry present. */
const fromCheckpoint = (journal: JournalPages): Effect.Effect<Fold, DatabaseError> =>
  Effect.gen(function* () {
    const pruned = yield* journal.prunedThrough
    const text = pruned === 0 ? Option.none() : yield* journal.checkpoint
    const checkpoint = yield* Option.match(text, {
      onNone: () => Effect.succeedNone,
      onSome: (text) => Effect.option(decodeCheckpoint(text))
    })
    const usable = Option.filter(
      checkpoint,
      (found) =>
        found.journal === journal.id &&
        found.coverage.lastId >= pruned &&
        found.coverage.lastId <= journal.lastId
    )
    return Option.match(usable, {
      onNone: () => ({ ...emptyFold, journal: journal.id, past: makePast() }),
      onSome: ({ coverage, lastText, until }) => ({
        journal: journal.id,
        past: makePast({
          knownFrom: until,
          sure: 0,
          state: coverage,
          rows: new Map(),
          places: new Map(),
          days: new Map()
        }),
        through: coverage.lastId,
        lastText,
        archived: null
      })
    })
  })

const decodeCheckpoint = Schema.decode(CheckpointText)

/** The rows up to the first one with missing predecessors, which have left the database and are in the archive. */
const wholeRows = (rows: ReadonlyArray<JournalText>, through: number): ReadonlyArray<JournalText> => {
  const cut = rows.findIndex(({ id, isKept }, i) => isKept === true || id !== through + i + 1)
  return cut === -1 ? rows : rows.slice(0, cut)
}

/** The fold after the given rows. */
const readThrough = (fold: Fold, rows: ReadonlyArray<JournalText>): Fold => {
  const last = rows.at(-1)
  let { archived } = fold
  for (const row of rows) {
    // A part of the journal was archived: its plan names the last entry.
    if (row.tag !== "JournalSegmentPlanned") continue
    const planned = decodePlan(row.payload)
    if (Option.isSome(planned)) {
      const { archiveId, lastId } = planned.value.plan
      archived = { archiveId, id: lastId }
    }
  }
  return last === undefined
    ? { ...fold, archived }
    : { ...fold, archived, through: last.id, lastText: entryText(last) }
}

const decodePlan = Schema.decodeOption(Schema.parseJson(JournalSegmentPlanned))
