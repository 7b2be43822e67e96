/** Lets through so many things of so many bytes. */
export interface Allowance {
  /** Whether something of this size may go through now (milliseconds, never less than before). */
  readonly take: (bytes: number, now: number) => boolean
}

export interface AllowanceLimits {
  /** How many a second, and how many at once. */
  readonly perSecond: number
  readonly burst: number
  readonly bytesPerSecond: number
  readonly burstBytes: number
  /** The largest. */
  readonly maxBytes: number
}

/** What was not used is saved up to a burst. What is refused costs nothing. */
export const makeAllowance = (limits: AllowanceLimits): Allowance => {
  const { burst, burstBytes, bytesPerSecond, maxBytes, perSecond } = limits
  let count = burst
  let bytes = burstBytes
  let at = Number.NaN
  return {
    take: (size, now) => {
      const seconds = Number.isNaN(at) ? 0 : (now - at) / 1000
      at = now
      count = Math.min(burst, count + seconds * perSecond)
      bytes = Math.min(burstBytes, bytes + seconds * bytesPerSecond)
      if (size > maxBytes || count < 1 || bytes < size) return false
      count -= 1
      bytes -= size
      return true
    }
  }
}
