import { Schema } from "effect"
import { Micros } from "./micros.ts"
import { StreamId } from "./StreamId.ts"

/** Why a stream may be in doubt until something else is told. */
export const lastingReasons = ["silent", "unreadable"] as const
export type LastingReason = (typeof lastingReasons)[number]

/**
 * What a process told of earlier and what bears on what is claimed now: who has not the part of the journal in which that was
 * knows it from here.
 */
export const Unsettled = Schema.Struct({
  /** Streams that are in doubt, and since when. */
  doubts: Schema.Array(
    Schema.Struct({ stream: StreamId, reason: Schema.Literal(...lastingReasons), since: Micros })
  ),
  /** There are more of them, since then. */
  more: Schema.optionalWith(Micros, { exact: true }),
  /** How often the wall clock was set back, by times that came twice. */
  setBack: Schema.Array(Schema.Struct({ from: Micros, to: Micros }))
})
export type Unsettled = typeof Unsettled.Type

/** So many streams are named, about 120 bytes each. */
export const maxUnsettledDoubts = 2000

/** So many times that the clock was set back are known, the latest. */
export const maxSetBacks = 20
