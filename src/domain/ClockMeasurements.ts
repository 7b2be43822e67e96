import { Schema } from "effect"
import type { JournalEvent } from "./JournalEvent.ts"

/** What the journal says about a server's wall clock over a period. Microseconds. */
export const ClockMeasurements = Schema.Struct({
  /**
   * How many times it was measured, and how many of those included a time daemon's estimate of its distance from the true time.
   */
  measured: Schema.Number,
  estimated: Schema.Number,
  /** The largest estimated distance ahead of the true time, and behind it; null if it was never estimated. */
  maxOffset: Schema.NullOr(Schema.Number),
  minOffset: Schema.NullOr(Schema.Number),
  /** The largest error bound of any estimate. */
  maxBound: Schema.NullOr(Schema.Number),
  /** The largest deviation, within a minute, from where the monotonic clock says it should be; unsigned. */
  maxDrift: Schema.Number,
  /** How many times it was set. */
  steps: Schema.Number
})
export type ClockMeasurements = typeof ClockMeasurements.Type

export const noClockMeasurements: ClockMeasurements = {
  measured: 0,
  estimated: 0,
  maxOffset: null,
  minOffset: null,
  maxBound: null,
  maxDrift: 0,
  steps: 0
}

/** Combines the measurements of two periods that do not overlap. */
export const combined = (a: ClockMeasurements, b: ClockMeasurements): ClockMeasurements => ({
  measured: a.measured + b.measured,
  estimated: a.estimated + b.estimated,
  maxOffset: either(Math.max, a.maxOffset, b.maxOffset),
  minOffset: either(Math.min, a.minOffset, b.minOffset),
  maxBound: either(Math.max, a.maxBound, b.maxBound),
  maxDrift: Math.max(a.maxDrift, b.maxDrift),
  steps: a.steps + b.steps
})

const either = (
  choose: (a: number, b: number) => number,
  a: number | null,
  b: number | null
): number | null => (a === null ? b : b === null ? a : choose(a, b))

export const isAboutClock = ({ _tag }: JournalEvent): boolean =>
  _tag === "ClockStepped" || _tag === "ClockMeasured"

/** Returns the measurements after an event. */
export const applyToClock = (known: ClockMeasurements, event: JournalEvent): ClockMeasurements => {
  switch (event._tag) {
    case "ClockStepped":
      return { ...known, steps: known.steps + 1 }
    case "ClockMeasured": {
      const { bound, drift, offset } = event
      const measured = {
        ...known,
        measured: known.measured + 1,
        maxDrift: Math.max(known.maxDrift, Math.abs(drift))
      }
      return offset === null || bound === null
        ? measured
        : {
            ...measured,
            estimated: known.estimated + 1,
            maxOffset: Math.max(known.maxOffset ?? offset, offset),
            minOffset: Math.min(known.minOffset ?? offset, offset),
            maxBound: Math.max(known.maxBound ?? bound, bound)
          }
    }
    default:
      return known
  }
}
