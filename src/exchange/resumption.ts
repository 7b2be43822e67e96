import type { GapDetected } from "../domain/ExchangeEvent.ts"
import type { LastMessage } from "../domain/LastMessage.ts"
import { judge, nothingSeen, numbersAround, type Place } from "./Continuity.ts"
import type { TrackedStream } from "./TrackedStream.ts"

/** The first message of a stream since the process began. `at` is when it was received, microseconds since the epoch. */
export interface FirstMessage extends Place {
  readonly at: number
}

/**
 * The number up to which a message goes, by its sequence id: of `7`, of `3-7` and of `3-7-5` it is 7. NaN for ids that are
 * spelled in another way, those of snapshots among them.
 */
export const numberOf = (exchangeSequenceId: string): number => {
  const match = /^(\d+)(?:-(\d+)(?:-\d+)?)?(?:~.*)?$/.exec(exchangeSequenceId)
  return match === null ? Number.NaN : Number(match[2] ?? match[1])
}

/**
 * What is missing between the last message that an earlier process committed and the first one of this process, once both
 * are known. None where their numbers prove that nothing is, or prove nothing.
 */
export const gapOverRestart = (
  { id, rule }: TrackedStream,
  before: LastMessage,
  first: FirstMessage
): typeof GapDetected.Type | undefined => {
  if (rule.kind === "none" || rule.scope !== "stream" || !rule.spansConnections) return undefined
  const last = numberOf(before.exchangeSequenceId)
  const verdict = judge(rule.kind, { ...nothingSeen, last }, first)
  if (verdict._tag !== "Gap") return undefined
  return {
    _tag: "GapDetected",
    at: first.at,
    stream: id,
    rule: rule.kind,
    scope: "stream",
    ...numbersAround(rule.kind, verdict.hole),
    size: verdict.size,
    after: before.at,
    before: first.at
  }
}
