/**
 * How long a connection is kept before another one takes over from it, although the exchange announces its end. Without a
 * pause, a server that announces the end of every new connection at once would have them replaced endlessly. Milliseconds since
 * the connection took over.
 */
export interface HandoverPause {
  readonly millis: number
  /** The maximum of `millis`. */
  readonly longest: number
}

/**
 * The initial state: no pause before the first handover. `notice` is how far in advance the exchange announces the end, if it
 * says so.
 */
export const noPause = (notice = Number.POSITIVE_INFINITY): HandoverPause => ({
  millis: 0,
  longest: Math.min(longestMillis, notice / 2)
})

/**
 * Returns the pause for a connection that took over from one whose end was announced at this age: none if that took at least a
 * minute, otherwise 15 s, doubling every time.
 */
export const afterHandover = ({ longest, millis }: HandoverPause, age: number): HandoverPause => ({
  millis: age >= youngMillis ? 0 : Math.min(Math.max(2 * millis, firstMillis), longest),
  longest
})

/** Returns the pause after a connection ended at this age while it was kept: the next ones are handed over earlier. */
export const afterCut = (pause: HandoverPause, age: number): HandoverPause => {
  const longest = Math.min(pause.longest, Math.max(firstMillis, age / 2))
  return { millis: Math.min(pause.millis, longest), longest }
}

const firstMillis = 15_000
const longestMillis = 300_000
const youngMillis = 60_000
