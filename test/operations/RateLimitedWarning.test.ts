import { describe, expect, it } from "@effect/vitest"
import { Effect, HashMap, Logger, TestClock } from "effect"
import { makeRateLimitedWarning } from "../../src/operations/RateLimitedWarning.ts"

describe("RateLimitedWarning", () => {
  it.effect("warns once per interval and key, and counts the rest", () =>
    Effect.gen(function* () {
      const { lines, logger } = recorder()
      yield* Effect.gen(function* () {
        const warn = yield* makeRateLimitedWarning({ interval: "10 seconds" })
        for (let i = 0; i < 5; i++) yield* warn("a", "dropped", { stream: "a" })
        yield* warn("b", "dropped")
        expect(lines).toEqual(["dropped stream=a", "dropped"])
        yield* TestClock.adjust("9 seconds")
        yield* warn("a", "dropped", { stream: "a" })
        expect(lines).toHaveLength(2)
        yield* TestClock.adjust("1 second")
        yield* warn("b", "dropped")
        yield* warn("a", "dropped", { stream: "a" })
        yield* warn("a", "dropped", { stream: "a" })
        expect(lines.slice(2)).toEqual(["dropped", "dropped stream=a suppressed=5"])
      }).pipe(Effect.provide(logger))
    })
  )

  it.effect("a flood of keys is no flood of warnings", () =>
    Effect.gen(function* () {
      const { lines, logger } = recorder()
      yield* Effect.gen(function* () {
        const warn = yield* makeRateLimitedWarning({ interval: "10 seconds", maxKeys: 3 })
        yield* Effect.forEach(
          Array.from({ length: 100 }, (_, i) => String(i)),
          (key) => warn(key, key)
        )
        expect(lines).toEqual(["0", "1", "2", "3"])
        yield* TestClock.adjust("10 seconds")
        yield* warn("new", "new")
        yield* warn("newer", "newer")
        expect(lines.slice(4)).toEqual(["new", "newer"])
      }).pipe(Effect.provide(logger))
    })
  )

  it.effect("goes on warning when the clock was set back", () =>
    Effect.gen(function* () {
      const { lines, logger } = recorder()
      yield* Effect.gen(function* () {
        const warn = yield* makeRateLimitedWarning({ interval: "10 seconds" })
        yield* TestClock.setTime(1_000_000)
        yield* warn("a", "first")
        yield* TestClock.setTime(0)
        yield* warn("a", "second")
        expect(lines).toEqual(["first", "second"])
      }).pipe(Effect.provide(logger))
    })
  )
})

const recorder = () => {
  const lines: Array<string> = []
  const logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ annotations, message }) => {
      const fields = HashMap.toEntries(annotations).map(([name, value]) => `${name}=${value}`)
      lines.push([message, ...fields.sort()].join(" "))
    })
  )
  return { lines, logger }
}
