import { Duration } from "effect"
import { microsOf } from "../../domain/Archive.ts"
import { type ClockMeasurements, noClockMeasurements } from "../../domain/ClockMeasurements.ts"
import type { DayCoverage, HourCoverage } from "../../domain/CoverageReport.ts"
import {
  type ExchangeStatuses,
  isImpaired,
  type StatusWindow,
  statusesIn
} from "../../domain/ExchangeStatuses.ts"
import { integerInJson } from "../../domain/Integer.ts"
import { streamKey } from "../../domain/StreamId.ts"
import type { Window } from "../../domain/Window.ts"

/** The days of a stream, computed when they are printed: all of them can be more than memory holds. */
export interface StreamDays {
  readonly server: string
  readonly clock: ReadonlyMap<string, ClockMeasurements>
  readonly statuses: ExchangeStatuses
  readonly days: () => ReadonlyArray<DayCoverage>
}

/**
 * Yields JSON for programs, piece by piece: an array with one object for each server, stream and day. Times are ISO 8601 in
 * UTC, durations are seconds.
 */
export function* asJson(streams: Iterable<StreamDays>): Generator<string> {
  let before = "["
  for (const { clock, days, server, statuses } of streams) {
    for (const day of days()) {
      const object = {
        server,
        ...jsonOf(day),
        exchangeStatuses: saidOn(day, statuses).map(({ from, status, subject, text, to }) => ({
          from: isoOf(from),
          to: to === null ? null : isoOf(to),
          status,
          subject,
          text
        })),
        clock: clockOf(clock.get(day.date) ?? noClockMeasurements)
      }
      yield `${before}\n  ${JSON.stringify(object, null, 2).replaceAll("\n", "\n  ")}`
      before = ","
    }
  }
  yield before === "[" ? "[]\n" : "\n]\n"
}

/** Yields text for people, piece by piece. */
export function* asText(streams: Iterable<StreamDays>, coloured: boolean): Generator<string> {
  const paint = coloured
    ? (code: number, text: string) => `\x1b[${code}m${text}\x1b[0m`
    : (_: number, text: string) => text
  let last: string | undefined
  for (const { days, server, statuses } of streams) {
    for (const day of days()) {
      if (server !== last) yield `${paint(1, `server ${server}`)}\n\n`
      last = server
      yield `${[dayText(day, paint), ...saidText(saidOn(day, statuses))].join("\n")}\n\n`
    }
  }
  yield last === undefined
    ? "Nothing was recorded, as far as the database and the archive know.\n"
    : `${legend(paint)}\n`
}

/** An ISO 8601 time in UTC with microseconds. */
export const isoOf = (micros: number): string =>
  `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, -1)}${String(Math.floor(micros % 1000)).padStart(3, "0")}Z`

type Paint = (code: number, text: string) => string

const red = 31
const yellow = 33
const green = 32
const grey = 90

const dayText = (day: DayCoverage, paint: Paint): string => {
  const { connected, doubts, down, drops, exclude, gaps, messages } = day
  const known = gaps.reduce((sum, { size }) => sum + (size ?? 0), 0)
  const unknown = gaps.filter(({ size }) => size === null).length
  const dropped = drops.reduce((sum, { count }) => sum + count, 0)
  const sizes = [
    ...(known > 0 ? [`${known} missing`] : []),
    ...(unknown > 0 ? [`${unknown} of unknown size`] : [])
  ]
  const unreadable = doubts.filter(({ reason }) => reason === "unreadable").length
  const absent = doubts.filter(({ reason }) => reason === "archive").length
  const others = doubts.length - unreadable - absent
  const facts = [
    counted(messages, "message"),
    `connected ${timeText(connected)}`,
    `down ${timeText(down)}`,
    `${counted(gaps.length, "gap")}${sizes.length === 0 ? "" : ` (${sizes.join(", ")})`}`,
    `${dropped} dropped by us`,
    ...(others === 0 ? [] : [`${others} restarts or silences`]),
    ...(unreadable === 0 ? [] : [`${unreadable} times unreadable`]),
    ...(absent === 0 ? [] : [`${absent} times not in the archive`])
  ]
  return [
    `${paint(1, `${streamKey(day.stream)}  ${day.date}`)}`,
    `  ${facts.join("   ")}`,
    `  verified ${percentText(day.verifiedPercent)}   unverifiable ${percentText(day.unverifiablePercent)}   to exclude ${percentText(day.excludedPercent)}`,
    `  00h ${day.hours.map((hour) => hourText(hour, day.unverifiablePercent > 0, paint)).join("")} 24h`,
    ...exclude
      .slice(0, maxWindows)
      .map((window) => `  exclude ${windowText(window)}  ${window.reasons.join(", ")}`),
    ...(exclude.length > maxWindows
      ? [`  … and ${exclude.length - maxWindows} more windows to exclude: --json shows all`]
      : [])
  ].join("\n")
}

