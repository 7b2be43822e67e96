import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck, HashMap, Option } from "effect"
import { endOfJournal } from "../../src/domain/Coverage/ending.ts"
import { beginJournal } from "../../src/domain/Coverage/journals.ts"
import { type Coverage, noCoverage } from "../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../src/domain/Coverage.ts"
import { holesOf, wantedIn } from "../../src/domain/CoverageReport.ts"
import { type StreamId, streamKey } from "../../src/domain/StreamId.ts"
import { difference, type Window } from "../../src/domain/Window.ts"
import { runs } from "../support/runs.ts"
import { book, trade } from "../support/snapshots.ts"
import { lostOf, type Model, models } from "./collectorModel.ts"

const everything = { from: 0, to: Number.MAX_SAFE_INTEGER }

/** Who of the parts, one after the other, is gone from the archive: over and over again. */
const missingParts = FastCheck.array(FastCheck.boolean(), { minLength: 1, maxLength: 8 })

interface Reader {
  readonly missing: ReadonlyArray<boolean>
  /** Whether it has the database, too. */
  readonly isLive: boolean
  /** Whether the last part of each journal is there whatever is missing. */
  readonly hasLast?: boolean
}

const read = ({ journals }: Model, { hasLast = false, isLive, missing }: Reader): Coverage => {
  let state = noCoverage
  let n = 0
  for (const [i, { database, life, parts }] of journals.entries()) {
    state = beginJournal(state, { after: 0, goesBack: false })
    const entries = parts.flatMap((part, place) => {
      const isMissing = missing[n++ % missing.length] === true
      return isMissing && !(hasLast && place === parts.length - 1) ? [] : part
    })
    if (isLive && i === journals.length - 1) {
      const last = entries.at(-1)?.id ?? 0
      entries.push(...database.filter(({ id }) => id > last))
      if (life !== undefined) entries.push({ id: 0, at: life.lastSeen, event: life })
    }
    state = endOfJournal(entries.reduce(applyToCoverage, state))
  }
  return state
}

const verified = ({ streams }: Coverage, stream: StreamId): ReadonlyArray<Window> =>
  Option.match(HashMap.get(streams, streamKey(stream)), {
    onNone: () => [],
    onSome: (coverage) => difference(wantedIn(coverage, everything), holesOf(coverage, everything))
  })

/** A message's own microsecond is no time. */
const longer = ({ from, to }: Window) => to - from > 1

const numRuns = runs(200)

describe("verified time", () => {
  // Of a clock that is set, and of a database that is lost, the whole journal leaves more in doubt than has to be.
  it("does not grow if parts of the journal are missing", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(
        models({
          without: [
            "step back",
            "step forward",
            "kill, with no clock after it",
            "overflow",
            "lose the database"
          ]
        }),
        missingParts,
        FastCheck.boolean(),
        async (model, missing, isLive) => {
          await setImmediate()
          const whole = read(model, { missing: [false], isLive })
          const cut = read(model, { missing, isLive })
          for (const stream of [book, trade]) {
            expect(difference(verified(cut, stream), verified(whole, stream)).filter(longer)).toEqual([])
          }
        }
      ),
      { numRuns }
    )
  })

  // Of a clock that is set back only what comes later tells which times came twice.
  it.each([
    ["whatever fails", { isLive: [true, false] }, { without: ["step back"] as const }],
    ["even if the clock is set back", { isLive: [true] }, { without: ["lose the database"] as const }]
  ])("contains no lost message, %s", async (_, { isLive }, options) => {
    await FastCheck.assert(
      FastCheck.asyncProperty(
        models(options),
        missingParts,
        FastCheck.constantFrom(...isLive),
        async (model, missing, isLive) => {
          await setImmediate()
          const states = [[false], missing].map((missing) => read(model, { missing, isLive, hasLast: true }))
          for (const state of states) {
            for (const stream of [book, trade]) {
              const claimed = verified(state, stream)
              const lost = lostOf(model, stream)
              expect(lost.filter((at) => claimed.some(({ from, to }) => from <= at && at < to))).toEqual([])
            }
          }
        }
      ),
      { numRuns }
    )
  })

  it("is not empty", () => {
    const whole = FastCheck.sample(
      models({ without: ["kill, with no clock after it", "set the clock"] }),
      100
    ).map((model) => read(model, { missing: [false], isLive: true }))
    expect(whole.filter((state) => verified(state, book).some(longer)).length).toBeGreaterThan(20)
  })
})
