import { Data, Effect, Option, Stream } from "effect"
import { ArchiveStore } from "../../archive/ArchiveStore.ts"
import { dateOf, microsOf, parseKey } from "../../domain/Archive.ts"
import { inOrder } from "../../reading/inOrder.ts"
import { makeOnceEach } from "../../reading/onceEach.ts"
import { openLiveRows } from "../../storage/LiveRows.ts"
import { temporaryDatabase } from "../../storage/temporaryDatabase.ts"
import { endWithFaults, faultsOf, readCoverage } from "../coverage/read.ts"
import { logsToStderr } from "../options.ts"
import { prefixesOf } from "../prefixes.ts"
import { print, untilGone } from "../print.ts"
import { loadReading } from "../reading.ts"
import { type SelectionOptions, selection } from "../selection.ts"
import { holesOfAll } from "./holes.ts"
import { holeLine, messageLine } from "./lines.ts"
import { type Damage, sourcesOf } from "./sources.ts"

/** Objects could not be read: what they hold is missing from the output. */
class ReplayIncomplete extends Data.TaggedError("ReplayIncomplete")<{
  readonly damaged: ReadonlyArray<Damage>
}> {
  override get message() {
    const [first, ...others] = this.damaged
    const more = others.length === 0 ? "" : `, and ${others.length} more`
    return `objects could not be read, their messages are missing: ${first?.object.key}: ${first?.reason}${more}`
  }
}

export const run = (options: SelectionOptions) =>
  Effect.gen(function* () {
    const select = selection(options)
    const reading = yield* loadReading
    // First: what is archived and deleted afterwards is in this copy, and what was before is in the list.
    const live = yield* openLiveRows(reading.settings.databasePath, { ...options, range: select.range })
    const read = yield* readCoverage(reading, select)
    const store = yield* ArchiveStore.pipe(Effect.provide(reading.services))
    const scratch = yield* temporaryDatabase(`${reading.folder}/objects.db`)
    yield* scratch`CREATE TABLE objects (date TEXT, at INTEGER, key TEXT)`
    const listed = Stream.flatMap(Stream.fromIterable(prefixesOf(options, read.servers)), store.list)
    yield* Stream.runForEach(listed, ({ key }) => {
      const parsed = parseKey(key)
      if (parsed?._tag !== "Archive" || !select.takes(parsed.stream) || read.abandoned.has(key))
        return Effect.void
      const { end, start } = microsOf(parsed.date)
      if (end <= select.range.from || start >= select.range.to) return Effect.void
      return Effect.asVoid(
        scratch`INSERT INTO objects VALUES (${parsed.date}, ${parsed.firstTimestamp}, ${key})`
      )
    })
    const archivedDates = yield* scratch<{ date: string }>`SELECT DISTINCT date FROM objects`
    const liveDates = Option.match(
      Option.flatMap(live, ({ span }) => span),
      {
        onNone: () => [],
        onSome: ({ from, to }) => datesFrom(from, to)
      }
    )
    const dates = [...new Set([...archivedDates.map(({ date }) => date), ...liveDates])].sort()

    const damaged: Array<Damage> = []
    const holes = holesOfAll(read.servers, select.range)
    let nextHole = 0
    /** The lines of the holes that begin before a time, microseconds: a hole begins with the last message before it. */
    const holesUntil = (time: number): string => {
      let lines = ""
      for (
        let hole = holes[nextHole];
        hole !== undefined && hole.window.from < time;
        hole = holes[++nextHole]
      ) {
        lines += holeLine(hole.stream, hole.window)
      }
      return lines
    }
    const isNew = makeOnceEach()

    const printDate = (date: string) =>
      Effect.gen(function* () {
        const objects = yield* Effect.orDie(
          scratch<{ at: number; key: string }>`
            SELECT at, key FROM objects WHERE date = ${date} ORDER BY at, key`
        )
        const sources = yield* sourcesOf({
          date,
          range: select.range,
          objects: objects.flatMap(({ at, key }) => {
            const parsed = parseKey(key)
            return parsed?._tag === "Archive" ? [{ key, from: at, stream: parsed.stream }] : []
          }),
          live,
          folder: reading.folder,
          onDamaged: (damage) => Effect.sync(() => void damaged.push(damage))
        })
        yield* Stream.runForEachChunk(inOrder(sources, isNew), (messages) => {
          let text = ""
          for (const message of messages) text += holesUntil(message.timestamp) + messageLine(message)
          return print(text)
        })
      }).pipe(Effect.scoped, Effect.provide(reading.services))

    const isRead = yield* untilGone(
      Effect.forEach(dates, printDate, { discard: true }).pipe(
        Effect.zipRight(Effect.suspend(() => print(holesUntil(Number.POSITIVE_INFINITY))))
      )
    )
    if (!isRead) return
    yield* endWithFaults([
      ...faultsOf(read),
      ...(damaged.length === 0 ? [] : [new ReplayIncomplete({ damaged })])
    ])
  }).pipe(Effect.scoped, Effect.provide(logsToStderr))

const datesFrom = (from: number, to: number): ReadonlyArray<string> => {
  const dates: Array<string> = []
  for (let at = from; at < to; at = microsOf(dateOf(at)).end) dates.push(dateOf(at))
  return dates
}
