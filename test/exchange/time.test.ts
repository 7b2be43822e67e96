import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { fromMillisOrMicros, fromRfc3339At } from "../../src/exchange/decoding/time.ts"

const micros = (text: string) => fromRfc3339At(Buffer.from(`"${text}"`), 0)

describe("exchange times", () => {
  it.each([
    ["2026-09-30T02:39:53.788628813Z", 1790735993788628],
    ["2026-09-30T02:39:53.78865513Z", 1790735993788655],
    ["2026-09-30T02:39:53.75Z", 1790735993750000],
    ["2026-09-30T02:39:53Z", 1790735993000000],
    ["2026-09-30T04:39:53.5+02:00", 1790735993500000],
    ["1970-01-01T00:00:00Z", null],
    ["0001-01-01T00:00:00.000000Z", null],
    ["2026-09-30 02:39:54.167689127 +0000 UTC", null],
    ["2026-09-30", null],
    ["", null]
  ])("%s", (text, expected) => {
    expect(micros(text)).toBe(expected)
  })

  it("agrees with Date on every millisecond", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.date({ min: new Date("2010-01-01"), max: new Date("2099-01-01") }),
        (date) => {
          FastCheck.pre(!Number.isNaN(date.getTime()))
          expect(micros(date.toISOString())).toBe(date.getTime() * 1000)
        }
      )
    )
  })

  it("never throws, whatever the text is", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string(), FastCheck.integer({ min: -1, max: 10 }), (text, at) => {
        const time = fromRfc3339At(Buffer.from(text), at)
        expect(time === null || Number.isInteger(time)).toBe(true)
      })
    )
  })

  it("tells milliseconds from microseconds, and refuses what is neither", () => {
    expect(fromMillisOrMicros(1790134742106)).toBe(1790134742106000)
    expect(fromMillisOrMicros(1691530805062000)).toBe(1691530805062000)
    expect(fromMillisOrMicros(0)).toBeNull()
    expect(fromMillisOrMicros(Number.NaN)).toBeNull()
    expect(fromMillisOrMicros(1790134742)).toBeNull()
  })
})
