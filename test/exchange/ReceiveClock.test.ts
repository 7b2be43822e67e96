import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { makeReceiveClock } from "../../src/exchange/ReceiveClock.ts"

/** A machine's clocks: `now` is the true time in microseconds, `step` is how far the wall clock was set off. */
const machine = () => {
  const state = { now: 1_790_000_000_123_456, step: 0, slept: 0 }
  return {
    state,
    clock: makeReceiveClock({
      wall: () => Math.floor((state.now + state.step) / 1000) * 1000,
      monotonic: () => state.now - state.slept - 1_789_000_000_000_000
    })
  }
}

describe("ReceiveClock", () => {
  it("finds the microseconds that the wall clock does not show", () => {
    const { clock, state } = machine()
    for (let i = 0; i < 5000; i++) {
      state.now += 37
      clock.unsafeNow()
    }
    expect(Math.abs(clock.unsafeNow() - state.now)).toBeLessThan(40)
  })

  it("follows the wall clock when it is set forward, or the machine slept", () => {
    const { clock, state } = machine()
    clock.unsafeNow()
    state.step = 3_600_000_000
    expect(clock.unsafeNow() - (state.now + state.step)).toBeGreaterThan(-1001)
    state.now += 60_000_000
    state.slept = 60_000_000
    expect(clock.unsafeNow() - (state.now + state.step)).toBeGreaterThan(-1001)
  })

  it("never goes back, and is within a millisecond of the wall clock unless that was set back", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(
          FastCheck.tuple(FastCheck.nat({ max: 5000 }), FastCheck.integer({ min: -200, max: 200 })),
          {
            minLength: 1,
            maxLength: 200
          }
        ),
        (moves) => {
          const { clock, state } = machine()
          let last = 0
          let furthest = 0
          for (const [passed, slewed] of moves) {
            state.now += passed + 200
            state.step += slewed
            furthest = Math.max(furthest, state.now + state.step)
            const stamp = clock.unsafeNow()
            expect(stamp).toBeGreaterThanOrEqual(last)
            expect(Number.isInteger(stamp)).toBe(true)
            expect(Math.abs(stamp - furthest)).toBeLessThanOrEqual(1001)
            last = stamp
          }
        }
      )
    )
  })
})
