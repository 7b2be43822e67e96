import { HashMap, Option, Schema } from "effect"
import type { Coverage, StreamCoverage } from "../../domain/Coverage.ts"
import { daysOf, holesOf } from "../../domain/CoverageReport.ts"
import { microsPerHour } from "../../domain/micros.ts"
import { DataType } from "../../domain/StreamId.ts"
import { intersection, type Window } from "../../domain/Window.ts"
import { isProvable } from "../../exchange/registry.ts"

const Micros = Schema.Number.annotations({ description: "Microseconds since the epoch." })
const SecondsByHour = Schema.Array(Schema.Number)

const stream = { exchange: Schema.String, symbol: Schema.String, dataType: DataType }

/** What was recorded in each of the last hours, by stream. Row `i` of each column is of the hour `i` after `from`. */
export const CoverageReply = Schema.Struct({
  from: Micros.annotations({ description: "Begin of the first hour." }),
  hours: Schema.Int,
  streams: Schema.Array(
    Schema.Struct({
      ...stream,
      unverifiable: Schema.Boolean.annotations({
        description: "Whether nothing that the exchange sends would prove that messages are missing."
      }),
      wanted: SecondsByHour.annotations({ description: "Seconds in which it was to be recorded." }),
      holes: SecondsByHour.annotations({
        description: "Seconds of these that should be left out of a study."
      }),
      messages: Schema.Array(Schema.Int)
    })
  )
}).annotations({ identifier: "Coverage" })
export type CoverageReply = typeof CoverageReply.Type

/** What happened to a stream in an hour. */
export const HoleEvents = Schema.Struct({
  ...stream,
  from: Micros,
  to: Micros,
  events: Schema.Array(
    Schema.Struct({
      kind: Schema.Literal(
        "down",
        "gap",
        "dropped",
        "reconnect",
        "snapshot",
        "set back",
        "untold",
        "id reused",
        "silent",
        "journal",
        "archive",
        "unreadable",
        "clock",
        "unproven"
      ),
      from: Micros,
      to: Micros,
      text: Schema.String
    })
  )
}).annotations({ identifier: "HoleEvents" })
export type HoleEvents = typeof HoleEvents.Type

/** `now` in microseconds; `keys` are those of the streams that are asked for, all where there are none. */
export const coverageReply = (
  coverage: Coverage,
  options: {
    readonly now: number
    readonly days: number
    readonly keys: ReadonlyArray<string>
  }
): CoverageReply => {
  const hours = options.days * 24
  const to = (Math.floor(options.now / microsPerHour) + 1) * microsPerHour
  const from = to - hours * microsPerHour
  const wanted = Array.from(coverage.streams).filter(
    ([key]) => options.keys.length === 0 || options.keys.includes(key)
  )
  return {
    from,
    hours,
    streams: wanted.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, of]) => streamReply(of, { from, to }, hours))
  }
}

/** None if there is no such stream. `from` is the begin of the hour. */
export const eventsReply = (coverage: Coverage, key: string, from: number): Option.Option<HoleEvents> =>
  Option.map(HashMap.get(coverage.streams, key), (of) => {
    const hour = { from, to: from + microsPerHour }
    const wanted = intersection([of.wanted], [hour])[0]
    const within = (window: Window) => window.from < hour.to && window.to > hour.from
    const down =
      wanted === undefined ? [] : holesOf(of, wanted).filter(({ reasons }) => reasons.includes("down"))
    const events: Array<HoleEvents["events"][number]> = [
      ...down.map(({ from, to }) => ({ kind: "down" as const, from, to, text: "not connected" })),
      ...Array.from(of.gaps)
        .filter(within)
        .map(({ expected, from, received, rule, size, to }) => ({
          kind: "gap" as const,
          from,
          to,
          text: `${size === null ? "messages" : `${size} messages`} missing between ${expected} and ${received} (${rule})`
        })),
      ...Array.from(of.drops)
        .filter(within)
        .map(({ count, from, to }) => ({
          kind: "dropped" as const,
          from,
          to,
          text: `${count} messages gave way in the full queue`
        })),
      ...Array.from(of.doubts)
        .filter(within)
        .map(({ from, reason, to }) => ({ kind: reason, from, to, text: doubtTexts[reason] }))
    ]
    return {
      exchange: of.stream.exchange,
      symbol: of.stream.symbol,
      dataType: of.stream.dataType,
      ...hour,
      events: events.sort((a, b) => a.from - b.from).slice(0, maxEvents)
    }
  })

const maxEvents = 500

const doubtTexts = {
  reconnect: "connected anew: what was sent in between is unknown",
  snapshot: "the exchange began anew with a snapshot",
  "set back": "the exchange set its numbers back",
  untold: "too much happened while the journal could not be written",
  "id reused": "the exchange gave a message an id that another one had",
  silent: "subscribed, and nothing came",
  journal: "entries are missing from the journal",
  archive: "the archive does not have the messages",
  unreadable: "frames came that cannot be read",
  clock: "the clock of the machine was set",
  unproven: "the process ended, and no later message proves that none is missing"
}

const streamReply = (of: StreamCoverage, range: Window, hours: number): CoverageReply["streams"][number] => {
  const wanted = Array.from({ length: hours }, () => 0)
  const holes = wanted.slice()
  const messages = wanted.slice()
  const unverifiable = !isProvable(of.stream)
  for (const day of daysOf(of, range, !unverifiable)) {
    const first = (Date.parse(`${day.date}T00:00:00Z`) * 1000 - range.from) / microsPerHour
    for (const [i, hour] of day.hours.entries()) {
      const row = first + i
      if (row < 0 || row >= hours) continue
      wanted[row] = seconds(hour.wanted)
      holes[row] = seconds(hour.excluded)
      messages[row] = hour.messages
    }
  }
  const { dataType, exchange, symbol } = of.stream
  return { exchange, symbol, dataType, unverifiable, wanted, holes, messages }
}

const seconds = (micros: number): number => Math.round(micros / 1e5) / 10
