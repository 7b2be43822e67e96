import { describe, expect, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import { pace } from "../support/pace.ts"
import { soak } from "./soak.ts"

/** `npm run soak` takes ten minutes, or SOAK_SECONDS. SOAK_SEED repeats one. */
const seconds = Number(process.env.SOAK_SECONDS ?? 30)
const seed = Number(process.env.SOAK_SEED ?? Date.now() % 1_000_000)

describe("all exchanges at once, misbehaving", () => {
  it.live(
    "records every hole, and nothing but holes",
    () =>
      Effect.gen(function* () {
        const outcome = yield* soak({ seconds, seed })
        const { differences, ...counts } = outcome
        if (seconds > 60) yield* Console.log(JSON.stringify({ seed, ...counts }, null, 2))
        expect({ seed, differences }).toEqual({ seed, differences: [] })
        expect(outcome.violations).toEqual([])
        expect(outcome.gaps).toBeGreaterThan(0)
        expect(outcome.messages).toBeGreaterThan(seconds * 100)
      }),
    (seconds + 600) * 1000 * pace
  )
})
