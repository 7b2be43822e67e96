import { HelpDoc, Options, ValidationError } from "@effect/cli"
import { Effect, Option } from "effect"
import { microsOf } from "../domain/Archive.ts"
import type { Window } from "../domain/Window.ts"

/** Which streams, and which time range. */
export interface Selection {
  readonly takes: (stream: {
    readonly exchange: string
    readonly symbol: string
    readonly dataType: string
  }) => boolean
  /** Microseconds since the epoch. */
  readonly range: Window
}

const text = (name: string, description: string) =>
  Options.text(name).pipe(Options.withDescription(description), Options.optional)

/** A time, microseconds since the epoch; a date is converted by `ofDate`. */
const time = (name: string, description: string, ofDate: (day: ReturnType<typeof microsOf>) => number) =>
  Options.text(name).pipe(
    Options.withDescription(description),
    Options.mapEffect((text) => {
      const isDate = /^\d{4}-\d{2}-\d{2}$/.test(text)
      const [isTime, fraction = ""] =
        /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.(\d{1,6}))?)?Z$/.exec(text) ?? []
      const micros = isDate
        ? ofDate(microsOf(text))
        : Date.parse(text) * 1000 + Number(fraction.padEnd(6, "0").slice(3))
      return (isDate || isTime !== undefined) && Number.isFinite(micros)
        ? Effect.succeed(micros)
        : Effect.fail(
            ValidationError.invalidValue(
              HelpDoc.p(
                `--${name} ${text}: must be a UTC date, as 2026-01-31, or time, as 2026-01-31T12:30:00Z`
              )
            )
          )
    }),
    Options.optional
  )

/** `--exchange --symbol --type --from --to`. */
export const selectionOptions = {
  exchange: text("exchange", "Only streams of this exchange."),
  symbol: text("symbol", "Only streams of this symbol, as the exchange spells it."),
  type: text("type", "Only streams of this data type, as trade."),
  from: time(
    "from",
    "Only what was received from here on: a UTC date (2026-01-31) or time (2026-01-31T12:30:00Z).",
    ({ start }) => start
  ),
  to: time(
    "to",
    "Only what was received up to here: a UTC date, that day included, or a time.",
    ({ end }) => end
  )
}

export interface SelectionOptions {
  readonly exchange: Option.Option<string>
  readonly symbol: Option.Option<string>
  readonly type: Option.Option<string>
  readonly from: Option.Option<number>
  readonly to: Option.Option<number>
}

/** The selection given by the options. */
export const selection = (options: SelectionOptions): Selection => {
  const is = (option: Option.Option<string>, value: string) =>
    Option.isNone(option) || option.value.toLowerCase() === value.toLowerCase()
  return {
    takes: ({ dataType, exchange, symbol }) =>
      is(options.exchange, exchange) && is(options.symbol, symbol) && is(options.type, dataType),
    range: {
      from: Option.getOrElse(options.from, () => Number.MIN_SAFE_INTEGER),
      to: Option.getOrElse(options.to, () => Number.MAX_SAFE_INTEGER)
    }
  }
}
