import { Console, Effect, Layer, Option, Stream } from "effect"
import { ArchiveStore } from "../../archive/ArchiveStore.ts"
import * as HyparquetWriter from "../../archive/HyparquetWriter.ts"
import { dateOf, microsOf, parseKey } from "../../domain/Archive.ts"
import { microsPerDay } from "../../domain/micros.ts"
import { type StreamId, streamKey } from "../../domain/StreamId.ts"
import { intersection, type Window } from "../../domain/Window.ts"
import { isProvable } from "../../exchange/registry.ts"
import { temporaryDatabase } from "../../storage/temporaryDatabase.ts"
import { endWithFaults, faultsOf, readCoverage, type ServerCoverage } from "../coverage/read.ts"
import { timeText, windowText } from "../coverage/render.ts"
import { logsToStderr } from "../options.ts"
import { prefixesOf } from "../prefixes.ts"
import { loadReading } from "../reading.ts"
import { type SelectionOptions, selection } from "../selection.ts"
import { mergeDay, ObjectsUnreadable } from "./mergeDay.ts"
import { type Merged, type RemainingHoles, recordedSpan, unionHoles } from "./unionHoles.ts"

export const run = ({ into, ...options }: SelectionOptions & { readonly into: string }) =>
  Effect.gen(function* () {
    const select = selection(options)
    const reading = yield* loadReading
    const store = yield* ArchiveStore.pipe(Effect.provide(reading.services))
    const scratch = yield* temporaryDatabase(`${reading.folder}/objects.db`)
    yield* scratch`
        CREATE TABLE objects (exchange TEXT, symbol TEXT, data_type TEXT, date TEXT, server TEXT, key TEXT)`
    // Before the objects are listed: what is archived meanwhile is merged, but not claimed.
    const read = yield* readCoverage(reading, select, { isCompared: true })
    const { abandoned, servers } = read
    // Includes the day before the first one: what was already received there is not merged again.
    const from = select.range.from - microsPerDay
    const listed = Stream.flatMap(Stream.fromIterable(prefixesOf(options, servers)), store.list)
    yield* Stream.runForEach(listed, ({ key }) => {
      const parsed = parseKey(key)
      if (parsed?._tag !== "Archive" || !select.takes(parsed.stream) || abandoned.has(key)) return Effect.void
      const { end, start } = microsOf(parsed.date)
      if (end <= from || start >= select.range.to) return Effect.void
      const { dataType, exchange, symbol } = parsed.stream
      return Effect.asVoid(scratch`
          INSERT INTO objects VALUES (${exchange}, ${symbol}, ${dataType}, ${parsed.date}, ${parsed.server}, ${key})`)
    })
    // Days without any object are holes, too.
    for (const { dataType, exchange, symbol, date } of wantedDays(servers, select.range)) {
      yield* scratch`INSERT INTO objects VALUES (${exchange}, ${symbol}, ${dataType}, ${date}, NULL, NULL)`
    }
    const days = yield* scratch<{
      readonly exchange: string
      readonly symbol: string
      readonly dataType: string
      readonly date: string
      readonly servers: string | null
    }>`
        SELECT exchange, symbol, data_type AS dataType, date, group_concat(DISTINCT server) AS servers
        FROM objects GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`
    const objectsOf = (day: StreamDay) =>
      Effect.map(
        scratch<{ key: string; server: string }>`
          SELECT key, server FROM objects WHERE exchange = ${day.exchange} AND symbol = ${day.symbol}
            AND data_type = ${day.dataType} AND date = ${day.date} AND key IS NOT NULL ORDER BY key`,
        (objects) => objects.map(({ key, server }) => ({ key, server: serverOf(servers, server) }))
      )
    const unreadable: Array<ObjectsUnreadable["objects"][number]> = []
    let last: string | undefined
    let isEmpty = true
    for (const day of days) {
      if (microsOf(day.date).end <= select.range.from) continue
      isEmpty = false
      const objects = yield* objectsOf(day)
      const dayBefore = { ...day, date: dateOf(microsOf(day.date).start - 1) }
      const name = `${day.exchange}:${day.symbol}:${day.dataType}  ${day.date}`
      let merged: ReadonlyMap<string, Merged> = new Map()
      if (objects.length === 0) yield* Console.log(`${name}  nothing is archived`)
      else {
        const done = yield* mergeDay({
          day,
          objects,
          before: last === dayKey(dayBefore) ? Option.none() : Option.some(yield* objectsOf(dayBefore)),
          range: select.range,
          into,
          scratch,
          folder: reading.folder
        }).pipe(Effect.provide(Layer.merge(Layer.succeedContext(reading.services), HyparquetWriter.layer())))
        merged = done.merged
        last = dayKey(day)
        unreadable.push(...done.unreadable)
        for (const { key, reason } of done.unreadable) yield* Console.log(`unreadable  ${key}: ${reason}`)
        yield* Console.log(
          `${name}  from ${day.servers}\n  ${done.file.rows} messages, ${done.duplicates} of which were held more than once were left out: ${done.path}`
        )
      }
      yield* Console.log(holesText(unionHoles(servers, day, select.range, merged), isProvable(day)))
    }
    if (isEmpty) yield* Console.log("There are no such archives.")
    yield* endWithFaults([
      ...faultsOf(read),
      ...(unreadable.length === 0 ? [] : [new ObjectsUnreadable({ objects: unreadable })])
    ])
  }).pipe(Effect.scoped, Effect.provide(logsToStderr))

interface StreamDay {
  readonly exchange: string
  readonly symbol: string
  readonly dataType: string
  readonly date: string
}

const dayKey = (day: StreamDay): string => `${streamKey(day)} ${day.date}`

/** Every day from the first to the last on which any server is to have a stream. */
const wantedDays = (servers: ReadonlyArray<ServerCoverage>, range: Window) => {
  const spans = new Map<string, { readonly stream: StreamId; readonly span: Window }>()
  for (const coverage of servers.flatMap(({ streams }) => streams)) {
    const { from, to } = recordedSpan([coverage])
    const known = spans.get(streamKey(coverage.stream))?.span ?? { from, to }
    const span = { from: Math.min(known.from, from), to: Math.max(known.to, to) }
    spans.set(streamKey(coverage.stream), { stream: coverage.stream, span })
  }
  return Array.from(spans.values()).flatMap(({ span, stream }) =>
    intersection([span], [range]).flatMap(({ from, to }) => {
      const days: Array<StreamId & { readonly date: string }> = []
      for (let day = microsOf(dateOf(from)).start; day < to; day = microsOf(dateOf(day)).end) {
        days.push({ ...stream, date: dateOf(day) })
      }
      return days
    })
  )
}

/** The present name of a server that archived something under one of its names. */
const serverOf = (servers: ReadonlyArray<ServerCoverage>, name: string): string =>
  servers.find(({ names }) => names.has(name))?.server ?? name

const holesText = ({ length, wanted, windows }: RemainingHoles, provable: boolean): string => {
  if (wanted === 0) return "  no journal tells of its holes"
  if (windows.length === 0) {
    return provable
      ? `  no hole remains in ${timeText(wanted)}`
      : `  no hole is known in ${timeText(wanted)}, but nothing that the exchange sends would prove it: unverifiable`
  }
  return [
    `  holes that remain: ${timeText(length)} of ${timeText(wanted)}${provable ? "" : "; the rest is unverifiable"}`,
    ...windows.map((window) => `  exclude ${windowText(window)}`)
  ].join("\n")
}
