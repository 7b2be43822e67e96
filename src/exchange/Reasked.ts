/**
 * A stream was asked for once more on a connection that brings it: the exchange may send its state anew, once. Another state
 * within that time is one that it sends of itself, since something was lost, and which of the two was the answer cannot be known.
 */
export interface Reasked {
  /** When it was asked for, microseconds, NaN for not. */
  at: number
  /** When the last message before the state came that was taken for the answer; NaN while none was. */
  after: number
}

export const makeReasked = (): Reasked => ({ at: Number.NaN, after: Number.NaN })

export const reask = (of: Reasked, now: number): void => {
  of.at = now
  of.after = Number.NaN
}

/** Whether a state is taken for the answer: the first one that comes in time, if messages came until then. */
export const isAnswer = (of: Reasked, now: number, lastMessageAt: number): boolean => {
  if (!Number.isNaN(of.after) || !(now - of.at < answerMicros)) return false
  of.after = lastMessageAt
  return now - lastMessageAt < answerMicros
}

/** Since when messages may be missing before a state that is no answer. */
export const unsureSince = (of: Reasked, now: number, lastMessageAt: number): number =>
  now - of.at < answerMicros && !Number.isNaN(of.after) ? of.after : lastMessageAt

/** Within what time the state comes, and how old the last message may be then. */
const answerMicros = 10_000_000
