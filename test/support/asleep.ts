import { Chunk, Effect, TestClock, TestServices } from "effect"

/** Waits until something waits for the test's clock: what was to happen before has happened. */
export const asleep = Effect.zipRight(
  TestServices.provideLive(Effect.sleep("5 millis")),
  TestClock.sleeps()
).pipe(Effect.repeat({ until: Chunk.isNonEmpty }))
