import { Console, Effect, Layer, Stream } from "effect"
import { ArchiveStore } from "../../archive/ArchiveStore.ts"
import * as HyparquetWriter from "../../archive/HyparquetWriter.ts"
import { microsOf, parseKey } from "../../domain/Archive.ts"
import { isProvable } from "../../exchange/registry.ts"
import { scratchDatabase } from "../../storage/scratch.ts"
import { faultOf, readCoverage } from "../coverage/read.ts"
import { timeText, windowText } from "../coverage/render.ts"
import { logsToStderr } from "../options.ts"
import { loadReading } from "../reading.ts"
import { type SelectionOptions, selection } from "../selection.ts"
import { mergeDay } from "./mergeDay.ts"
import { type RemainingHoles, unionHoles } from "./unionHoles.ts"

export const run = ({ into, ...options }: SelectionOptions & { readonly into: string }) =>
  Effect.gen(function* () {
    const select = yield* selection(options)
    const reading = yield* loadReading
    const store = yield* ArchiveStore.pipe(Effect.provide(reading.services))
    const scratch = yield* scratchDatabase(`${reading.folder}/objects.db`)
    yield* scratch`
        CREATE TABLE objects (exchange TEXT, symbol TEXT, data_type TEXT, date TEXT, server TEXT, key TEXT)`
    yield* Stream.runForEach(store.list("exchange="), ({ key }) => {
      const parsed = parseKey(key)
      if (parsed?._tag !== "Archive" || !select.takes(parsed.stream)) return Effect.void
      const { end, start } = microsOf(parsed.date)
      if (end <= select.range.from || start >= select.range.to) return Effect.void
      const { dataType, exchange, symbol } = parsed.stream
      return scratch`
          INSERT INTO objects VALUES (${exchange}, ${symbol}, ${dataType}, ${parsed.date}, ${parsed.server}, ${key})`
    })
    const days = yield* scratch<{
      readonly exchange: string
      readonly symbol: string
      readonly dataType: string
      readonly date: string
      readonly servers: string
    }>`
        SELECT exchange, symbol, data_type AS dataType, date, group_concat(DISTINCT server) AS servers
        FROM objects GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`
    const read = yield* readCoverage(reading, select)
    const { abandoned, servers } = read
    for (const day of days) {
      const keys = yield* scratch<{ key: string }>`
          SELECT key FROM objects WHERE exchange = ${day.exchange} AND symbol = ${day.symbol}
            AND data_type = ${day.dataType} AND date = ${day.date} ORDER BY key`
      const { duplicates, file, path } = yield* mergeDay({
        day,
        keys: keys.flatMap(({ key }) => (abandoned.has(key) ? [] : [key])),
        range: select.range,
        into,
        scratch,
        folder: reading.folder
      }).pipe(Effect.provide(Layer.merge(Layer.succeedContext(reading.services), HyparquetWriter.layer())))
      yield* Console.log(
        `${day.exchange}:${day.symbol}:${day.dataType}  ${day.date}  from ${day.servers}\n  ${file.rows} messages, ${duplicates} of which were held more than once were left out: ${path}`
      )
      yield* Console.log(holesText(unionHoles(servers, day, select.range), isProvable(day)))
    }
    if (days.length === 0) yield* Console.log("There are no such archives.")
    const fault = faultOf(read)
    if (fault !== undefined) return yield* fault
  }).pipe(Effect.scoped, Effect.provide(logsToStderr))

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
