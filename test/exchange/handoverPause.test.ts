import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { afterCut, afterHandover, noPause } from "../../src/exchange/handoverPause.ts"

/** The pauses of the next connections, if the end of each was announced at this age. */
const pausesAfter = (ages: ReadonlyArray<number>, notice?: number) => {
  let pause = noPause(notice)
  return ages.map((age) => {
    pause = afterHandover(pause, age)
    return pause.millis
  })
}

const seconds = (count: number) => 1000 * count

describe("the pause before the next handover", () => {
  it("doubles as long as the end of every new connection is announced soon, up to five minutes", () => {
    expect(pausesAfter([0, 0, 0, 0, 0, 0, 0])).toEqual([15, 30, 60, 120, 240, 300, 300].map(seconds))
  })

  it("is none after a connection that was quiet for a minute", () => {
    expect(pausesAfter([seconds(80_000), 0, seconds(60), 0])).toEqual([0, seconds(15), 0, seconds(15)])
  })

  it("is over well before the exchange closes the connection, where it says when", () => {
    expect(pausesAfter([0, 0, 0], seconds(60))).toEqual([15, 30, 30].map(seconds))
  })

  it("is over before the age at which a connection was cut while it was kept", () => {
    const kept = [0, 0, 0, 0].reduce(afterHandover, noPause())
    const cut = afterCut(kept, seconds(90))
    expect([kept.millis, cut.millis, afterHandover(cut, 0).millis]).toEqual([120, 45, 45].map(seconds))
    expect(afterCut(kept, 10).millis).toBe(seconds(15))
  })

  it("lets no server have connections replaced more than a dozen times in half an hour", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.nat({ max: 59_999 }), { minLength: 40 }), (ages) => {
        let at = 0
        const times = pausesAfter(ages).map((pause, i) => {
          const now = at
          at += Math.max(pause, ages[i + 1] ?? 0)
          return now
        })
        expect(times.filter((time) => time <= 1_800_000).length).toBeLessThanOrEqual(12)
      })
    )
  })
})
