import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Schema } from "effect"
import { distance, greatest, Integer, integerOf, least, plus } from "../../src/domain/Integer.ts"

/** Small ones, those around 2^53, and any. */
const integer = FastCheck.oneof(
  FastCheck.bigInt(-20n, 20n),
  FastCheck.bigInt(2n ** 53n - 5n, 2n ** 53n + 5n),
  FastCheck.bigInt(-(2n ** 53n) - 5n, -(2n ** 53n) + 5n),
  FastCheck.bigInt(-(10n ** 30n), 10n ** 30n)
)
const parsed = (exact: bigint) => integerOf(String(exact))
const schema = Schema.parseJson(Integer)

describe("integers", () => {
  it.prop(
    "are exact, however large they are, and numbers where these are",
    [integer, integer, FastCheck.integer({ min: -10, max: 10 })],
    ([a, b, n]) => {
      const [x, y] = [parsed(a), parsed(b)]
      expect(BigInt(x)).toBe(a)
      expect(typeof x).toBe(a < 2n ** 53n && a > -(2n ** 53n) ? "number" : "bigint")
      expect([x < y, x <= y, x === y, x > y]).toEqual([a < b, a <= b, a === b, a > b])
      expect(plus(x, n)).toBe(parsed(a + BigInt(n)))
      expect(least(x, y)).toBe(a < b ? x : y)
      expect(greatest(x, y)).toBe(a > b ? x : y)
      expect(distance(x, y)).toBe(Number(b - a))
      expect(Schema.decodeSync(schema)(Schema.encodeSync(schema)(x))).toBe(x)
    }
  )

  it("are NaN if there is none", () => {
    for (const large of [1, 2n ** 60n]) {
      for (const get of [least, greatest]) {
        expect(get(large, Number.NaN)).toBeNaN()
        expect(get(Number.NaN, large)).toBeNaN()
      }
    }
    for (const text of ["x", "1.5", "1e400", "9".repeat(65), "0x9007199254740993"])
      expect(integerOf(text)).toBeNaN()
    expect(distance(2n ** 60n, Number.NaN)).toBeNaN()
    expect(distance(2n ** 60n, Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY)
    expect(plus(Number.NaN, 1)).toBeNaN()
    expect(plus(Number.NEGATIVE_INFINITY, 1)).toBe(Number.NEGATIVE_INFINITY)
  })
})
