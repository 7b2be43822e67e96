import { Schema } from "effect"

/**
 * An integer of an exchange, exact however large: a number where that is exact, else a bigint. Which of the two it is says its
 * size, so that `===`, `<` and `>` compare them as they are. NaN stands for none. Numbers cost what numbers cost: only beyond
 * 2^53 is there more to do.
 */
export type Integer = number | bigint

/** As JSON a number, or beyond 2^53 a text. */
export const Integer = Schema.Union(Schema.Number, Schema.BigInt)

/** Of digits, perhaps with a minus before them; NaN for all else. */
export const integerOf = (digits: string): Integer => {
  const number = Number(digits)
  if (Number.isSafeInteger(number)) return number
  return digits.length <= maxDigits && /^-?\d+$/.test(digits) ? BigInt(digits) : Number.NaN
}

/** The longest numbers that exchanges are known to have have 28; what has more than this is no number. */
export const maxDigits = 64

/** An integer and a small one. */
export const plus = (a: Integer, b: number): Integer => {
  if (typeof a === "number") {
    const sum = a + b
    if (Number.isSafeInteger(sum) || !Number.isSafeInteger(a)) return sum
  }
  return shortest(BigInt(a) + BigInt(b))
}

/** How far it is from one to the other, as a number: exact if that is below 2^53, however large they are. */
export const distance = (from: Integer, to: Integer): number =>
  (typeof from === "number" && typeof to === "number") || !isWhole(from) || !isWhole(to)
    ? Number(to) - Number(from)
    : Number(BigInt(to) - BigInt(from))

/** The lesser one; NaN if either is. */
export const least = (a: Integer, b: Integer): Integer => (b < a || Number.isNaN(b) ? b : a)

/** The greater one; NaN if either is. */
export const greatest = (a: Integer, b: Integer): Integer => (b > a || Number.isNaN(b) ? b : a)

/** For JSON. */
export const integerInJson = (integer: Integer): number | string =>
  typeof integer === "bigint" ? String(integer) : integer

const shortest = (integer: bigint): Integer => {
  const number = Number(integer)
  return Number.isSafeInteger(number) ? number : integer
}

const isWhole = (integer: Integer): boolean => typeof integer === "bigint" || Number.isSafeInteger(integer)
