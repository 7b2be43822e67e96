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

  it("has pings take no place where only requests count", () => {
    const pacer = makePacer([
      { count: 10, per: Duration.seconds(1) },
      { count: 480, per: Duration.hours(1), requestsOnly: true }
    ])
    // for an hour a ping every 20 s, and a request after each
    for (let at = 0; at < 3_600_000; at += 20_000) {
      pacer.ping(at)
      expect(pacer.reserve(at + 5)).toBe(0)
    }
    // 480 less the 180 requests, and one that is kept back
    const waits = Array.from({ length: 300 }, (_, i) => pacer.reserve(3_599_000 + i * 200))
    expect(waits.slice(0, 299).every((wait) => wait === 0)).toBe(true)
    const counting = makePacer([{ count: 3, per: Duration.seconds(1) }])
    counting.ping(0)
    expect([counting.reserve(0), counting.reserve(0) > 1000]).toEqual([0, true])
  })

  it("lets the first ones through at once", () => {
    const pacer = makePacer([{ count: 5, per: Duration.seconds(1) }])
    expect([1, 2, 3, 4].map(() => pacer.reserve(0))).toEqual([0, 0, 0, 0])
    expect(pacer.reserve(0)).toBeGreaterThan(1000)
  })
})
