import type { ExchangeEvent } from "../../domain/ExchangeEvent.ts"
import type { MarketStream } from "../../domain/StreamId.ts"
import { type Hole, type NumberedRule, numbersAround, type Verdict } from "../Continuity.ts"
import { timeOf } from "../TrackedStream.ts"

/** When it was noticed, and the receive times of the messages around it; microseconds, NaN if there is none. */
export interface Times {
  readonly at: number
  readonly after: number
  readonly before: number
}

/** The event for missing messages of a stream; `size` is null if unknown. */
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

/** The event for a stream of which it is unknown whether messages are missing between two times. */
export const discontinuity = (
  stream: MarketStream,
  reason: Extract<ExchangeEvent, { readonly _tag: "Discontinuity" }>["reason"],
  { after, at, before }: Times
): ExchangeEvent => ({ _tag: "Discontinuity", at, stream, reason, after: timeOf(after), before })

/** Returns why a message with this verdict proves nothing about what came before it; undefined if it does. */
export const breakOf = ({ _tag }: Verdict): "snapshot" | "set back" | undefined =>
  _tag === "Restarted" ? "snapshot" : _tag === "SetBack" ? "set back" : undefined
