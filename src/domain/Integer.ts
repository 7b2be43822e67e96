import { Schema } from "effect"

/**
 * An integer from an exchange, exact at any size: a number where that is exact, otherwise a bigint. The type follows from the
 * size, so `===`, `<` and `>` compare them directly. NaN stands for none. Numbers are as cheap as ordinary numbers: only beyond
 * 2^53 is there extra work.
 */
export type Integer = number | bigint

/** In JSON a number, or a string beyond 2^53. */
export const Integer = Schema.Union(Schema.Number, Schema.BigInt)

/** Parses digits, with an optional minus sign; NaN for anything else. */
export const integerOf = (digits: string): Integer => {
  const number = Number(digits)
  if (Number.isSafeInteger(number)) return number
  return digits.length <= maxDigits && /^-?\d+$/.test(digits) ? BigInt(digits) : Number.NaN
}

/** The longest numbers known from exchanges have 28 digits; anything longer than this is not a number. */
export const maxDigits = 64

/** Adds a small number to an integer. */
export const plus = (a: Integer, b: number): Integer => {
  if (typeof a === "number") {
    const sum = a + b
    if (Number.isSafeInteger(sum) || !Number.isSafeInteger(a)) return sum
  }
  return shortest(BigInt(a) + BigInt(b))
}

/** Returns the distance from one to the other as a number: exact if below 2^53, however large they are. */
export const distance = (from: Integer, to: Integer): number =>
  (typeof from === "number" && typeof to === "number") || !isWhole(from) || !isWhole(to)
    ? Number(to) - Number(from)
    : Number(BigInt(to) - BigInt(from))

/** Returns the lesser one; NaN if either is. */
export const least = (a: Integer, b: Integer): Integer => (b < a || Number.isNaN(b) ? b : a)

/** Returns the greater one; NaN if either is. */
export const greatest = (a: Integer, b: Integer): Integer => (b > a || Number.isNaN(b) ? b : a)

/** Converts an integer to its JSON value. */
export const integerInJson = (integer: Integer): number | string =>
  typeof integer === "bigint" ? String(integer) : integer

const shortest = (integer: bigint): Integer => {
  const number = Number(integer)
  return Number.isSafeInteger(number) ? number : integer
}

const isWhole = (integer: Integer): boolean => typeof integer === "bigint" || Number.isSafeInteger(integer)
