import { Duration } from "effect"
import type { MessageQuota } from "./Exchange.ts"

/** Spaces messages so that quotas are never exceeded, whatever moment their periods are counted from. */
export interface Pacer {
  /**
   * Reserves a slot, or as many as a message weighs, and returns the milliseconds to wait from `now` (milliseconds, never
   * decreasing). The caller must send then.
   */
  readonly reserve: (now: number, weight?: number) => number
  /** Records a ping sent now: it takes a slot where pings count. */
  readonly ping: (now: number) => void
}

/**
 * Makes a pacer for quotas. It stays one below each, because answers to pings count too, and extends each period by half a
 * second: what we send can be delayed that long on its way, and then arrives together with what was sent later. Remembers as
 * many times as the counts of its quotas.
 */
export const makePacer = (quotas: ReadonlyArray<MessageQuota>): Pacer => {
  const windows = quotas.map(({ count, per, requestsOnly = false }) => ({
    requestsOnly,
    times: new Float64Array(Math.max(1, count - 1)).fill(Number.NEGATIVE_INFINITY),
    next: 0,
    millis: Duration.toMillis(per) + holdUpMillis
  }))
  const ofPings = windows.filter(({ requestsOnly }) => !requestsOnly)
  const reserve = (counting: typeof windows, now: number, weight: number) => {
    let at = now
    for (const { millis, next, times } of counting) {
      for (let slot = 0; slot < Math.min(weight, times.length); slot++) {
        at = Math.max(at, (times[(next + slot) % times.length] ?? Number.NEGATIVE_INFINITY) + millis)
      }
    }
    for (const window of counting) {
      for (let slot = 0; slot < Math.min(weight, window.times.length); slot++) {
        window.times[window.next] = at
        window.next = (window.next + 1) % window.times.length
      }
    }
    return at - now
  }
  return {
    reserve: (now, weight = 1) => reserve(windows, now, weight),
    ping: (now) => void reserve(ofPings, now, 1)
  }
}

const holdUpMillis = 500
