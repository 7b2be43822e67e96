import { Either, Option } from "effect"
import { quote } from "../domain/quote.ts"
import type { Given, Sources } from "./Given.ts"
import { problem, type Validated } from "./Validated.ts"

/** How the text of a setting becomes its value. */
export interface Rule<A> {
  /** Its type in the settings file. */
  readonly type: "text" | "number"
  /** How a value is shown in a problem, if at all. */
  readonly show: "value" | "url" | "nothing"
  /** Returns the value, or what is allowed, as the end of the sentence "NAME=value: …". Never throws. */
  readonly parse: (text: string) => Either.Either<A, string>
}

/** Reads the setting under the first of the names that is given, if any. */
export const optional = <A>(
  sources: Sources,
  names: readonly [string, ...ReadonlyArray<string>],
  rule: Rule<A>
): Validated<Option.Option<A>> =>
  Option.match(sources.find(...names), {
    onNone: () => Either.right(Option.none()),
    onSome: (given) => Either.map(check(given, rule), Option.some)
  })

/** The same, with a default value. */
export const withDefault = <A>(
  sources: Sources,
  names: readonly [string, ...ReadonlyArray<string>],
  rule: Rule<A>,
  fallback: A
): Validated<A> =>
  Either.map(
    optional(sources, names, rule),
    Option.getOrElse(() => fallback)
  )

/** Returns the value of what was given, or the line that says what is wrong with it. */
export const check = <A>(given: Given, rule: Rule<A>): Validated<A> =>
  textOf(given, rule).pipe(
    Either.flatMap(rule.parse),
    Either.mapLeft((allowed) => [`${describe(given, rule.show)}: ${allowed}`])
  )

/** `NAME="value"`, or `NAME (name in file)="value"`: the start of a problem. */
export const describe = (given: Given, show: Rule<unknown>["show"]): string => {
  const origin = given._tag === "Variable" ? [] : [`${given.key} in ${given.file}`]
  const notes = show === "nothing" ? [...origin, "value not shown"] : origin
  const name = notes.length === 0 ? given.name : `${given.name} (${notes.join("; ")})`
  return show === "nothing" ? name : `${name}=${shown(given, show)}`
}

/** The problem of a required variable that is set but has no text. */
export const blank = (name: string, allowed: string): Validated<never> => problem(`${name}="": ${allowed}`)

const textOf = (given: Given, rule: Rule<unknown>): Either.Either<string, string> => {
  if (given._tag === "Variable") {
    return /^(["']).*\1$/s.test(given.text)
      ? Either.left("must not be in quotes (docker --env-file keeps them)")
      : Either.right(given.text)
  }
  const { value } = given
  if (rule.type === "number") {
    return typeof value === "number"
      ? Either.right(String(value))
      : Either.left("must be a number, without quotes")
  }
  if (typeof value !== "string") return Either.left("must be a text in quotes")
  return value.trim() === "" ? Either.left("must not be empty") : Either.right(value.trim())
}

const shown = (given: Given, show: "value" | "url"): string => {
  const value = given._tag === "Variable" ? given.text : given.value
  if (typeof value === "string") return quote(show === "url" ? withoutUser(value) : value)
  if (typeof value === "number" || typeof value === "boolean") return String(value)
  if (Array.isArray(value)) return "[…]"
  return value instanceof Date ? value.toISOString() : "{…}"
}

/** Hides a possible password, or a key in the query, in something that was meant to be a URL. */
const withoutUser = (text: string): string => {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0] ?? ""
  const at = text.lastIndexOf("@")
  const visible = at === -1 ? text : `${scheme}***${text.slice(at)}`
  return visible.replace(/([?#]).*$/s, "$1***")
}
