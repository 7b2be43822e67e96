import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, FastCheck, Fiber, TestClock, TestContext } from "effect"
import { makeAttemptLimiter } from "../../src/exchange/AttemptLimiter.ts"

describe("AttemptLimiter", () => {
  it("stays within its quotas, whatever moment of an attempt is counted", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.integer({ min: 1, max: 5 }),
        FastCheck.array(
          FastCheck.record({
            begins: FastCheck.nat({ max: 3000 }),
            takes: FastCheck.nat({ max: 2500 }),
            countedAfter: FastCheck.double({ min: 0, max: 1, noNaN: true })
          }),
          { minLength: 1, maxLength: 30 }
        ),
        (count, attempts) =>
          Effect.gen(function* () {
            const limiter = yield* makeAttemptLimiter([
              { count, per: Duration.seconds(1) },
              { count: count * 2, per: Duration.seconds(5) }
            ])
            const counted: Array<number> = []
            const all = yield* Effect.forEach(
              attempts,
              ({ begins, countedAfter, takes }) =>
                Effect.flatMap(Clock.currentTimeMillis, (now) =>
                  Effect.sync(() => counted.push(now + takes * countedAfter))
                ).pipe(Effect.zipLeft(Effect.sleep(takes)), limiter.admit, Effect.delay(begins)),
              { concurrency: "unbounded", discard: true }
            ).pipe(Effect.fork)
            yield* TestClock.adjust("10 minutes")
            yield* Fiber.join(all)
            expect(counted).toHaveLength(attempts.length)
            const most = (per: number) =>
              Math.max(...counted.map((from) => counted.filter((at) => at >= from && at < from + per).length))
            expect(most(1000)).toBeLessThanOrEqual(count)
            expect(most(5000)).toBeLessThanOrEqual(count * 2)
          }).pipe(Effect.provide(TestContext.TestContext), Effect.runPromise)
      ),
      { numRuns: 25 }
    )
  })

  it.effect("gives back the place of one that is interrupted, waiting or under way", () =>
    Effect.gen(function* () {
      const limiter = yield* makeAttemptLimiter([{ count: 1, per: Duration.seconds(1) }])
      const first = yield* Effect.fork(limiter.admit(Effect.never))
      const second = yield* Effect.fork(limiter.admit(Effect.never))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.interrupt(second)
      yield* Fiber.interrupt(first)
      const third = yield* Effect.fork(limiter.admit(Effect.succeed("made")))
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.poll(third)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(third)).toBe("made")
    })
  )

  it.effect("keeps half of a large quota for those that come after a burst, evenly spread", () =>
    Effect.gen(function* () {
      const limiter = yield* makeAttemptLimiter([{ count: 300, per: Duration.minutes(5) }])
      const times: Array<number> = []
      const attempt = limiter.admit(
        Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => times.push(now)))
      )
      yield* Effect.forkAll(Array.from({ length: 400 }, () => attempt))
      yield* TestClock.adjust("1 hour")
      expect(times).toHaveLength(400)
      expect(times.filter((at) => at === 0)).toHaveLength(150)
      expect(Math.max(...times.map((at, i) => at - (times[i - 1] ?? 0)))).toBe(2000)
      expect(
        Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 300_000).length))
      ).toBeLessThanOrEqual(300)
    })
  )
})
