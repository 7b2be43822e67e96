import { HelpDoc, Options, ValidationError } from "@effect/cli"
import { Effect, Option } from "effect"
import { microsOf } from "../domain/Archive.ts"
import type { Window } from "../domain/Window.ts"

/** Which streams, and which time. */
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

/** `--exchange --symbol --type --from --to`. */
export const selectionOptions = {
  exchange: text("exchange", "Only streams of this exchange."),
  symbol: text("symbol", "Only streams of this symbol, as the exchange spells it."),
  type: text("type", "Only streams of this data type, as trade."),
  from: text(
    "from",
    "Only what was received from here on: a UTC date (2026-01-31) or time (2026-01-31T12:30:00Z)."
  ),
  to: text("to", "Only what was received up to here: a UTC date, that day included, or a time.")
}

export type SelectionOptions = Readonly<Record<keyof typeof selectionOptions, Option.Option<string>>>

/** What the options say; fails if a time cannot be read. */
export const selection = (
  options: SelectionOptions
): Effect.Effect<Selection, ValidationError.ValidationError> =>
  Effect.gen(function* () {
    const from = yield* time("from", options.from, Number.MIN_SAFE_INTEGER, (date) => microsOf(date).start)
    const to = yield* time("to", options.to, Number.MAX_SAFE_INTEGER, (date) => microsOf(date).end)
    const is = (option: Option.Option<string>, value: string) =>
      Option.isNone(option) || option.value.toLowerCase() === value.toLowerCase()
    return {
      takes: ({ dataType, exchange, symbol }) =>
        is(options.exchange, exchange) && is(options.symbol, symbol) && is(options.type, dataType),
      range: { from, to }
    }
  })

const time = (
  name: string,
  given: Option.Option<string>,
  absent: number,
  ofDate: (date: string) => number
) => {
  if (Option.isNone(given)) return Effect.succeed(absent)
  const text = given.value
  const isDate = /^\d{4}-\d{2}-\d{2}$/.test(text)
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?Z$/.test(text)
  const micros = isDate ? ofDate(text) : Date.parse(text) * 1000
  return (isDate || isTime) && Number.isFinite(micros)
    ? Effect.succeed(micros)
    : Effect.fail(
        ValidationError.invalidValue(
          HelpDoc.p(`--${name} ${text}: must be a UTC date, as 2026-01-31, or time, as 2026-01-31T12:30:00Z`)
        )
      )
}