/** The status messages of the stream's exchange on the day. */
const saidOn = ({ date, stream }: DayCoverage, statuses: ExchangeStatuses): ReadonlyArray<StatusWindow> => {
  const { end: to, start: from } = microsOf(date)
  return statusesIn(statuses, { from, to }).filter(({ exchange }) => exchange === stream.exchange)
}

/** Describes statuses that explain holes, not that the exchange worked as usual. */
const saidText = (windows: ReadonlyArray<StatusWindow>): ReadonlyArray<string> => {
  const unusual = windows.filter(isImpaired)
  const more = unusual.length - maxWindows
  return [
    ...unusual.slice(0, maxWindows).map(({ exchange, from, status, subject, text, to }) => {
      const time =
        to === null ? `since ${isoOf(from)}` : to === from ? `at ${isoOf(from)}` : windowText({ from, to })
      return `  ${exchange} said of itself ${[status, subject, text].filter((part) => part !== null).join(", ")}: ${time}`
    }),
    ...(more > 0 ? [`  … and ${more} more that the exchange said: --json shows all`] : [])
  ]
}

const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`

const maxWindows = 20

/** A bar whose height is the complete share of the hour; `!` if there is a hole in it. */
const hourText = ({ excluded, wanted }: HourCoverage, isUnverifiable: boolean, paint: Paint): string => {
  if (wanted === 0) return paint(grey, "· ")
  const whole = 1 - excluded / wanted
  const bar = bars[Math.min(bars.length - 1, Math.floor(whole * (bars.length - 1)))] ?? " "
  if (excluded > 0) return paint(whole === 0 ? red : yellow, `${whole === 0 ? "x" : bar}!`)
  return isUnverifiable ? paint(grey, "▒ ") : paint(green, `${bar} `)
}

const bars = "▁▂▃▄▅▆▇█"

const legend = (paint: Paint): string =>
  [
    "each hour: ",
    paint(green, "█ verified"),
    ", ",
    paint(grey, "▒ nothing is known to be missing, but nothing proves it"),
    ", ",
    paint(yellow, "▄! a part to exclude"),
    ", ",
    paint(red, "x! all of it"),
    ", ",
    paint(grey, "· not to be recorded")
  ].join("")

/** A duration for people, to a tenth of a second; below a second, in milliseconds, rounded up. */
export const timeText = (micros: number): string => {
  if (micros <= 0) return "0s"
  const millis = micros < 1_000_000 ? Math.ceil(micros / 1000) : Math.round(micros / 100_000) * 100
  return Duration.format(Duration.millis(millis))
}

const percentText = (percent: number): string => `${Math.floor(percent * 100) / 100} %`

/** A window for people. */
export const windowText = ({ from, to }: Window): string =>
  `${isoOf(from)} to ${isoOf(to)} (${timeText(to - from)})`

const seconds = (micros: number): number => micros / 1_000_000

const times = ({ from, to }: Window) => ({ from: isoOf(from), to: isoOf(to) })

/** The state of the server's clock on that day; null if unknown. */
const clockOf = (clock: ClockMeasurements) => ({
  measured: clock.measured,
  estimated: clock.estimated,
  minOffsetSeconds: secondsOrNull(clock.minOffset),
  maxOffsetSeconds: secondsOrNull(clock.maxOffset),
  maxErrorBoundSeconds: secondsOrNull(clock.maxBound),
  maxDriftSecondsPerMinute: seconds(clock.maxDrift),
  steps: clock.steps
})

const secondsOrNull = (micros: number | null) => (micros === null ? null : seconds(micros))

const jsonOf = (day: DayCoverage) => ({
  ...day.stream,
  date: day.date,
  messages: day.messages,
  wantedSeconds: seconds(day.wanted),
  connectedSeconds: seconds(day.connected),
  downSeconds: seconds(day.down),
  gaps: day.gaps.map((gap) => ({
    ...times(gap),
    size: gap.size,
    rule: gap.rule,
    scope: gap.scope,
    expected: integerInJson(gap.expected),
    received: integerInJson(gap.received)
  })),
  dropped: day.drops.reduce((sum, { count }) => sum + count, 0),
  drops: day.drops.map((drop) => ({ ...times(drop), count: drop.count })),
  doubts: day.doubts.map((doubt) => ({ ...times(doubt), reason: doubt.reason })),
  verifiedPercent: day.verifiedPercent,
  unverifiablePercent: day.unverifiablePercent,
  excludedPercent: day.excludedPercent,
  exclude: day.exclude.map((window) => ({ ...times(window), reasons: window.reasons })),
  hours: day.hours.map(({ excluded, messages, wanted }, hour) => ({
    hour,
    messages,
    wantedSeconds: seconds(wanted),
    excludedSeconds: seconds(excluded)
  }))
})
