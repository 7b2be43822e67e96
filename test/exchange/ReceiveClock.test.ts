import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { type ClockStep, makeReceiveClock } from "../../src/exchange/ReceiveClock.ts"

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

  it("goes back with the wall clock when that is set back by a second or more, and says so", () => {
    const { clock, state } = machine()
    const steps: Array<ClockStep> = []
    clock.onStep((step) => steps.push(step))
    const before = clock.unsafeNow()
    state.now += 10_000
    state.step = -3_600_000_000
    const first = clock.unsafeNow()
    expect(steps.length).toBe(1)
    expect(Math.abs(first - (state.now + state.step))).toBeLessThan(1001)
    expect(Math.abs((steps[0]?.from ?? 0) - before - 10_000)).toBeLessThan(1001)
    expect(steps[0]?.to).toBe(first)
    state.now += 5000
    expect(Math.abs(clock.unsafeNow() - first - 5000)).toBeLessThan(1001)
    expect(steps.length).toBe(1)
  })

  it("stands still after a step back of less than a second, until the old time is reached", () => {
    const { clock, state } = machine()
    const steps: Array<ClockStep> = []
    clock.onStep((step) => steps.push(step))
    const before = clock.unsafeNow()
    state.step = -900_000
    state.now += 500_000
    expect(clock.unsafeNow()).toBe(before)
    expect(steps.length).toBe(1)
    state.now += 500_000
    expect(clock.unsafeNow()).toBeGreaterThan(before)
  })

  it("does not stand still for longer than that, however often it is set back", () => {
    const { clock, state } = machine()
    clock.unsafeNow()
    for (let i = 0; i < 40; i++) {
      state.step -= 90_000
      state.now += 10_000
      expect(Math.abs(clock.unsafeNow() - (state.now + state.step))).toBeLessThan(1_001_001)
    }
  })

  it("tells of a step forward, and of none while the clock is slewed", () => {
    const { clock, state } = machine()
    const steps: Array<ClockStep> = []
    clock.onStep((step) => steps.push(step))
    for (let i = 0; i < 1000; i++) {
      state.now += 10_000
      state.step += 5
      clock.unsafeNow()
    }
    expect(steps).toEqual([])
    const before = clock.unsafeNow()
    state.step += 86_400_000_000
    const first = clock.unsafeNow()
    expect(steps).toEqual([{ from: expect.any(Number), to: first }])
    expect(Math.abs((steps[0]?.from ?? 0) - before)).toBeLessThan(1001)
  })

  it("counts intervals by the clock that nobody sets", () => {
    const { clock, state } = machine()
    clock.unsafeNow()
    const before = clock.unsafeElapsed()
    state.now += 1_000_000
    state.step = -3_600_000_000
    clock.unsafeNow()
    expect(clock.unsafeElapsed() - before).toBe(1_000_000)
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
