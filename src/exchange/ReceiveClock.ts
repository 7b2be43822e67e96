import { Context, Layer } from "effect"

/** Two clocks of the host, both in microseconds. */
export interface TimeSources {
  /** Since the epoch, in whole milliseconds: the true time lies in [wall, wall + 1000). */
  readonly wall: () => number
  /** Never goes back; exact to the microsecond; its zero is arbitrary. */
  readonly monotonic: () => number
}

/** The wall clock was set, or kept running while the host slept: from one time to another, microseconds since the epoch. */
export interface ClockStep {
  readonly from: number
  readonly to: number
}

/** Stamps messages on receipt. */
export class ReceiveClock extends Context.Tag("collector/ReceiveClock")<
  ReceiveClock,
  {
    /**
     * The current time, integer microseconds since the epoch; never less than the previous stamp, unless the wall clock was set
     * back by a second or more.
     */
    readonly unsafeNow: () => number
    /** Microseconds of a clock that is never set, as of the last `unsafeNow`: for intervals. */
    readonly unsafeElapsed: () => number
    /** Registers the listener for steps of the wall clock, called before the first stamp after each. Only one listener. */
    readonly onStep: (listener: (step: ClockStep) => void) => void
  }
>() {
  static readonly layer = Layer.sync(this, () =>
    makeReceiveClock({
      wall: () => Date.now() * 1000,
      monotonic: () => performance.now() * 1000
    })
  )
}

/**
 * Makes a microsecond clock from a wall clock of milliseconds: the monotonic clock plus an anchor. The anchor moves only as far
 * as needed to keep the sum within the millisecond that the wall clock shows: a few readings make it exact, and then it follows
 * the wall clock when that is set, is slewed, or kept running while the host slept. After a step back of less than a second the
 * stamps stand still until the wall clock has caught up; after a longer one they go back with it.
 */
export const makeReceiveClock = (sources: TimeSources): ReceiveClock["Type"] => {
  let anchor = sources.wall() - sources.monotonic()
  let last = 0
  let elapsed = 0
  let listener: (step: ClockStep) => void = () => {}

  const correct = () => {
    for (let attempt = 0; attempt < 3; attempt++) {
      const before = sources.monotonic()
      const wall = sources.wall()
      const after = sources.monotonic()
      if (after - before > maxReadingMicros) continue
      const behind = wall - (anchor + after)
      const ahead = anchor + before - (wall + 999)
      const correction = behind > 0 ? behind : ahead > 0 ? -ahead : 0
      anchor += correction
      if (Math.abs(correction) >= stepMicros)
        tell(Math.floor(anchor + after - correction), Math.floor(anchor + after))
      return
    }
  }

  const tell = (from: number, to: number) => listener({ from: Math.max(from, last), to })

  return {
    unsafeNow: (): number => {
      const wall = sources.wall()
      elapsed = sources.monotonic()
      const now = anchor + elapsed
      if (now < wall || now >= wall + 1000) {
        correct()
        elapsed = sources.monotonic()
        return advance(anchor + elapsed)
      }
      return advance(now)
    },
    unsafeElapsed: () => elapsed,
    onStep: (hear) => {
      listener = hear
    }
  }

  function advance(now: number): number {
    const stamp = Math.floor(now)
    if (stamp > last || last - stamp >= epochMicros) last = stamp
    return last
  }
}

/** Readings of both clocks that took longer were interrupted in between, and say nothing about their difference. */
const maxReadingMicros = 50

/** A correction of the wall clock by this much at once is a step, not slewing. */
const stepMicros = 100_000

/** Stamps follow when the clock is set back by this much. */
const epochMicros = 1_000_000
