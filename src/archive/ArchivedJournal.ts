import type { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Chunk, Effect, Either, Option, Order, Schema, Stream } from "effect"
import { journalPrefixes, parseKey } from "../domain/Archive.ts"
import { entryText } from "../domain/CoverageCheckpoint.ts"
import type { JournalEntry } from "../domain/JournalEvent.ts"
import { entryOf, type JournalBegin, type JournalTail, type JournalText } from "../domain/JournalText.ts"
import { ArchiveStore, type ArchiveStoreError } from "./ArchiveStore.ts"
import { download } from "./download.ts"
import { ParquetReader } from "./ParquetReader.ts"
import { ParquetError } from "./ParquetWriter.ts"

/**
 * The archived parts of one journal, in the order of their archive ids, that is, of their creation by the clock at the time.
 */
export interface ArchivedJournal {
  /** The server names under which they were archived, the latest last: a server can be renamed. */
  readonly servers: readonly [...ReadonlyArray<string>, string]
  /** Identifies the journal: a server that loses its database starts another one. */
  readonly journal: string
  readonly keys: ReadonlyArray<string>
  /** Checkpoints of the journal's coverage, the latest last. */
  readonly checkpoints: ReadonlyArray<StoredCheckpoint>
}

/** A checkpoint in the archive. */
export interface StoredCheckpoint {
  readonly key: string
  /** Parts with greater archive ids cover what came after it. */
  readonly archiveId: string
  /** The time from which it is complete, microseconds. */
  readonly until: number
}

/** The journals of all servers in the archive. */
export const archivedJournals: Effect.Effect<
  ReadonlyArray<ArchivedJournal>,
  ArchiveStoreError,
  ArchiveStore
> = Effect.gen(function* () {
  const store = yield* ArchiveStore
  const journals = new Map<string, Array<JournalPart>>()
  const checkpoints = new Map<string, Array<StoredCheckpoint>>()
  const listed = Stream.flatMap(Stream.fromIterable(journalPrefixes), store.list)
  yield* Stream.runForEach(listed, ({ key, size }) =>
    Effect.sync(() => {
      const parsed = parseKey(key)
      if (parsed?._tag === "Checkpoint") {
        const { archiveId, journal, until } = parsed
        if (size <= maxCheckpointBytes) addTo(checkpoints, journal, { key, archiveId, until })
        return
      }
      if (parsed?._tag !== "Journal") return
      const part = { archiveId: parsed.archiveId, server: parsed.server, key }
      addTo(journals, parsed.journal, part)
    })
  )
  return Array.from(journals, ([journal, unsorted]) => {
    const parts = unsorted.sort(byArchiveId)
    const latest = parts.at(-1)?.server ?? ""
    const earlier = parts.map(({ server }) => server).filter((server) => server !== latest)
    return {
      servers: [...new Set(earlier), latest],
      journal,
      keys: parts.map(({ key }) => key),
      checkpoints: (checkpoints.get(journal) ?? []).sort(byArchiveId)
    }
  })
})

/** A checkpoint is read in one piece. One of 100,000 streams takes about a tenth of this. */
const maxCheckpointBytes = 33_554_432

const addTo = <A>(lists: Map<string, Array<A>>, name: string, item: A): void => {
  const list = lists.get(name)
  if (list === undefined) lists.set(name, [item])
  else list.push(item)
}

interface JournalPart {
  readonly archiveId: string
  readonly server: string
  readonly key: string
}

const byArchiveId = Order.mapInput(Order.string, ({ archiveId }: { readonly archiveId: string }) => archiveId)

/** What the first readable part says about where its journal begins, and the entry that this part starts with. */
export const archivedBegin = (
  { keys }: Pick<ArchivedJournal, "keys">,
  folder: string
): Effect.Effect<
  JournalBegin & { readonly firstId: number },
  ArchiveStoreError | PlatformError,
  ArchiveStore | ParquetReader | FileSystem.FileSystem
> =>
  Effect.gen(function* () {
    const reader = yield* ParquetReader
    const path = `${folder}/begin.parquet`
    for (const key of keys) {
      yield* download(key, path)
      const info = yield* Effect.either(reader.info(path))
      if (Either.isLeft(info)) continue
      const { epoch_after, epoch_of, first_id } = info.right.metadata
      return {
        after: Number(epoch_after ?? 0),
        previous: Option.fromNullable(epoch_of),
        firstId: Number(first_id ?? 1)
      }
    }
    return { after: 0, previous: Option.none(), firstId: 1 }
  })

/**
 * The entries of an archived journal, followed by those that only the database has, in order, each once. One part at a time is
 * kept in the folder. A part that cannot be read is left out, unless `onDamaged` fails. Parts made while the clock was set back
 * are put in their proper place. Parts of a database that was restored from a copy reuse ids: those of their entries that
 * differ from the earlier ones follow, from the first such entry on, with ids that go back.
 */
export const archivedEntries = <E, R, E2 = never>(
  { keys }: Pick<ArchivedJournal, "keys">,
  folder: string,
  onDamaged: (key: string, error: ParquetError) => Effect.Effect<void, E, R>,
  options: {
    /** The journal begins after this entry. */
    readonly after: number
    /** Only entries after this one are read. */
    readonly behind?: {
      readonly id: number
      /** The full text of the entry. */
      readonly text: string
      /** No part with a greater archive id contains it. */
      readonly archiveId: string
    }
    readonly tail?: JournalTail<E2>
    /** Events with these tags are of no interest to the reader: they only count as present. */
    readonly skip?: ReadonlySet<string>
  }
): Stream.Stream<
  JournalEntry,
  ArchiveStoreError | PlatformError | ParquetError | E | E2,
  ArchiveStore | ParquetReader | FileSystem.FileSystem | R
