import { describe, expect, it } from "@effect/vitest"
import { Duration, FastCheck } from "effect"
import { makePacer } from "../../src/exchange/Pacer.ts"

describe("Pacer", () => {
  it("never lets more through than a quota allows, whatever moment its time begins", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.integer({ min: 1, max: 6 }),
        FastCheck.integer({ min: 10, max: 1000 }),
        FastCheck.array(FastCheck.nat({ max: 300 }), { minLength: 1, maxLength: 80 }),
        (count, millis, pauses) => {
          const pacer = makePacer([
            { count, per: Duration.millis(millis) },
            { count: count * 3, per: Duration.millis(millis * 10) }
          ])
          let now = 0
          const times = pauses.map((pause) => {
            now += pause
            const wait = pacer.reserve(now)
            expect(wait).toBeGreaterThanOrEqual(0)
            return now + wait
          })
          expect(times).toEqual([...times].sort((a, b) => a - b))
          const most = (per: number) =>
            Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + per).length))
          expect(most(millis)).toBeLessThanOrEqual(count)
          expect(most(millis * 10)).toBeLessThanOrEqual(count * 3)
        }
      ),
      { numRuns: 300 }
    )
  })

  it("lets the first ones through at once", () => {
    const pacer = makePacer([{ count: 5, per: Duration.seconds(1) }])
    expect([1, 2, 3, 4].map(() => pacer.reserve(0))).toEqual([0, 0, 0, 0])
    expect(pacer.reserve(0)).toBeGreaterThan(1000)
  })
})
