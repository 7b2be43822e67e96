import type { FileSystem } from "@effect/platform"
import { Chunk, Effect, Exit, Option, Scope, Stream } from "effect"
import type { ArchiveStore } from "../../archive/ArchiveStore.ts"
import { ParquetReader } from "../../archive/ParquetReader.ts"
import type { ParquetPage } from "../../archive/ParquetWriter.ts"
import { microsOf } from "../../domain/Archive.ts"
import { reasonOf } from "../../domain/reasonOf.ts"
import type { Window } from "../../domain/Window.ts"
import type { RecordedMessage, RecordedPage, RecordedStream, Source } from "../../reading/Recorded.ts"
import type { LiveRow, LiveRows } from "../../storage/LiveRows.ts"
import { fetchAhead } from "./fetchAhead.ts"

/** An archived object. `from`: no message of it is older, microseconds. */
export interface ArchivedObject {
  readonly key: string
  readonly stream: RecordedStream
  readonly from: number
}

/** Something that was recorded and cannot be read. */
export interface Damage {
  readonly object: ArchivedObject
  readonly reason: string
}

/** The places that have messages of a date: its archived objects, and the rows that are still in the database. */
export const sourcesOf = (options: {
  readonly date: string
  readonly range: Window
  readonly objects: ReadonlyArray<ArchivedObject>
  readonly live: Option.Option<LiveRows>
  readonly folder: string
  readonly onDamaged: (damage: Damage) => Effect.Effect<void>
}): Effect.Effect<
  ReadonlyArray<Source<never>>,
  never,
  ArchiveStore | ParquetReader | FileSystem.FileSystem | Scope.Scope
> =>
  Effect.gen(function* () {
    const { date, folder, live, onDamaged, range } = options
    const day = microsOf(date)
    const within = { from: Math.max(day.start, range.from), to: Math.min(day.end, range.to) }
    const objects = options.objects.toSorted((a, b) => a.from - b.from)
    const reader = yield* ParquetReader
    const take = yield* fetchAhead(
      objects.map(({ key }) => key),
      folder,
      objectsAhead
    )
    const archived = objects.map((object, position): Source<never> => {
      const pages = Stream.unwrapScoped(
        Effect.map(take(position), (path) => reader.pages(path, { columns: [...columns], bytes: ["data"] }))
      ).pipe(
        Stream.map((page) => messagesOf(object.stream, page, within)),
        Stream.catchAll((error) =>
          Stream.execute(
            onDamaged({ object, reason: reasonOf("cause" in error ? (error.cause ?? error) : error) })
          )
        )
      )
      return { from: object.from, open: opened(pages) }
    })
    const rows = Option.flatMap(live, ({ span, within: rowsWithin }) =>
      Option.filterMap(span, ({ from, to }) =>
        to <= within.from || from >= within.to
          ? Option.none()
          : Option.some<Source<never>>({
              from: Math.max(from, within.from),
              // The copy is a file of our own.
              open: opened(Stream.orDie(rowsWithin(within)).pipe(Stream.map((rows) => rows.map(messageOf))))
            })
      )
    )
    return [...archived, ...Option.toArray(rows)].sort((a, b) => a.from - b.from)
  })

/** Objects that are downloaded before their turn. */
const objectsAhead = 8

const columns = ["exchange_sequence_id", "timestamp", "exchange_timestamp", "data"] as const

/** Pulls pages one by one, and releases what they need after the last one. */
const opened = (pages: Stream.Stream<RecordedPage>): Source<never>["open"] =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const pull = yield* Scope.extend(Stream.toPull(pages), scope)
    return Effect.matchEffect(pull, {
      onFailure: () => Effect.as(Scope.close(scope, Exit.void), undefined),
      onSuccess: (chunk) => Effect.succeed(Chunk.toReadonlyArray(chunk).flat())
    })
  })

const messagesOf = (
  stream: RecordedStream,
  { columns: [ids = [], times = [], exchangeTimes = [], data = []], length }: ParquetPage,
  { from, to }: Window
): RecordedPage => {
  const messages: Array<RecordedMessage> = []
  for (let i = 0; i < length; i++) {
    const timestamp = Number(times[i])
    if (timestamp < from || timestamp >= to) continue
    const exchangeTime = exchangeTimes[i] ?? null
    const value = data[i]
    messages.push({
      stream,
      exchangeSequenceId: String(ids[i]),
      timestamp,
      exchangeTimestamp: exchangeTime === null ? null : Number(exchangeTime),
      data: value instanceof Uint8Array ? value : Buffer.from(String(value ?? ""))
    })
  }
  return messages
}

const messageOf = ({
  data,
  dataType,
  exchange,
  exchangeSequenceId,
  exchangeTimestamp,
  symbol,
  timestamp
}: LiveRow): RecordedMessage => ({
  stream: { exchange, symbol, dataType },
  exchangeSequenceId,
  timestamp,
  exchangeTimestamp,
  data
})