> =>
  Stream.suspend(() => {
    const path = `${folder}/journal.parquet`
    const { behind } = options
    let last = behind?.id ?? options.after
    let lastText = behind?.text ?? ""
    const waiting = keys.filter((key) => behind === undefined || archiveIdOf(key) > behind.archiveId)
    /** Parts whose predecessors are still missing. */
    const early: Array<ReadPart> = []
    /** Parts that were read. */
    const done: Array<ReadPart> = []
    /** The texts of some of the entries that were read. */
    let known: { readonly key: string; readonly texts: ReadonlyMap<number, string> } | undefined

    /** Downloads the next part; none if there are no more. */
    const nextPart = Effect.gen(function* () {
      const reader = yield* ParquetReader
      while (true) {
        early.sort((a, b) => a.first - b.first)
        const next = early[0]
        if (next !== undefined && (waiting.length === 0 || next.first <= last + 1)) {
          early.shift()
          yield* download(next.key, path)
          return Option.some([next, undefined] as const)
        }
        const key = waiting.shift()
        if (key === undefined) return Option.none()
        yield* download(key, path)
        const info = yield* Effect.either(reader.info(path))
        if (Either.isLeft(info)) {
          yield* onDamaged(key, info.left)
          continue
        }
        const { first_id, last_id } = info.right.metadata
        const part = { key, first: Number(first_id ?? 0), last: Number(last_id ?? 0) }
        if (part.first <= last + 1) return Option.some([part, undefined] as const)
        early.push(part)
      }
    })

    /** Whether the same entry was read before, under the same id. */
    const isKnown = (row: JournalText) =>
      Effect.gen(function* () {
        const part = done.findLast(({ first, last }) => first <= row.id && row.id <= last)
        if (part === undefined) return false
        if (known?.key !== part.key) {
          const other = `${folder}/other.parquet`
          const texts = new Map<number, string>()
          yield* download(part.key, other)
          yield* Stream.runForEach(textsIn(other), (row) =>
            Effect.sync(() => texts.set(row.id, entryText(row)))
          ).pipe(Effect.catchTag("ParquetError", () => Effect.void))
          known = { key: part.key, texts }
        }
        return known.texts.get(row.id) === entryText(row)
      })

    /** Works page by page: work done per entry would take most of the time. */
    const entriesOf = <E3, R3>(key: string, rows: Stream.Stream<JournalText, E3, R3>) =>
      rows.pipe(
        Stream.chunks,
        Stream.mapEffect((chunk) =>
          Effect.gen(function* () {
            const entries: Array<JournalEntry> = []
            for (const row of chunk) {
              if (row.id > 0 && row.isKept !== true) {
                if (row.id <= last && (yield* isKnown(row))) continue
                last = row.id
                lastText = entryText(row)
              }
              const entry = entryOf(row, options.skip)
              if (Either.isLeft(entry)) return yield* new ParquetError({ path: key, cause: entry.left })
              entries.push(entry.right)
            }
            return Chunk.unsafeFromArray(entries)
          })
        ),
        Stream.flattenChunks
      )

    const partOf = (part: ReadPart) =>
      entriesOf(part.key, textsIn(path)).pipe(
        Stream.catchTag("ParquetError", (error) =>
          Stream.drain(Stream.fromEffect(onDamaged(part.key, error)))
        ),
        Stream.ensuring(Effect.sync(() => done.push(part)))
      )

    const archived = Stream.flatMap(
      Stream.unfoldEffect(undefined, () => nextPart),
      partOf
    )
    const { tail } = options
    if (tail === undefined) return archived
    const live = Stream.unwrap(
      Effect.gen(function* () {
        const [same] = Array.from(
          yield* Stream.runCollect(
            tail.rowsAfter(last - 1).pipe(
              Stream.filter(({ id, isKept }) => id === last && isKept !== true),
              Stream.take(1)
            )
          )
        )
        const isOther =
          tail.lastId < last || (lastText !== "" && same !== undefined && entryText(same) !== lastText)
        return isOther
          ? Stream.filter(tail.rowsAfter(options.after), ({ isKept }) => isKept !== true)
          : tail.rowsAfter(last)
      })
    )
    return Stream.concat(archived, entriesOf("the database", live))
  })

/** The archive id of a part, from its key. */
export const archiveIdOf = (key: string): string => {
  const parsed = parseKey(key)
  return parsed === undefined ? "" : parsed.archiveId
}

interface ReadPart {
  readonly key: string
  readonly first: number
  readonly last: number
}

/** The entries of a part in a local file. */
export const textsIn = (path: string): Stream.Stream<JournalText, ParquetError, ParquetReader> =>
  Stream.unwrap(
    Effect.map(ParquetReader, (reader) => reader.pages(path, { columns: ["id", "at", "tag", "payload"] }))
  ).pipe(
    Stream.mapEffect(({ columns: [ids = [], times = [], tags = [], payloads = []], length }) =>
      Effect.mapError(
        decodeRows(
          Array.from({ length }, (_, i) => ({ id: ids[i], at: times[i], tag: tags[i], payload: payloads[i] }))
        ),
        (cause) => new ParquetError({ path, cause })
      )
    ),
    Stream.flattenIterables
  )

const decodeRows = Schema.decodeUnknown(
  Schema.Array(
    Schema.Struct({ id: Schema.Number, at: Schema.Number, tag: Schema.String, payload: Schema.String })
  )
)
