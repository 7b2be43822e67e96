import { Option } from "effect"

/** The name of the log file of a UTC date (YYYY-MM-DD). */
export const logFileName = (date: string): string => `${prefix}${date}`

/** The UTC date, YYYY-MM-DD, of a time in milliseconds since the epoch. */
export const dateOfMillis = (millis: number): string => new Date(millis).toISOString().slice(0, 10)

/** The date in the name of a log file; none if this is not the name of one of our log files. */
export const dateOfLogFile = (name: string): Option.Option<string> =>
  Option.liftPredicate(name.slice(prefix.length), (date) => name.startsWith(prefix) && isDate(date))

const prefix = "collector.log."

const isDate = (text: string): boolean => {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const millis = Date.parse(`${text}T00:00:00Z`)
  return !Number.isNaN(millis) && dateOfMillis(millis) === text
}
