import type { Discontinuity, GapDetected } from "../domain/ExchangeEvent.ts"
import { type Integer, integerOf } from "../domain/Integer.ts"
import type { LastMessage } from "../domain/LastMessage.ts"
import { judge, nothingSeen, numbersAround, spansConnections } from "./Continuity.ts"
import type { FirstMessage } from "./FirstMessage.ts"
import type { TrackedStream } from "./TrackedStream.ts"

/**
 * Returns the number up to which a message goes, from its sequence id: 7 for `7`, `3-7` and `3-7-5`. NaN for ids of another
 * form, such as those of snapshots.
 */
export const numberOf = (exchangeSequenceId: string): Integer => {
  const match = /^(\d+)(?:-(\d+)(?:-\d+)?)?(?:~.*)?$/.exec(exchangeSequenceId)
  return match === null ? Number.NaN : integerOf(match[2] ?? match[1] ?? "")
}

/**
 * Returns the event for the time between the last message that an earlier process committed and the first one of this process,
 * once both are known: a gap if their numbers prove one, nothing if they prove that there is none. If they prove nothing, for
 * example because they went back, the stream started over: messages may be missing since the last one, including some from
 * while the earlier process was still running.
 */
export const doubtOverRestart = (
  { id, rule }: TrackedStream,
  before: LastMessage,
  first: FirstMessage
): typeof GapDetected.Type | typeof Discontinuity.Type | undefined => {
  const last = spansConnections(rule) ? numberOf(before.exchangeSequenceId) : Number.NaN
  const verdict = judge(rule.kind, { ...nothingSeen, last }, first)
  const times = { after: before.at, before: first.at }
  if (verdict._tag === "Gap" && rule.kind !== "none") {
    return {
      _tag: "GapDetected",
      at: first.at,
      stream: id,
      rule: rule.kind,
      scope: "stream",
      ...numbersAround(rule.kind, verdict.hole),
      size: verdict.size,
      ...times
    }
  }
  const isProven =
    !Number.isNaN(last) && !first.snapshot && (verdict._tag === "Continues" || first.last === last)
  if (isProven) return undefined
  const reason = verdict._tag === "Repeated" ? "set back" : "reconnect"
  const until = reason === "reconnect" ? Math.max(first.since, before.at) : first.at
  return { _tag: "Discontinuity", at: first.at, stream: id, reason, after: before.at, before: until }
}
