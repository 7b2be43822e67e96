import { describe, expect, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import { pace } from "../support/pace.ts"
import { makeFolder } from "../support/process.ts"
import { boundaries, drainAndCompare, killAfter, killAt, storeModes } from "./torture.ts"

/** `npm run torture` sets this: all of it, which takes an hour; else a sample. */
const isWhole = process.env.TORTURE === "whole"
const randomCrashes = isWhole ? 200 : 9

describe.concurrent("killed with SIGKILL while 2,000 messages a second come in and archives are made", () => {
  it.scopedLive(
    "at every boundary between two steps, puts each message into one object, and loses none",
    () =>
      Effect.gen(function* () {
        const folder = yield* makeFolder
        // entries have to be there before any are pruned
        yield* killAfter(folder, 5000, "healthy")
        for (const boundary of boundaries) {
          yield* killAt(folder, boundary)
          if (isWhole) expect((yield* drainAndCompare(folder)).faults, boundary).toEqual([])
        }
        const { faults, messages, objects } = yield* drainAndCompare(folder)
        expect(faults).toEqual([])
        yield* Console.log(
          `survived ${boundaries.length} crashes at step boundaries: ${messages} messages in ${objects} objects`
        )
      }),
    (isWhole ? 3_000_000 : 900_000) * pace
  )

  it.scopedLive(
    "at random moments, the store healthy, slow or failing",
    () =>
      Effect.gen(function* () {
        const folder = yield* makeFolder
        for (let crash = 0; crash < randomCrashes; crash++) {
          const store = storeModes[crash % storeModes.length] ?? "healthy"
          const millis = Math.round(100 + Math.random() * (isWhole ? 5000 : 2500))
          yield* killAfter(folder, millis, store)
          if (isWhole && crash % 10 === 9) {
            expect((yield* drainAndCompare(folder)).faults, `after crash ${crash + 1}`).toEqual([])
          }
        }
        const { faults, messages, objects } = yield* drainAndCompare(folder)
        expect(faults).toEqual([])
        yield* Console.log(
          `survived ${randomCrashes} crashes at random moments: ${messages} messages in ${objects} objects`
        )
      }),
    (isWhole ? 3_000_000 : 900_000) * pace
  )
})
