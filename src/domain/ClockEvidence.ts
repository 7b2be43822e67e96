import type { JournalEvent } from "./JournalEvent.ts"

/** What the journal says about the wall clock of a server, over some time. Microseconds. */
export interface ClockEvidence {
  /** How often it was measured, and of these, how often a time daemon said how far it was from the true time. */
  readonly measured: number
  readonly estimated: number
  /** The furthest that it was ahead of the true time, and behind it, as far as was estimated; null if it never was. */
  readonly maxOffset: number | null
  readonly minOffset: number | null
  /** The most by which an estimate may be wrong. */
  readonly maxBound: number | null
  /** The most by which it went, within a minute, from where the monotonic clock says it should be; without a sign. */
  readonly maxDrift: number
  /** How often it was set. */
  readonly steps: number
}

export const noClockEvidence: ClockEvidence = {
  measured: 0,
  estimated: 0,
  maxOffset: null,
  minOffset: null,
  maxBound: null,
  maxDrift: 0,
  steps: 0
}

export const isAboutClock = ({ _tag }: JournalEvent): boolean =>
  _tag === "ClockStepped" || _tag === "ClockMeasured"

/** The evidence after an event. */
export const applyToClock = (of: ClockEvidence, event: JournalEvent): ClockEvidence => {
  switch (event._tag) {
    case "ClockStepped":
      return { ...of, steps: of.steps + 1 }
    case "ClockMeasured": {
      const { bound, drift, offset } = event
      const measured = {
        ...of,
        measured: of.measured + 1,
        maxDrift: Math.max(of.maxDrift, Math.abs(drift))
      }
      return offset === null || bound === null
        ? measured
        : {
            ...measured,
            estimated: of.estimated + 1,
            maxOffset: Math.max(of.maxOffset ?? offset, offset),
            minOffset: Math.min(of.minOffset ?? offset, offset),
            maxBound: Math.max(of.maxBound ?? bound, bound)
          }
    }
    default:
      return of
  }
}
