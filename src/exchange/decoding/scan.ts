import { Either, Option } from "effect"
import { type Integer, maxDigits } from "../../domain/Integer.ts"

/**
 * Reads single members from JSON text in bytes, without parsing the rest. A position of -1 means that there is no value, or
 * that the text is not JSON up to there; no value starts there. Nothing here throws, and nothing is checked beyond the
 * requested place.
 */

export const openBrace = 0x7b
export const closeBrace = 0x7d
export const openBracket = 0x5b
const closeBracket = 0x5d
const quote = 0x22
const minus = 0x2d
const backslash = 0x5c
const colon = 0x3a
const comma = 0x2c

/** The position of a member of an object. Reused from member to member. */
export interface Member {
  /** The text of the key, without its quotes. */
  keyStart: number
  keyEnd: number
  /** The first byte of the value. */
  valueStart: number
}

export const makeMember = (): Member => ({ keyStart: 0, keyEnd: 0, valueStart: 0 })

/** Returns the position of the first byte at or after `at` that is not white space. */
export const skipSpace = (text: Buffer, at: number): number => {
  let i = at
  while (isSpace(text[i])) i++
  return i
}

/** Returns the end of the text without trailing white space. */
export const trimmedEnd = (text: Buffer): number => {
  let end = text.length
  while (end > 0 && isSpace(text[end - 1])) end--
  return end
}

/**
 * Reads the key of the next member. `at` is after the object's opening brace or after a value. Returns the position of the
 * value, or -1 at the object's end and if there is no member.
 */
export const nextMember = (text: Buffer, at: number, member: Member): number => {
  let i = skipSpace(text, at)
  if (text[i] === comma) i = skipSpace(text, i + 1)
  if (text[i] !== quote) return -1
  const keyEnd = skipString(text, i) - 1
  if (keyEnd < 0) return -1
  member.keyStart = i + 1
  member.keyEnd = keyEnd
  i = skipSpace(text, keyEnd + 1)
  if (text[i] !== colon) return -1
  member.valueStart = skipSpace(text, i + 1)
  return member.valueStart
}

/** Whether the bytes in [start, end) are this ASCII text. */
export const equals = (text: Buffer, start: number, end: number, expected: string): boolean => {
  if (end - start !== expected.length) return false
  for (let i = 0; i < expected.length; i++) {
    if (text[start + i] !== expected.charCodeAt(i)) return false
  }
  return true
}

export const isKey = (text: Buffer, member: Member, key: string): boolean =>
  equals(text, member.keyStart, member.keyEnd, key)

/**
 * Returns the position of the value of a key in the object that starts at `at`; -1 if it has none. Later members are not read.
 */
export const find = (text: Buffer, at: number, key: string, member: Member): number => {
  let value = nextMember(text, at + 1, member)
  while (value >= 0 && !isKey(text, member, key)) {
    const behind = skipValue(text, value)
    value = behind < 0 ? -1 : nextMember(text, behind, member)
  }
  return value
}

/**
 * Reads an object in one pass: the positions of the values of these keys go to `values` (-1 for a missing key; the last one
 * counts if a key appears twice). Returns the position after the object, or -1 if it is cut off or is not an object.
 */
export const readObject = (
  text: Buffer,
  at: number,
  keys: ReadonlyArray<string>,
  values: Int32Array,
  member: Member
): number => {
  values.fill(-1)
  if (text[at] !== openBrace) return -1
  let behind = at + 1
  while (true) {
    const value = nextMember(text, behind, member)
    if (value < 0) break
    for (let i = 0; i < keys.length; i++) {
      if (isKey(text, member, keys[i] ?? "")) {
        values[i] = value
        break
      }
    }
    behind = skipValue(text, value)
    if (behind < 0) return -1
  }
  const end = skipSpace(text, behind)
  return text[end] === closeBrace ? end + 1 : -1
}

/**
 * Returns the position of the next value of an array. `at` is after the array's opening bracket or after one of its values. -1
 * at its end and if it is not an array.
 */
export const nextItem = (text: Buffer, at: number): number => {
  if (at < 0) return -1
  let i = skipSpace(text, at)
  if (text[i] === comma) i = skipSpace(text, i + 1)
  return i < text.length && text[i] !== closeBracket ? i : -1
}

/** Returns the position after the value that starts at `at`, of any type. */
export const skipValue = (text: Buffer, at: number): number => {
  const first = text[at]
  if (first === quote) return skipString(text, at)
  if (first !== openBrace && first !== openBracket) return skipScalar(text, at)
  let depth = 0
  let i = at
  while (i < text.length) {
    const byte = text[i]
    if (byte === quote) {
      i = skipString(text, i)
      if (i < 0) return -1
      continue
    }
    if (byte === openBrace || byte === openBracket) depth++
    else if (byte === closeBrace || byte === closeBracket) {
      depth--
      if (depth === 0) return i + 1
    }
    i++
  }
  return -1
}

