/**
 * Notices that a stream is silent. Time is counted in ticks, by calling `tick` once a second; a message only counts up.
 */
export interface StreamWatch {
  /** Messages so far, those that only tell a state not counted. */
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
 * Whether it is time to do something about a stream's silence: for one that was lively, or says nothing at all on this
 * connection, `timeoutSeconds`, or much more than is usual for it where that is longer. A quiet market may say nothing for
 * minutes: what has had few messages is given ten times as long. The first attempt is followed by a second one after another
 * `timeoutSeconds`; every such pair that did not help doubles the time to the next, up to an hour.
 */
export const isSilent = (watch: StreamWatch, timeoutSeconds: number): boolean => {
  if (watch.attempts % 2 === 1) return watch.sinceAttempt >= timeoutSeconds
  const isQuiet = watch.live && watch.messages < livelyMessages
  const patience = Math.max(
    isQuiet ? quietFactor * timeoutSeconds : timeoutSeconds,
    unusualFactor * watch.longestQuiet
  )
  return (
    watch.sinceAttempt >=
    Math.min(patience * 2 ** (watch.attempts / 2), Math.max(patience, maxPatienceSeconds))
  )
}

/** Something was done about the silence. */
export const attempted = (watch: StreamWatch): void => {
  watch.attempts++
  watch.sinceAttempt = 0
}

/** Begins a new connection: whether it is lively, what is usual, and what was done about it, stays known. */
export const restart = (watch: StreamWatch): void => {
  watch.live = false
  if (watch.attempts === 0) watch.quietFor = 0
  watch.sinceAttempt = 0
}

/** What comes so soon after an attempt came because of it: the silence before it was not the market's. */
const helpSeconds = 15

const livelyMessages = 10
const unusualFactor = 3
const quietFactor = 10
const maxPatienceSeconds = 3600
