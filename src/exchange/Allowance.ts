/** Admits a limited number of things and of bytes. */
export interface Allowance {
  /** Whether something of this size can pass now (`now` in milliseconds, never decreasing). */
  readonly take: (bytes: number, now: number) => boolean
}

export interface AllowanceLimits {
  /** How many per second, and how many at once. */
  readonly perSecond: number
  readonly burst: number
  readonly bytesPerSecond: number
  readonly burstBytes: number
  /** The largest size admitted. */
  readonly maxBytes: number
}

/** Makes an allowance. Unused capacity is saved up to one burst. A refusal costs nothing. */
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
