import { learnPause, makePauseHabit, type PauseHabit, patienceOf } from "./PauseHabit.ts"

/**
 * Notices that a stream is silent. Time is counted in ticks, once a second, by the `SilenceWatch` of its connection; a message
 * only counts up.
 */
export interface StreamWatch {
  /** Messages so far, those that only tell a state not counted. */
  messages: number
  /** Whether anything came on this connection. */
  live: boolean
  /** Seconds since the last message. */
  quietFor: number
  /** How many of these nothing came on the whole connection although several streams should have spoken: nothing is learned of them. */
  sharedQuiet: number
  readonly habit: PauseHabit
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
  sharedQuiet: 0,
  habit: makePauseHabit(),
  counted: 0,
  attempts: 0,
  sinceAttempt: 0
})

/** One second has passed. What is learned of the stream is learned of `all` of the exchange as well. */
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
 * Whether it is time to do something about a stream's silence: after `timeoutSeconds`, or much more than is usual for it where
 * that is longer; of one that has had few messages after ten times the timeout at least, and of one that has had none after
 * much more than is usual for `all` of its exchange, where that is longer. A second attempt follows after as long again, and every
 * further pair that did not help doubles the time to the next, up to an hour; for a stream that was never heard every attempt
 * does, up to a day.
 */
export const isSilent = (watch: StreamWatch, timeoutSeconds: number, all: PauseHabit): boolean => {
  if (watch.sinceAttempt < timeoutSeconds) return false
  const first = patience(watch, timeoutSeconds, all)
  const isHeard = watch.messages > 0
  const doublings = isHeard ? Math.floor(watch.attempts / 2) : watch.attempts
  const longest = Math.max(first, isHeard ? maxPatienceSeconds : maxFirstPatienceSeconds)
  return watch.sinceAttempt >= Math.min(first * 2 ** doublings, longest)
}

/** Seconds of silence after which something is done about it. */
export const patience = (watch: StreamWatch, timeoutSeconds: number, all: PauseHabit): number =>
  Math.max(
    watch.messages < livelyMessages ? quietFactor * timeoutSeconds : timeoutSeconds,
    watch.habit.pauses === 0
      ? patienceOf(all)
      : patienceOf(watch.habit, Math.max(watch.habit.pauses, watch.messages - 1))
  )

/** Something was done about the silence. */
export const attempted = (watch: StreamWatch): void => {
  watch.attempts++
  watch.sinceAttempt = 0
}

/** Begins a new connection: whether it is lively, what is usual, and what was done about it, stays known. */
export const restart = (watch: StreamWatch): void => {
  watch.live = false
  if (watch.attempts === 0) {
    watch.quietFor = 0
    watch.sharedQuiet = 0
  }
  watch.sinceAttempt = 0
}

/** What comes so soon after an attempt came because of it: the silence before it was not the market's. */
const helpSeconds = 15

const livelyMessages = 10
const quietFactor = 10
const maxPatienceSeconds = 3600
const maxFirstPatienceSeconds = 86_400
