import { learnPause, makePauseHabit, type PauseHabit, patienceOf } from "./PauseHabit.ts"

/**
 * Notices that a stream is silent. Time is counted in ticks, once a second, by the `SilenceWatch` of its connection; a message
 * only increments a counter.
 */
export interface StreamWatch {
  /** Messages so far, not counting those that only describe a state. */
  messages: number
  /** Whether anything arrived on this connection. */
  live: boolean
  /** Seconds since the last message. */
  quietFor: number
  /**
   * How many of these seconds the whole connection was quiet although several streams were due: nothing is learned from them.
   */
  sharedQuiet: number
  readonly habit: PauseHabit
  /** The value of `messages` at the last tick. */
  counted: number
  /** How many attempts were made to end its silence since the last message, and the seconds since the last attempt. */
  attempts: number
  sinceAttempt: number
}

export const makeStreamWatch = (): StreamWatch => ({
  messages: 0,
  live: false,
  quietFor: 0,
  sharedQuiet: 0,
  habit: makePauseHabit(),
  counted: 0,
  attempts: 0,
  sinceAttempt: 0
})

/** Counts one second. What is learned about the stream is also learned for `all` streams of the exchange. */
export const tick = (watch: StreamWatch, all: PauseHabit): void => {
  if (watch.messages > watch.counted) {
    const pause = watch.quietFor + 1 - watch.sharedQuiet
    const helped = watch.attempts > 0 && watch.sinceAttempt <= helpSeconds
    if (pause > 0 && !helped) {
      learnPause(watch.habit, pause)
      learnPause(all, pause)
    }
    watch.counted = watch.messages
    watch.quietFor = 0
    watch.sharedQuiet = 0
    watch.attempts = 0
    watch.sinceAttempt = 0
  } else {
    watch.quietFor++
    watch.sinceAttempt++
  }
}

/**
 * Whether it is time to act on a stream's silence. That is after `timeoutSeconds`, or after much more than is usual for the
 * stream if that is longer; for a stream with few messages after at least ten times the timeout, and for one with none after
 * much more than is usual for `all` of its exchange if that is longer. A second attempt follows after the same time again, and
 * every further pair of attempts that did not help doubles the time to the next one, up to an hour; for a stream that was never
 * heard every attempt doubles it, up to a day.
 */
export const isSilent = (watch: StreamWatch, timeoutSeconds: number, all: PauseHabit): boolean => {
  if (watch.sinceAttempt < timeoutSeconds) return false
  const first = patience(watch, timeoutSeconds, all)
  const isHeard = watch.messages > 0
  const doublings = isHeard ? Math.floor(watch.attempts / 2) : watch.attempts
  const longest = Math.max(first, isHeard ? maxPatienceSeconds : maxFirstPatienceSeconds)
  return watch.sinceAttempt >= Math.min(first * 2 ** doublings, longest)
}

/** Seconds of silence after which it is acted on. */
export const patience = (watch: StreamWatch, timeoutSeconds: number, all: PauseHabit): number =>
  Math.max(
    watch.messages < livelyMessages ? quietFactor * timeoutSeconds : timeoutSeconds,
    watch.habit.pauses === 0
      ? patienceOf(all)
      : patienceOf(watch.habit, Math.max(watch.habit.pauses, watch.messages - 1))
  )

/** Records an attempt to end the silence. */
export const attempted = (watch: StreamWatch): void => {
  watch.attempts++
  watch.sinceAttempt = 0
}

/** Starts over on a new connection, keeping whether the stream is lively, what is usual for it, and the attempts made. */
export const restart = (watch: StreamWatch): void => {
  watch.live = false
  if (watch.attempts === 0) {
    watch.quietFor = 0
    watch.sharedQuiet = 0
  }
  watch.sinceAttempt = 0
}

/** A message this soon after an attempt was caused by it: the silence before it was not the market's. */
const helpSeconds = 15

const livelyMessages = 10
const quietFactor = 10
const maxPatienceSeconds = 3600
const maxFirstPatienceSeconds = 86_400
