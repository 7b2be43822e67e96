import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Option, TestClock } from "effect"
import type { ClockMeasured } from "../../src/domain/JournalEvent.ts"
import { watchClock } from "../../src/operations/ClockWatch.ts"

describe("the clock watch", () => {
  it.effect("measures once a minute how far the wall clock drifted, and what the time daemon estimates", () =>
    Effect.gen(function* () {
      const told: Array<typeof ClockMeasured.Type> = []
      const clock = yield* Effect.clock
      let step = 0
      let estimate: Option.Option<{ readonly offset: number; readonly bound: number }> = Option.none()
      const set: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + step,
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + step),
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
        currentTimeNanos: clock.currentTimeNanos,
        sleep: (duration) => clock.sleep(duration)
      }
      yield* watchClock(
        (measured) => told.push(measured),
        Effect.suspend(() => Effect.succeed(estimate))
      ).pipe(Effect.withClock(set), Effect.fork)
      yield* TestClock.adjust("1 minute")
      step = -250
      estimate = Option.some({ offset: 0.0025, bound: 0.01 })
      yield* TestClock.adjust("1 minute")
      yield* TestClock.adjust("1 minute")
      expect(told).toMatchObject([
        { drift: 0, offset: null, bound: null, source: "unknown" },
        { drift: -250_000, offset: 2500, bound: 10_000, source: "chrony" },
        { drift: 0, offset: 2500, bound: 10_000, source: "chrony" }
      ])
    })
  )
})
