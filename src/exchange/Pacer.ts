import { Duration } from "effect"
import type { MessageQuota } from "./Exchange.ts"

/** Spaces things out so that quotas are never exceeded, whatever moment their time is counted from. */
export interface Pacer {
  /** Milliseconds to wait from `now` (milliseconds, never less than before). Whoever asks has to go then. */
  readonly reserve: (now: number) => number
  /** A ping goes now: it takes a place where pings count. */
  readonly ping: (now: number) => void
}

/**
 * A pacer for quotas. It stays one below each, because answers to pings count too, and counts its time half a second longer:
 * what leaves us may be held up so long on its way, and then arrives together with what left later. Remembers as many times
 * as the counts of its quotas.
 */
export const makePacer = (quotas: ReadonlyArray<MessageQuota>): Pacer => {
  const windows = quotas.map(({ count, per, requestsOnly = false }) => ({
    requestsOnly,
    times: new Float64Array(Math.max(1, count - 1)).fill(Number.NEGATIVE_INFINITY),
    next: 0,
    millis: Duration.toMillis(per) + holdUpMillis
  }))
  const ofPings = windows.filter(({ requestsOnly }) => !requestsOnly)
  const reserve = (of: typeof windows, now: number) => {
    let at = now
    for (const { millis, next, times } of of) {
      at = Math.max(at, (times[next] ?? Number.NEGATIVE_INFINITY) + millis)
    }
    for (const window of of) {
      window.times[window.next] = at
      window.next = (window.next + 1) % window.times.length
    }
    return at - now
  }
  return {
    reserve: (now) => reserve(windows, now),
    ping: (now) => void reserve(ofPings, now)
  }
}

const holdUpMillis = 500
