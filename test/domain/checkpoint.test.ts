import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck, HashMap, Schema } from "effect"
import { endOfJournal } from "../../src/domain/Coverage/ending.ts"
import { beginJournal } from "../../src/domain/Coverage/journals.ts"
import { type Coverage, noCoverage } from "../../src/domain/Coverage/state.ts"
import { applyToCoverage } from "../../src/domain/Coverage.ts"
import {
  advanced,
  CheckpointText,
  emptyCheckpoint,
  inNewEpoch,
  resumed,
  shortened
} from "../../src/domain/CoverageCheckpoint.ts"
import { daysOf } from "../../src/domain/CoverageReport.ts"
import type { JournalEntry } from "../../src/domain/JournalEvent.ts"
import type { Window } from "../../src/domain/Window.ts"
import { runs } from "../support/runs.ts"
import { journals, killedProcesses, recordings, shifted } from "./events.ts"

const said = (state: Coverage, range: Window) =>
  Array.from(HashMap.entries(endOfJournal(state).streams))
    .map(([key, coverage]) => [key, daysOf(coverage, range, true)] as const)
    .filter(([, days]) => days.length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))

const foldOf = (entries: ReadonlyArray<JournalEntry>, from: Coverage) => entries.reduce(applyToCoverage, from)

const kept = (checkpoint: typeof CheckpointText.Type) =>
  Schema.decodeSync(CheckpointText)(Schema.encodeSync(CheckpointText)(checkpoint))

/** A recording during which the clock is set, by minutes at most. */
const clockSteps = FastCheck.tuple(
  recordings,
  FastCheck.array(FastCheck.tuple(FastCheck.nat(60), FastCheck.integer({ min: -120, max: 120 })), {
    maxLength: 3
  })
).map(([entries, steps]) => {
  const all: Array<JournalEntry> = []
  let by = 0
  for (const [n, entry] of entries.entries()) {
    for (const [place, seconds] of steps) {
      if (place !== n) continue
      const from = entry.at + by
      by += seconds * 1_000_000
      const to = entry.at + by
      all.push({ id: all.length + 1, at: to, event: { _tag: "ClockStepped", at: to, from, to } })
    }
    all.push({ ...shifted(entry, by), id: all.length + 1 })
  }
  return all
})

/** Each with another place to cut, in parts of some entries. */
const cuts = FastCheck.array(FastCheck.nat(30), { minLength: 1, maxLength: 5 })

const checkpointOf = (entries: ReadonlyArray<JournalEntry>, lengths: ReadonlyArray<number>) => {
  let checkpoint = emptyCheckpoint("j")
  let from = 0
  for (const length of lengths) {
    const part = entries.slice(from, from + length)
    if (part.length > 0) checkpoint = kept(shortened(advanced(checkpoint, part, "text")))
    from += part.length
  }
  return { checkpoint, rest: entries.slice(from) }
}

describe("a checkpoint of coverage", () => {
  it.each([
    ["any events", journals],
    ["a recording", recordings],
    ["processes that were killed", killedProcesses.map(({ entries }) => entries)],
    ["a clock that is set", clockSteps]
  ])("goes on as the whole journal does, for the time after it: %s", async (_, arbitrary) => {
    await FastCheck.assert(
      FastCheck.asyncProperty(arbitrary, cuts, FastCheck.nat(20_000_000), async (entries, lengths, later) => {
        await setImmediate()
        const { checkpoint, rest } = checkpointOf(entries, lengths)
        const range = { from: checkpoint.until + later, to: Number.MAX_SAFE_INTEGER }
        expect(said(foldOf(rest, resumed(noCoverage, checkpoint)), range)).toEqual(
          said(foldOf(entries, noCoverage), range)
        )
      }),
      { numRuns: runs(150) }
    )
  })

  it("continues if the database was lost or restored from a copy", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(
        recordings,
        recordings,
        cuts,
        FastCheck.boolean(),
        async (earlier, later, lengths, goesBack) => {
          await setImmediate()
          const start = goesBack ? Math.floor(earlier.length / 2) : 0
          const after = goesBack ? (earlier[start - 1]?.id ?? 0) : 0
          const entries = later.map((entry, n) => ({ ...shifted(entry, 600_000_000), id: after + n + 1 }))
          const whole = foldOf(
            entries,
            beginJournal(endOfJournal(foldOf(earlier, noCoverage)), { after, goesBack })
          )
          const begin = goesBack
            ? inNewEpoch(checkpointOf(earlier.slice(0, start), [start]).checkpoint, "k", after)
            : emptyCheckpoint("k")
          let checkpoint = begin
          let from = 0
          for (const length of lengths) {
            const part = entries.slice(from, from + length)
            if (part.length > 0) checkpoint = kept(shortened(advanced(checkpoint, part, "text")))
            from += part.length
          }
          const before = beginJournal(endOfJournal(foldOf(earlier, noCoverage)), { after, goesBack })
          if (from === 0) return
          const range = { from: checkpoint.until, to: Number.MAX_SAFE_INTEGER }
          expect(said(foldOf(entries.slice(from), resumed(before, checkpoint)), range)).toEqual(
            said(whole, range)
          )
        }
      ),
      { numRuns: runs(150) }
    )
  })
})
