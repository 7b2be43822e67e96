import { Duration, Either, Redacted } from "effect"

/** The values that JSON can hold. */
export type Plain =
  | string
  | number
  | boolean
  | null
  | ReadonlyArray<Plain>
  | { readonly [key: string]: Plain }

/**
 * Converts anything at all into something that JSON can hold and that is worth reading: errors as one line with their causes,
 * `Redacted` hidden wherever it is, binary data as its size; long texts, long lists and deep trees are truncated. Never throws.
 */
export const plain = (value: unknown): Plain =>
  Either.getOrElse(
    Either.try(() => convert(value, [])),
    () => "(cannot be printed)"
  )

/** On one line: texts as they are, everything else as JSON. */
export const textOf = (value: Plain): string => (typeof value === "string" ? value : JSON.stringify(value))

const maxText = 8192
const maxItems = 100
const maxDepth = 6

const convert = (value: unknown, parents: ReadonlyArray<object>): Plain => {
  switch (typeof value) {
    case "string":
      return cut(value)
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "boolean":
      return value
    case "object":
      return value === null ? null : convertObject(value, parents)
    case "undefined":
      return null
    default:
      return cut(String(value))
  }
}

const convertObject = (value: object, parents: ReadonlyArray<object>): Plain => {
  if (Redacted.isRedacted(value)) return "<redacted>"
  if (parents.includes(value)) return "(circular)"
  if (parents.length >= maxDepth) return "…"
  const within = [...parents, value]
  if (value instanceof Error) return errorLine(value, within)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "(invalid date)" : value.toISOString()
  if (value instanceof URL) return withoutPassword(value)
  if (Duration.isDuration(value)) return Duration.format(value)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `(${value.byteLength} bytes)`
  if (value instanceof Map) return list(value.entries(), within)
  if (value instanceof Set || Array.isArray(value)) return list(value, within)
  if ("toJSON" in value && typeof value.toJSON === "function") return convert(value.toJSON(), within)
  const entries = Object.entries(value).slice(0, maxItems)
  return Object.fromEntries(entries.map(([key, item]) => [key, convert(item, within)]))
}

const list = (items: Iterable<unknown>, parents: ReadonlyArray<object>): ReadonlyArray<Plain> => {
  const out: Array<Plain> = []
  for (const item of items) {
    if (out.length === maxItems) {
      out.push("…")
      break
    }
    out.push(convert(item, parents))
  }
  return out
}

/** `Name: message (caused by Name: message)`. An error without a message shows its fields instead. */
const errorLine = (error: Error, parents: ReadonlyArray<object>): string => {
  const { cause, name, message, stack, _tag, ...rest } = fieldsOf(error)
  const what = typeof error.message === "string" ? error.message : ""
  const held = what === "" && Object.keys(rest).length > 0 ? JSON.stringify(convert(rest, parents)) : what
  const line = held === "" ? error.name : `${error.name}: ${held}`
  return error.cause === undefined
    ? cut(line)
    : cut(`${line} (caused by ${textOf(convert(error.cause, parents))})`)
}

const fieldsOf = (error: Error): Record<string, unknown> => Object.fromEntries(Object.entries(error))

const cut = (text: string): string =>
  text.length <= maxText ? text : `${text.slice(0, maxText)}… (${text.length - maxText} more)`

const withoutPassword = (url: URL): string => {
  if (url.password === "") return url.href
  const copy = new URL(url)
  copy.password = "***"
  return copy.href
}
