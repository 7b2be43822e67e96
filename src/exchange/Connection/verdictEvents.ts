import type { ExchangeEvent } from "../../domain/ExchangeEvent.ts"
import type { MarketStream } from "../../domain/StreamId.ts"
import { type Hole, type NumberedRule, numbersAround, type Verdict } from "../Continuity.ts"
import { timeOf } from "../TrackedStream.ts"

/** When it was noticed, and the receive times of the messages around it; microseconds, NaN where there is none. */
export interface Times {
  readonly at: number
  readonly after: number
  readonly before: number
}

/** Messages of a stream are missing; `size` is null where it cannot be known. */
export const gapDetected = (
  stream: MarketStream,
  { kind, scope }: NumberedRule,
  { hole, size }: { readonly hole: Hole; readonly size: number | null },
  { after, at, before }: Times
): ExchangeEvent => ({
  _tag: "GapDetected",
  at,
  stream,
  rule: kind,
  scope,
  ...numbersAround(kind, hole),
  size,
  after: timeOf(after),
  before
})

/** Nothing says whether messages of a stream are missing between two times. */
export const discontinuity = (
  stream: MarketStream,
  reason: Extract<ExchangeEvent, { readonly _tag: "Discontinuity" }>["reason"],
  { after, at, before }: Times
): ExchangeEvent => ({ _tag: "Discontinuity", at, stream, reason, after: timeOf(after), before })

/** Why a message with this verdict says nothing of what came before it; undefined where it does. */
export const breakOf = ({ _tag }: Verdict): "snapshot" | "set back" | undefined =>
  _tag === "Restarted" ? "snapshot" : _tag === "SetBack" ? "set back" : undefined
