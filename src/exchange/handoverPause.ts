/**
 * How long a connection is kept before another one takes over from it, although the exchange announces its end: a server that
 * announces the end of every new connection at once would have them replaced without end. Milliseconds since it took over.
 */
export interface HandoverPause {
  readonly millis: number
  /** What it is at most. */
  readonly longest: number
}

/** None before the first handover. `notice`: how long before the end the exchange announces it, where it says so. */
export const noPause = (notice = Number.POSITIVE_INFINITY): HandoverPause => ({
  millis: 0,
  longest: Math.min(longestMillis, notice / 2)
})

/**
 * That of a connection that took over from one whose end was announced at this age: none where that had been quiet for a minute,
 * else 15 s, and every time twice as long.
 */
export const afterHandover = ({ longest, millis }: HandoverPause, age: number): HandoverPause => ({
  millis: age >= youngMillis ? 0 : Math.min(Math.max(2 * millis, firstMillis), longest),
  longest
})

/** The connection ended at this age, while it was kept: the next ones are to be handed over before. */
export const afterCut = (pause: HandoverPause, age: number): HandoverPause => {
  const longest = Math.min(pause.longest, Math.max(firstMillis, age / 2))
  return { millis: Math.min(pause.millis, longest), longest }
}

const firstMillis = 15_000
const longestMillis = 300_000
const youngMillis = 60_000
