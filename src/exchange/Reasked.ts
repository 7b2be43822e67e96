/**
 * A renewed subscription to a stream on a connection that already carries it: the exchange may send its state again, once. If
 * another state arrives within that time, the exchange sent it on its own because something was lost, and it is unknown which
 * of the two was the answer.
 */
export interface Reasked {
  /** When the subscription was renewed, microseconds; NaN if it was not. */
  at: number
  /** When the last message before the state that was taken for the answer arrived; NaN if there was no such state. */
  after: number
}

export const makeReasked = (): Reasked => ({ at: Number.NaN, after: Number.NaN })

export const reask = (of: Reasked, now: number): void => {
  of.at = now
  of.after = Number.NaN
}

/** Whether a state counts as the answer: the first one that arrives in time, if messages arrived until then. */
export const isAnswer = (of: Reasked, now: number, lastMessageAt: number): boolean => {
  if (!Number.isNaN(of.after) || !(now - of.at < answerMicros)) return false
  of.after = lastMessageAt
  return now - lastMessageAt < answerMicros
}

/** Since when messages may be missing before a state that is not an answer. */
export const unsureSince = (of: Reasked, now: number, lastMessageAt: number): number =>
  now - of.at < answerMicros && !Number.isNaN(of.after) ? of.after : lastMessageAt

/** How soon the state must arrive, and the maximum age of the last message at that time. */
const answerMicros = 10_000_000
