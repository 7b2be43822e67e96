/**
 * Notices that a stream fell silent. Time is counted in ticks, by calling `tick` once a second; a message only counts up.
 */
export interface StreamWatch {
  /** Messages on this connection. */
  messages: number
  /** Seconds since the last message. */
  quietFor: number
  /** The longest time without a message between two messages, seconds: what is usual for this stream. */
  longestQuiet: number
  /** Messages as of the last tick. */
  counted: number
}

export const makeStreamWatch = (): StreamWatch => ({ messages: 0, quietFor: 0, longestQuiet: 0, counted: 0 })

/** One second has passed. */
export const tick = (watch: StreamWatch): void => {
  if (watch.messages > watch.counted) {
    if (watch.counted > 0) watch.longestQuiet = Math.max(watch.longestQuiet, watch.quietFor)
    watch.counted = watch.messages
    watch.quietFor = 0
  } else {
    watch.quietFor++
  }
}

/**
 * Whether a stream that was lively has been silent for `timeoutSeconds`, and for much longer than is usual for it: a quiet
 * market may say nothing for minutes.
 */
export const isSilent = (watch: StreamWatch, timeoutSeconds: number): boolean =>
  watch.messages >= livelyMessages &&
  watch.quietFor >= Math.max(timeoutSeconds, unusualFactor * watch.longestQuiet)

/** Begins a new connection: what is usual for the stream stays known. */
export const restart = (watch: StreamWatch): void => {
  watch.messages = 0
  watch.counted = 0
  watch.quietFor = 0
}

const livelyMessages = 10
const unusualFactor = 3
