/**
 * Notices that a stream is silent. Time is counted in ticks, by calling `tick` once a second; a message only counts up.
 */
export interface StreamWatch {
  /** Messages on this connection, those that only tell a state not counted. */
  messages: number
  /** Whether anything came on this connection. */
  live: boolean
  /** Seconds since the last message. */
  quietFor: number
  /** The longest time without a message between two messages, seconds: what is usual for this stream. */
  longestQuiet: number
  /** Messages as of the last tick. */
  counted: number
  /** How often something was done about its silence since the last message, and the seconds since the last time. */
  attempts: number
  sinceAttempt: number
}

export const makeStreamWatch = (): StreamWatch => ({
  messages: 0,
  live: false,
  quietFor: 0,
  longestQuiet: 0,
  counted: 0,
  attempts: 0,
  sinceAttempt: 0
})

/** One second has passed. */
export const tick = (watch: StreamWatch): void => {
  if (watch.messages > watch.counted) {
    const helped = watch.attempts > 0 && watch.sinceAttempt <= helpSeconds
    if ((watch.counted > 0 || watch.attempts > 0) && !helped) {
      watch.longestQuiet = Math.max(watch.longestQuiet, watch.quietFor)
    }
    watch.counted = watch.messages
    watch.quietFor = 0
    watch.attempts = 0
    watch.sinceAttempt = 0
  } else {
    watch.quietFor++
    watch.sinceAttempt++
  }
}

/**
 * Whether it is time to do something about a stream's silence: `timeoutSeconds` without any message at all, or, for a
 * stream that was lively, that and much more than is usual for it. A quiet market may say nothing for minutes: what has had
 * few messages is given ten times as long, and every attempt that did not help doubles the time to the next, up to an hour.
 */
export const isSilent = (watch: StreamWatch, timeoutSeconds: number): boolean => {
  const usual = unusualFactor * watch.longestQuiet
  const patience =
    watch.messages >= livelyMessages
      ? Math.max(timeoutSeconds, usual)
      : watch.live
        ? Math.max(quietFactor * timeoutSeconds, usual)
        : timeoutSeconds
  return (
    watch.sinceAttempt >= Math.min(patience * 2 ** watch.attempts, Math.max(patience, maxPatienceSeconds))
  )
}

/** Something was done about the silence. */
export const attempted = (watch: StreamWatch): void => {
  watch.attempts++
  watch.sinceAttempt = 0
}

/** Begins a new connection: what is usual for the stream, and what was done about it, stays known. */
export const restart = (watch: StreamWatch): void => {
  watch.messages = 0
  watch.live = false
  watch.counted = 0
  if (watch.attempts === 0) watch.quietFor = 0
  watch.sinceAttempt = 0
}

/** What comes so soon after an attempt came because of it: the silence before it was not the market's. */
const helpSeconds = 15

const livelyMessages = 10
const unusualFactor = 3
const quietFactor = 10
const maxPatienceSeconds = 3600
