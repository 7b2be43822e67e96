import { Context, Layer } from "effect"

/** Two clocks of the machine, both in microseconds. */
export interface TimeSources {
  /** Since the epoch, in whole milliseconds: the true time lies in [wall, wall + 1000). */
  readonly wall: () => number
  /** Never goes back; exact to the microsecond; counts from any moment. */
  readonly monotonic: () => number
}

/** Stamps messages on receipt. */
export class ReceiveClock extends Context.Tag("collector/ReceiveClock")<
  ReceiveClock,
  {
    /** Now, integer microseconds since the epoch; never less than the stamp before. */
    readonly unsafeNow: () => number
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
 * A clock of microseconds out of a wall clock of milliseconds: the monotonic clock plus an anchor. The anchor moves just
 * as far as it takes to keep the sum within the millisecond that the wall clock shows: a few readings make it exact, and
 * then it follows the wall clock when that is set, is slewed, or has run on while the machine slept. After a step back of
 * the wall clock the stamps stand still until it has caught up.
 */
export const makeReceiveClock = (sources: TimeSources) => {
  let anchor = sources.wall() - sources.monotonic()
  let last = 0

  const correct = () => {
    for (let attempt = 0; attempt < 3; attempt++) {
      const before = sources.monotonic()
      const wall = sources.wall()
      const after = sources.monotonic()
      if (after - before > maxReadingMicros) continue
      const behind = wall - (anchor + after)
      const ahead = anchor + before - (wall + 999)
      if (behind > 0) anchor += behind
      else if (ahead > 0) anchor -= ahead
      return
    }
  }

  return {
    unsafeNow: (): number => {
      const wall = sources.wall()
      const now = anchor + sources.monotonic()
      if (now < wall || now >= wall + 1000) {
        correct()
        return advance(anchor + sources.monotonic())
      }
      return advance(now)
    }
  }

  function advance(now: number): number {
    const stamp = Math.floor(now)
    if (stamp > last) last = stamp
    return last
  }
}

/** Readings of both clocks that took longer were interrupted in between and say nothing about their distance. */
const maxReadingMicros = 50
