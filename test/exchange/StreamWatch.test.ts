import { describe, expect, it } from "@effect/vitest"
import { learnPause, makePauseHabit, patienceOf, usualPause } from "../../src/exchange/PauseHabit.ts"
import { makeSilenceWatch } from "../../src/exchange/SilenceWatch.ts"
import { attempted, makeStreamWatch, restart, type StreamWatch } from "../../src/exchange/StreamWatch.ts"

/** Streams of one connection. Lets seconds pass, and tells in which of them something was to be done. */
const watchAll = (count: number, timeout = 60) => {
  const silence = makeSilenceWatch(timeout, makePauseHabit())
  const watches = Array.from({ length: count }, makeStreamWatch)
  let second = 0
  /** `speaks`: whether a message of the stream comes in this second. */
  const pass = (seconds: number, speaks: (stream: number, second: number) => boolean) => {
    const actions: Array<{ readonly stream: number; readonly second: number }> = []
    for (let i = 0; i < seconds; i++) {
      second++
      for (const [stream, watch] of watches.entries()) if (speaks(stream, second)) say(watch)
      silence.tick(watches)
      for (const [stream, watch] of watches.entries()) {
        if (!silence.isSilent(watch)) continue
        actions.push({ stream, second })
        attempted(watch)
      }
    }
    return actions
  }
  return { watches, pass }
}

const say = (watch: StreamWatch) => {
  watch.messages++
  watch.live = true
}

/** A stream by itself, with a message every `every` seconds. */
const watch = (timeout = 60) => {
  const { pass, watches } = watchAll(1, timeout)
  const [state = makeStreamWatch()] = watches
  return {
    state,
    pass: (seconds: number, every = Number.POSITIVE_INFINITY) => {
      let passed = 0
      return pass(seconds, () => ++passed % every === 0).map(({ second }) => second)
    }
  }
}

/** Numbers between 0 and 1, neither of them included. */
const chance = (seed: number) => {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296
    return (state + 1) / 4_294_967_297
  }
}

describe("StreamWatch", () => {
  it("acts on a stream that never said anything after ten times the timeout, and after twice as long each time, up to a day", () => {
    const { pass } = watch()
    const actions = pass(500_000)
    expect(actions.slice(0, 4)).toEqual([600, 1800, 4200, 9000])
    const pauses = actions.slice(1).map((at, i) => at - (actions[i] ?? 0))
    expect(Math.max(...pauses)).toBe(86_400)
  })

  it("acts on a lively stream after the timeout, twice each time, and waits twice as long each time, up to an hour", () => {
    const { pass } = watch()
    pass(30, 1)
    const actions = pass(40_000).map((second) => second - 30)
    expect(actions.slice(0, 6)).toEqual([60, 120, 240, 360, 600, 840])
    const pauses = actions.slice(1).map((at, i) => at - (actions[i] ?? 0))
    expect(Math.max(...pauses)).toBe(3600)
  })

  it("acts on one that has had few messages after ten times the timeout", () => {
    const { pass } = watch()
    pass(3, 1)
    expect(pass(1300)).toEqual([3 + 600, 3 + 1200])
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
    expect(usualPause(state.habit)).toBe(1)
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
    pass(20, 1)
    pass(60)
    restart(state)
    expect(state.attempts).toBe(1)
    expect(pass(59)).toEqual([])
    expect(pass(1).length).toBe(1)
  })

  it("judges a stream that was never heard by the others of its exchange", () => {
    const { pass } = watchAll(10)
    // all but the first one every 20 minutes
    const actions = pass(86_400, (stream, second) => stream > 0 && second % 1200 === 130 * stream)
    expect(actions.every(({ stream }) => stream === 0)).toBe(true)
    expect(actions[0]?.second).toBeGreaterThan(3600)
    expect(actions[0]?.second).toBeLessThan(4 * 3600)
  })
})

describe("what is usual", () => {
  it("is a pause that is rarely exceeded, counted by time", () => {
    const habit = makePauseHabit()
    // 16 hours of a message a minute, and a night of one an hour
    for (let i = 0; i < 16 * 60; i++) learnPause(habit, 60)
    for (let i = 0; i < 8; i++) learnPause(habit, 3600)
    expect(usualPause(habit)).toBeGreaterThanOrEqual(3600)
    expect(usualPause(habit)).toBeLessThan(3600 * Math.SQRT2)
  })

  it("is hardly known after few pauses", () => {
    const habit = makePauseHabit()
    learnPause(habit, 64)
    expect(patienceOf(habit)).toBe(64 * 53)
    for (let i = 0; i < 100; i++) learnPause(habit, 64)
    expect(Math.round(patienceOf(habit))).toBe(64 * 3)
  })

  it("is not changed by one long pause", () => {
    const { pass, state } = watch()
    pass(100, 1)
    pass(3600)
    pass(100, 1)
    expect(pass(61)).toHaveLength(1)
    expect(usualPause(state.habit)).toBe(1)
  })

  it("is forgotten in days: a stream that has become lively is watched as one", () => {
    const { pass } = watch()
    pass(3 * 86_400, 1800)
    expect(pass(3600)).toEqual([])
    pass(6 * 86_400, 1)
    expect(pass(61)).toHaveLength(1)
  })

  it("is not learned from a halt of the whole exchange, of which there may be many", () => {
    const { pass, watches } = watchAll(3)
    const speaks = (stream: number, second: number) => second % (stream === 0 ? 1 : 20 * stream) === 0
    pass(2 * 3600, speaks)
    const before = watches.map(({ habit }) => usualPause(habit))
    for (let halt = 0; halt < 4; halt++) {
      pass(3600, () => false)
      pass(3600, speaks)
    }
    expect(watches.map(({ habit }) => usualPause(habit))).toEqual(before)
    const dead = pass(200, (stream, second) => stream > 0 && speaks(stream, second))
    expect(dead.map(({ stream }) => stream)).toContain(0)
  })
})

describe("a week of 200 quiet streams", () => {
  it.each([
    ["on one connection", 1],
    ["on ten connections", 10]
  ] as const)(
    "%s brings less than one action a stream, and what dies then is noticed by its habit",
    (_, connections) => {
      // a tick stands for ten seconds, so that the test is a short one
      const [timeout, day] = [6, 8640]
      const random = chance(connections)
      const groups = Array.from({ length: connections }, () => watchAll(200 / connections, timeout))
      let actions = 0
      for (const [group, { pass }] of groups.entries()) {
        // 2 to 60 minutes
        const means = Array.from(
          { length: 200 / connections },
          (_, i) => 12 + (348 * (i * connections + group)) / 199
        )
        const pause = (stream: number) => -Math.log(random()) * (means[stream] ?? 0)
        const due = means.map((_, stream) => pause(stream))
        const speaks = (stream: number, second: number) => {
          if ((due[stream] ?? 0) > second) return false
          due[stream] = second + pause(stream)
          return true
        }
        actions += pass(7 * day, speaks).length
        const noticed = new Map<number, number>()
        for (const { second, stream } of pass(2 * day, () => false)) {
          if (!noticed.has(stream)) noticed.set(stream, (second - 7 * day) / (means[stream] ?? 0))
        }
        expect(noticed.size).toBe(200 / connections)
        expect(Math.max(...noticed.values())).toBeLessThan(30)
      }
      expect(actions).toBeLessThan(100)
    }
  )
})
