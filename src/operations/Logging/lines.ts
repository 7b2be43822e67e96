import { escapeControls, quote } from "../../domain/quote.ts"
import type { LogEntry } from "./LogEntry.ts"
import { type Plain, textOf } from "./plain.ts"

/** One JSON object, including its line end. */
export const jsonLine = (entry: LogEntry): string =>
  `${JSON.stringify({
    timestamp: new Date(entry.time).toISOString(),
    level: entry.level,
    module: entry.module,
    message: entry.message,
    fields: entry.fields.length === 0 ? undefined : Object.fromEntries(entry.fields),
    cause: entry.cause?.stacks,
    span: entry.spans.length === 0 ? undefined : Object.fromEntries(entry.spans),
    trace_id: entry.trace?.traceId,
    span_id: entry.trace?.spanId
  })}\n`

/** `time LEVEL module message key=value …`, including its line end. Text from outside cannot break it. */
export const readableLine = (entry: LogEntry, colours: boolean): string => {
  const paint = (colour: string, text: string) => (colours ? `\u001b[${colour}m${text}\u001b[0m` : text)
  const parts = [
    paint("90", new Date(entry.time).toISOString()),
    paint(levelColours.get(entry.level) ?? "0", entry.level.padEnd(5)),
    paint("36", escapeControls(entry.module === "" ? "-" : entry.module).padEnd(10)),
    ...(entry.message === "" ? [] : [escapeControls(entry.message)]),
    ...entry.fields.map(([name, value]) => `${paint("90", `${escapeControls(name)}=`)}${fieldText(value)}`),
    ...(entry.cause === undefined ? [] : [`${paint("90", "cause=")}${fieldText(entry.cause.line)}`]),
    ...entry.spans.map(([name, millis]) => `${paint("90", `${escapeControls(name)}=`)}${millis}ms`)
  ]
  return `${parts.join(" ")}\n`
}

/** Quoted where it would be ambiguous otherwise. */
const fieldText = (value: Plain): string => {
  const text = textOf(value)
  return typeof value === "string" && !/^[^\s"=\p{C}]+$/u.test(text)
    ? quote(text, Number.POSITIVE_INFINITY)
    : escapeControls(text)
}

const levelColours: ReadonlyMap<string, string> = new Map([
  ["TRACE", "90"],
  ["DEBUG", "34"],
  ["INFO", "32"],
  ["WARN", "33"],
  ["ERROR", "31"],
  ["FATAL", "41"]
])
