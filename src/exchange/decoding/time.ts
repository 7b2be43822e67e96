import * as Scan from "./scan.ts"

/**
 * Checks an exchange time, in integer microseconds since the epoch. Returns null if it is implausible: a time before 2009 is a
 * default that some server filled in (1970 and the year 1 occur), one after 2100 has the wrong unit.
 */
const plausible = (micros: number): number | null =>
  micros >= firstMicros && micros < lastMicros ? micros : null

/** Parses epoch milliseconds, or sometimes microseconds, told apart by magnitude. */
export const fromMillisOrMicros = (time: number): number | null =>
  plausible(time < firstMicros ? time * 1000 : time)

/** Parses the time that starts at `at`: such a number, quoted or not, or an RFC 3339 text. */
export const timeAt = (text: Buffer, at: number): number | null =>
  text[at] === quote && text[at + 5] === dash
    ? fromRfc3339At(text, at)
    : fromMillisOrMicros(Scan.integerAt(text, at))

/**
 * Parses the quoted RFC 3339 text that starts at `at`, such as `"2026-09-30T02:39:53.788628813Z"`, with any number of decimals;
 * anything below a microsecond is cut off.
 */
export const fromRfc3339At = (text: Buffer, at: number): number | null => {
  if (at < 0 || text[at] !== quote || text[at + 5] !== dash || text[at + 8] !== dash) return null
  const year = digits(text, at + 1, 4)
  const month = digits(text, at + 6, 2)
  const day = digits(text, at + 9, 2)
  const hour = digits(text, at + 12, 2)
  const minute = digits(text, at + 15, 2)
  const second = digits(text, at + 18, 2)
  let i = at + 20
  let micros = 0
  if (text[i] === dot) {
    i++
    let scale = 100_000
    for (let digit = (text[i] ?? 0) - zero; digit >= 0 && digit <= 9; digit = (text[i] ?? 0) - zero) {
      micros += digit * scale
      scale = Math.floor(scale / 10)
      i++
    }
  }
  const offset = offsetMinutes(text, i)
  const millis = Date.UTC(year, month - 1, day, hour, minute - offset, second)
  return plausible(millis * 1000 + micros)
}

/** 2009-01-01, when the first block was mined, and 2100-01-01. */
const firstMicros = 1_230_768_000_000_000
const lastMicros = 4_102_444_800_000_000

const quote = 0x22
const dash = 0x2d
const plus = 0x2b
const dot = 0x2e
const zero = 0x30

const digits = (text: Buffer, at: number, count: number): number => {
  let value = 0
  for (let i = at; i < at + count; i++) {
    const digit = (text[i] ?? 0) - zero
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

/** Returns the minutes of `Z` or `+hh:mm`; NaN for anything else. */
const offsetMinutes = (text: Buffer, at: number): number => {
  const sign = text[at]
  if (sign === 0x5a || sign === 0x7a) return text[at + 1] === quote ? 0 : Number.NaN
  if (sign !== plus && sign !== dash) return Number.NaN
  const minutes = digits(text, at + 1, 2) * 60 + digits(text, at + 4, 2)
  return sign === plus ? minutes : -minutes
}