/** Returns the string that starts at `at`, unescaped; undefined if there is none. */
export const stringAt = (text: Buffer, at: number): string | undefined => {
  if (at < 0 || text[at] !== quote) return undefined
  const end = skipString(text, at)
  if (end < 0) return undefined
  const raw = text.toString("utf8", at + 1, end - 1)
  return raw.includes("\\") ? unescapeJson(`"${raw}"`) : raw
}

/*
 * Integers can be quoted or not: exchanges change from one to the other, and the number stays the same.
 */

/** Returns the digits of the non-negative integer that starts at `at`, as written; undefined if there is none. */
export const integerTextAt = (text: Buffer, at: number): string | undefined => {
  const start = behindQuote(text, at)
  const end = integerEnd(text, start, start !== at)
  return end < 0 ? undefined : text.toString("latin1", start, end)
}

/** Returns the non-negative integer that starts at `at`; NaN if there is none or it is above 2^53. */
export const integerAt = (text: Buffer, at: number): number => {
  const start = behindQuote(text, at)
  return numberOf(text, start, integerEnd(text, start, start !== at))
}

/** Returns the integer that starts at `at`, which can be negative; NaN if there is none or its magnitude is above 2^53. */
export const signedIntegerAt = (text: Buffer, at: number): number => {
  const start = behindQuote(text, at)
  return text[start] === minus
    ? -numberOf(text, start + 1, integerEnd(text, start + 1, start !== at))
    : numberOf(text, start, integerEnd(text, start, start !== at))
}

/** The same, exact for any size up to the maximum number of digits. */
export const exactIntegerAt = (text: Buffer, at: number): Integer => {
  const start = behindQuote(text, at)
  const end = integerEnd(text, start, start !== at)
  const number = numberOf(text, start, end)
  return Number.isNaN(number) && end >= 0 && end - start <= maxDigits
    ? BigInt(text.toString("latin1", start, end))
    : number
}

/** The same for an integer that can be negative. */
export const exactSignedIntegerAt = (text: Buffer, at: number): Integer => {
  const start = behindQuote(text, at)
  if (text[start] !== minus) return exactIntegerAt(text, at)
  const end = integerEnd(text, start + 1, start !== at)
  const number = numberOf(text, start + 1, end)
  return Number.isNaN(number) && end >= 0 && end - start <= maxDigits
    ? BigInt(text.toString("latin1", start, end))
    : -number
}

/**
 * Returns the id that starts at `at`: a non-empty string, or the digits of a non-negative integer; undefined for anything else.
 */
export const idAt = (text: Buffer, at: number): string | undefined =>
  text[at] === quote ? stringAt(text, at) || undefined : integerTextAt(text, at)

/** Whether the whole frame is one JSON object from its first brace to its last, judging by the braces only. */
export const looksLikeObject = (text: Buffer): boolean => {
  const start = skipSpace(text, 0)
  const end = trimmedEnd(text)
  return end - start >= 2 && text[start] === openBrace && text[end - 1] === closeBrace
}

const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39

/** Returns the position after the closing quote of the string that starts at `at`. */
const skipString = (text: Buffer, at: number): number => {
  for (let i = at + 1; i < text.length; i++) {
    const byte = text[i]
    if (byte === quote) return i + 1
    if (byte === backslash) i++
  }
  return -1
}

/** Returns the position after the number or word that starts at `at`. */
const skipScalar = (text: Buffer, at: number): number => {
  let i = at
  while (i < text.length && isScalarByte(text[i])) i++
  return i === at ? -1 : i
}

const isScalarByte = (byte: number | undefined): boolean =>
  isDigit(byte) ||
  (byte !== undefined && byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x2d ||
  byte === 0x2b ||
  byte === 0x2e ||
  byte === 0x45

const behindQuote = (text: Buffer, at: number): number => (text[at] === quote ? at + 1 : at)

/**
 * Returns the position after the last digit of an integer; -1 if there is none, it has a leading zero, or it is not an integer.
 */
const integerEnd = (text: Buffer, at: number, isQuoted: boolean): number => {
  if (at < 0) return -1
  let i = at
  while (isDigit(text[i])) i++
  if (i === at || (text[at] === 0x30 && i > at + 1)) return -1
  return isQuoted === (text[i] === quote) && !isScalarByte(text[i]) ? i : -1
}

/** Returns the value of the digits in [start, end). */
const numberOf = (text: Buffer, start: number, end: number): number => {
  if (end < 0) return Number.NaN
  let value = 0
  for (let i = start; i < end; i++) value = value * 10 + ((text[i] ?? 0) - 0x30)
  return value <= Number.MAX_SAFE_INTEGER ? value : Number.NaN
}

const unescapeJson = (json: string): string | undefined =>
  Option.getOrUndefined(
    Option.filter(
      Either.getRight(Either.try((): unknown => JSON.parse(json))),
      (value): value is string => typeof value === "string"
    )
  )
