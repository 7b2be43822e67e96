import { describe, expect, it } from "@effect/vitest"
import { attempted, isSilent, makeStreamWatch, restart, tick } from "../../src/exchange/StreamWatch.ts"

/** Lets seconds pass, with a message every `every` of them, and tells in which seconds something was to be done. */
const watch = () => {
  const state = makeStreamWatch()
  let second = 0
  return {
    state,
    pass: (seconds: number, every = Number.POSITIVE_INFINITY, timeout = 60) => {
      const actions: Array<number> = []
      for (let i = 1; i <= seconds; i++) {
        second++
        if (i % every === 0) {
          state.messages++
          state.live = true
        }
        tick(state)
        if (isSilent(state, timeout)) {
          actions.push(second)
          attempted(state)
        }
      }
      return actions
    }
  }
}

describe("StreamWatch", () => {
  it("acts on a stream that never said anything, twice each time, and waits twice as long each time, up to an hour", () => {
    const { pass } = watch()
    const actions = pass(20_000)
    expect(actions.slice(0, 6)).toEqual([60, 120, 240, 300, 540, 600])
    const pauses = actions.slice(1).map((at, i) => at - (actions[i] ?? 0))
    expect(Math.max(...pauses)).toBe(3600)
  })

  it("acts on a lively stream after the timeout, on a quiet one later", () => {
    const lively = watch()
    lively.pass(30, 1)
    expect(lively.pass(130)).toEqual([30 + 60, 30 + 120])
    const quiet = watch()
    quiet.pass(3, 1)
    expect(quiet.pass(700)).toEqual([3 + 600, 3 + 660])
  })

  it("learns what is usual", () => {
    const { pass } = watch()
    pass(12, 1)
    expect(pass(600, 50)).toEqual([])
    expect(pass(100)).toEqual([])
    expect(pass(100).length).toBe(1)
  })

  it("does not learn from a silence that asking again ended", () => {
    const { pass, state } = watch()
    pass(20, 1)
    pass(60)
    expect(state.attempts).toBe(1)
    pass(20, 1)
    expect(state.attempts).toBe(0)
    expect(state.longestQuiet).toBeLessThan(5)
  })

  it("knows that a stream was lively on the connection before", () => {
    const { pass, state } = watch()
    pass(30, 1)
    restart(state)
    pass(3, 1)
    expect(pass(130)).toEqual([33 + 60, 33 + 120])
  })

  it("keeps what was done when a new connection begins", () => {
    const { pass, state } = watch()
    pass(60)
    restart(state)
    expect(state.attempts).toBe(1)
    expect(pass(59)).toEqual([])
    expect(pass(1).length).toBe(1)
  })
})
