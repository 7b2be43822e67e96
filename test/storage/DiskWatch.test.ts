import { describe, expect, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Logger, LogLevel } from "effect"
import { watchDisk } from "../../src/storage/DiskWatch.ts"
import { storage, temporaryFolder } from "../support/storage.ts"

/** A clock whose sleepers wait for nothing, and whose wall clock is set back by an hour during the fifth sleep. */
const setBackClock = () => {
  let sleeps = 0
  const passed = () => sleeps * 5000
  const wall = () => 10_000_000 + passed() - (sleeps >= 5 ? 3_600_000 : 0)
  const nanos = () => BigInt(passed()) * 1_000_000n
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    currentTimeMillis: Effect.sync(wall),
    currentTimeNanos: Effect.sync(nanos),
    unsafeCurrentTimeMillis: wall,
    unsafeCurrentTimeNanos: nanos,
    sleep: () =>
      Effect.zipRight(
        Effect.sync(() => sleeps++),
        Effect.yieldNow()
      )
  }
  return { clock, sleeps: () => sleeps }
}

describe("a disk that is nearly full", () => {
  it.scopedLive("starts an archive cycle once a minute, even if the clock is set back", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { clock, sleeps } = setBackClock()
      const after: Array<number> = []
      const done = yield* Deferred.make<void>()
      yield* watchDisk({
        databasePath: `${folder}/c.db`,
        minFree: Number.MAX_SAFE_INTEGER,
        archive: Effect.suspend(() => {
          after.push(sleeps())
          return after.length === 3 ? Deferred.succeed(done, undefined) : Effect.void
        })
      }).pipe(Effect.withClock(clock), Effect.race(Deferred.await(done)))
      expect(after).toEqual([0, 12, 24])
    }).pipe(Logger.withMinimumLogLevel(LogLevel.None), Effect.provide(storage))
  )
})
