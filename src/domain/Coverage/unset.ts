import { Chunk } from "effect"
import type { StreamCoverage } from "./state.ts"

/**
 * The first time that a clock can have, microseconds: the collector is not as old as that. Machines without a battery start in
 * 1970, and have the right time once they reach a time server.
 */
export const firstPlausible = Date.UTC(2020, 0, 1) * 1000

/** Whether the clock was not set yet. What happened then happened at another time: it is no time of the recording. */
export const isUnset = (at: number): boolean => at < firstPlausible

/** Whether the clock was set, and the recording goes on, or begins, at a plausible time. */
export const isSet = (from: number, to: number): boolean => isUnset(from) && !isUnset(to)

/** Returns since when something lasts at `at`: what began before the clock was set did so at an unknown time. */
export const sinceOf = (from: number, at: number): number => (isSet(from, at) ? at : from)

/** Marks the time from then on as in doubt, as far as it was recorded before: by an earlier reckoning, which was another one. */
export const doubtBehind = (coverage: StreamCoverage, at: number): StreamCoverage => {
  const to = Math.max(coverage.wanted.to, coverage.lastMessageAt) + 1
  return to > at + 1 && !isUnset(coverage.wanted.from)
    ? { ...coverage, doubts: Chunk.append(coverage.doubts, { from: at, to, reason: "clock" as const }) }
    : coverage
}

/** Nothing is claimed of a time at which the clock was not set. */
export const doubtUnset = (coverage: StreamCoverage): StreamCoverage =>
  isUnset(coverage.wanted.from)
    ? {
        ...coverage,
        doubts: Chunk.append(coverage.doubts, {
          from: coverage.wanted.from,
          to: Math.min(Math.max(coverage.wanted.to, coverage.wanted.from + 1), firstPlausible),
          reason: "clock" as const
        })
      }
    : coverage
