import type { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Option, Order, Schema, Stream } from "effect"
import { journalPrefix, parseKey } from "../domain/Archive.ts"
import { type JournalEntry, JournalEvent } from "../domain/JournalEvent.ts"
import { ArchiveStore, type ArchiveStoreError } from "./ArchiveStore.ts"
import { download } from "./download.ts"
import { ParquetReader } from "./ParquetReader.ts"
import { ParquetError } from "./ParquetWriter.ts"

/** The archived parts of one journal, in the order in which they were made. */
export interface ArchivedJournal {
  readonly server: string
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
  const journals = new Map<string, { server: string; journal: string; parts: Array<[string, string]> }>()
  yield* Stream.runForEach(store.list(journalPrefix), ({ key }) =>
    Effect.sync(() => {
      const parsed = parseKey(key)
      if (parsed?._tag !== "Journal") return
      const { archiveId, journal, server } = parsed
      const known = journals.get(`${server}/${journal}`)
      if (known === undefined)
        journals.set(`${server}/${journal}`, { server, journal, parts: [[archiveId, key]] })
      else known.parts.push([archiveId, key])
    })
  )
  return Array.from(journals.values(), ({ journal, parts, server }) => ({
    server,
    journal,
    keys: parts.sort((a, b) => Order.string(a[0], b[0])).map(([, key]) => key)
  }))
})

/** The entries of an archived journal, in order, each once. One part at a time lies in the folder. */
export const archivedEntries = (
  { keys }: ArchivedJournal,
  folder: string
): Stream.Stream<
  JournalEntry,
  ArchiveStoreError | ParquetError | PlatformError,
  ArchiveStore | ParquetReader | FileSystem.FileSystem
> =>
  Stream.suspend(() => {
    let last = 0
    return Stream.fromIterable(keys).pipe(
      Stream.flatMap((key) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const reader = yield* ParquetReader
            const path = `${folder}/journal.parquet`
            yield* download(key, path)
            return reader.pages(path, { columns: ["id", "at", "payload"] }).pipe(
              Stream.mapConcat(({ columns: [ids = [], times = [], payloads = []], length }) =>
                Array.from({ length }, (_, i) => ({ id: ids[i], at: times[i], payload: payloads[i] }))
              ),
              Stream.mapEffect((row) =>
                Effect.mapError(decodeRow(row), (cause) => new ParquetError({ path: key, cause }))
              )
            )
          })
        )
      ),
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
