import type { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Either, Option, Order, Schema, Stream } from "effect"
import { journalPrefix, parseKey } from "../domain/Archive.ts"
import { type JournalEntry, JournalEvent } from "../domain/JournalEvent.ts"
import { ArchiveStore, type ArchiveStoreError } from "./ArchiveStore.ts"
import { download } from "./download.ts"
import { ParquetReader } from "./ParquetReader.ts"
import { ParquetError } from "./ParquetWriter.ts"

/** The archived parts of one journal, in the order of their archive ids: when they were made, by the clocks of then. */
export interface ArchivedJournal {
  /** The names under which they were archived, the latest last: a server may be renamed. */
  readonly servers: readonly [...ReadonlyArray<string>, string]
  /** Names the journal: a server that lost its database begins another. */
  readonly journal: string
  readonly keys: ReadonlyArray<string>
}

/** The journals of all servers in the archive. */
export const archivedJournals: Effect.Effect<
  ReadonlyArray<ArchivedJournal>,
  ArchiveStoreError,
  ArchiveStore
> = Effect.gen(function* () {
  const store = yield* ArchiveStore
  const journals = new Map<string, Array<Part>>()
  yield* Stream.runForEach(store.list(journalPrefix), ({ key }) =>
    Effect.sync(() => {
      const parsed = parseKey(key)
      if (parsed?._tag !== "Journal") return
      const part = { archiveId: parsed.archiveId, server: parsed.server, key }
      const known = journals.get(parsed.journal)
      if (known === undefined) journals.set(parsed.journal, [part])
      else known.push(part)
    })
  )
  return Array.from(journals, ([journal, unsorted]) => {
    const parts = unsorted.sort(byArchiveId)
    const latest = parts.at(-1)?.server ?? ""
    const earlier = parts.map(({ server }) => server).filter((server) => server !== latest)
    return { servers: [...new Set(earlier), latest], journal, keys: parts.map(({ key }) => key) }
  })
})

interface Part {
  readonly archiveId: string
  readonly server: string
  readonly key: string
}

const byArchiveId = Order.mapInput(Order.string, ({ archiveId }: Part) => archiveId)

/**
 * The entries of an archived journal, in order, each once. One part at a time lies in the folder. A part that cannot be
 * read is left out, if `onDamaged` does not fail. Parts that were made while the clock was set back come in their place.
 */
export const archivedEntries = <E, R>(
  { keys }: ArchivedJournal,
  folder: string,
  onDamaged: (key: string, error: ParquetError) => Effect.Effect<void, E, R>
): Stream.Stream<
  JournalEntry,
  ArchiveStoreError | PlatformError | E,
  ArchiveStore | ParquetReader | FileSystem.FileSystem | R
> =>
  Stream.suspend(() => {
    const path = `${folder}/journal.parquet`
    let last = 0
    const waiting = [...keys]
    /** Parts before which others are missing so far. */
    const early: Array<{ readonly key: string; readonly first: number }> = []

    /** Downloads the part that comes next; returns its key, and none if there are no more. */
    const nextPart = Effect.gen(function* () {
      const reader = yield* ParquetReader
      while (true) {
        early.sort((a, b) => a.first - b.first)
        if (early[0] !== undefined && (waiting.length === 0 || early[0].first <= last + 1)) {
          const { key } = early[0]
          early.shift()
          yield* download(key, path)
          return Option.some([key, undefined] as const)
        }
        const key = waiting.shift()
        if (key === undefined) return Option.none()
        yield* download(key, path)
        const info = yield* Effect.either(reader.info(path))
        if (Either.isLeft(info)) {
          yield* onDamaged(key, info.left)
          continue
        }
        const first = Number(info.right.metadata.first_id ?? 0)
        if (first <= last + 1) return Option.some([key, undefined] as const)
        early.push({ key, first })
      }
    })

    const entriesOf = (key: string) =>
      Stream.unwrap(
        Effect.map(ParquetReader, (reader) => reader.pages(path, { columns: ["id", "at", "payload"] }))
      ).pipe(
        Stream.mapConcat(({ columns: [ids = [], times = [], payloads = []], length }) =>
          Array.from({ length }, (_, i) => ({ id: ids[i], at: times[i], payload: payloads[i] }))
        ),
        Stream.mapEffect((row) =>
          Effect.mapError(decodeRow(row), (cause) => new ParquetError({ path: key, cause }))
        ),
        Stream.catchTag("ParquetError", (error) => Stream.drain(Stream.fromEffect(onDamaged(key, error))))
      )

    return Stream.unfoldEffect(undefined, () => nextPart).pipe(
      Stream.flatMap(entriesOf),
      Stream.filterMap(({ at, id, payload }) => {
        if (id <= last) return Option.none()
        last = id
        return Option.some<JournalEntry>({ id, at, event: payload })
      })
    )
  })

const decodeRow = Schema.decodeUnknown(
  Schema.Struct({ id: Schema.Number, at: Schema.Number, payload: Schema.parseJson(JournalEvent) })
)
