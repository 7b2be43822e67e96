import { Option, Schema } from "effect"
import { holesOf, wantedIn } from "../../domain/CoverageReport.ts"
import { Micros, microsPerHour } from "../../domain/micros.ts"
import { DataType } from "../../domain/StreamId.ts"
import { intersection, type Window } from "../../domain/Window.ts"
import { isProvable } from "../../exchange/registry.ts"
import type { Past } from "./Past.ts"
import type { KnownHoles } from "./RecentCoverage.ts"

const SecondsByHour = Schema.Array(Schema.Number)

const stream = { exchange: Schema.String, symbol: Schema.String, dataType: DataType }

const StreamHours = Schema.Struct({
  ...stream,
  unverifiable: Schema.Boolean.annotations({
    description: "Whether nothing that the exchange sends would prove a gap."
  }),
  wanted: SecondsByHour.annotations({ description: "Seconds in which the stream was to be recorded." }),
  holes: SecondsByHour.annotations({
    description: "Seconds of those to leave out of a study."
  }),
  messages: Schema.Array(Schema.Int)
})

/** What was recorded in each of the last hours, by stream. Row `i` of each column belongs to the hour `i` after `from`. */
export const CoverageReply = Schema.Struct({
  from: Micros.annotations({ description: "Start of the first hour." }),
  hours: Schema.Int,
  knownFrom: Micros.annotations({
    description:
      "Nothing is known of the time before this, although it may have been recorded; 0: all is known."
  }),
  reading: Schema.NullOr(
    Schema.Struct({
      what: Schema.Literal("archive", "database"),
      done: Schema.Number.annotations({ description: "The share that was read, from 0 to 1." })
    })
  ).annotations({
    description: "The part of the journal still being read: until it is done, the answer is incomplete."
  }),
  streams: Schema.Array(StreamHours)
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

/** The requested hours: the last `days`, up to the hour in progress at `now`, microseconds. */
export interface CoverageQuery {
  readonly now: number
  readonly days: number
  /** The requested streams; all if empty. */
  readonly keys: ReadonlyArray<string>
}

/** Yields a `CoverageReply` as JSON, piece by piece, each as of the moment it is requested. */
export function* coverageReply({ past, reading }: KnownHoles, query: CoverageQuery): Generator<string> {
  const hours = query.days * 24
  const to = (Math.floor(query.now / microsPerHour) + 1) * microsPerHour
  const from = to - hours * microsPerHour
  const known = past.keys()
  const asked = new Set(query.keys)
  const keys = asked.size === 0 ? known : known.filter((key) => asked.has(key))
  yield `${JSON.stringify({ from, hours, knownFrom: past.knownFrom(), reading }).slice(0, -1)},"streams":[`
  let before = ""
  for (const key of keys) {
    const row = streamReply(past, key, { from, to }, hours)
    if (row === undefined) continue
    yield before + JSON.stringify(row)
    before = ","
  }
  yield "]}"
}

/** The approximate size of the reply, bytes. */
export const sizeOfReply = ({ past }: KnownHoles, { days, keys }: CoverageQuery): number =>
  (keys.length === 0 ? past.keys().length : keys.length) * (100 + days * 24 * bytesPerHour)

const bytesPerHour = 18

/** The events of a stream's hour; none if there is no such stream. `from` is the start of the hour. */
export const eventsReply = (past: Past, key: string, from: number): Option.Option<HoleEvents> =>
  Option.map(past.stream(key, { from, to: from + microsPerHour }), (coverage) => {
    const hour = { from, to: from + microsPerHour }
    const known = { from: Math.max(from, past.knownFrom()), to: hour.to }
    const wanted = intersection([coverage.wanted], [known])[0]
    const within = (window: Window) => window.from < hour.to && window.to > hour.from
    const down =
      wanted === undefined ? [] : holesOf(coverage, wanted).filter(({ reasons }) => reasons.includes("down"))
    const events: Array<HoleEvents["events"][number]> = [
      ...down.map(({ from, to }) => ({ kind: "down" as const, from, to, text: "not connected" })),
      ...Array.from(coverage.gaps)
        .filter(within)
        .map(({ expected, from, received, rule, size, to }) => ({
          kind: "gap" as const,
          from,
          to,
          text: `${size === null ? "messages" : `${size} messages`} missing between ${expected} and ${received} (${rule})`
        })),
      ...Array.from(coverage.drops)
        .filter(within)
        .map(({ count, from, to }) => ({
          kind: "dropped" as const,
          from,
          to,
          text: `${count} messages dropped, the queue was full`
        })),
      ...Array.from(coverage.doubts)
        .filter(within)
        .map(({ from, reason, to }) => ({ kind: reason, from, to, text: doubtTexts[reason] }))
    ]
    return {
      exchange: coverage.stream.exchange,
      symbol: coverage.stream.symbol,
      dataType: coverage.stream.dataType,
      ...hour,
      events: events.sort((a, b) => a.from - b.from).slice(0, maxEvents)
    }
  })

const maxEvents = 500

const doubtTexts = {
  reconnect: "reconnected: what was sent in between is unknown",
  snapshot: "the exchange restarted from a snapshot",
  "set back": "the exchange set its numbers back",
  untold: "more happened than could be kept while the journal could not be written",
  "id reused": "the exchange reused the id of another message",
  silent: "subscribed, but no message arrived",
  journal: "entries are missing from the journal",
  archive: "the messages are not in the archive",
  unreadable: "frames arrived that cannot be read",
  clock: "the machine's clock was set",
  unproven: "the process ended, and no later message proves that none is missing"
}

const streamReply = (
  past: Past,
  key: string,
  { from, to }: Window,
  hours: number
): CoverageReply["streams"][number] | undefined => {
  const range = { from: Math.max(from, past.knownFrom()), to }
  const coverage = Option.getOrUndefined(past.stream(key, range))
  if (coverage === undefined) return undefined
  const { dataType, exchange, symbol } = coverage.stream
  const wanted = secondsByHour(wantedIn(coverage, range), from, hours)
  const holes = secondsByHour(holesOf(coverage, range), from, hours)
  const messages = past.messages(key, from / microsPerHour, hours)
  return { exchange, symbol, dataType, unverifiable: !isProvable(coverage.stream), wanted, holes, messages }
}

/** How much of each hour after `from` is covered by windows that are in order and do not overlap, to a tenth of a second. */
const secondsByHour = (
  windows: ReadonlyArray<Window>,
  from: number,
  hours: number
): ReadonlyArray<number> => {
  const micros = new Float64Array(hours)
  for (const window of windows) {
    for (let hour = Math.floor((window.from - from) / microsPerHour); hour < hours; hour++) {
      const begin = from + hour * microsPerHour
      if (begin >= window.to) break
      const length = Math.min(window.to, begin + microsPerHour) - Math.max(window.from, begin)
      micros[hour] = (micros[hour] ?? 0) + length
    }
  }
  return Array.from(micros, (length) => Math.round(length / 1e5) / 10)
}
