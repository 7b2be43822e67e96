import { Schema } from "effect"
import { Micros } from "./micros.ts"
import { StreamId } from "./StreamId.ts"

/** Why a stream can be in doubt until a later event. */
export const lastingReasons = ["silent", "unreadable"] as const
export type LastingReason = (typeof lastingReasons)[number]

/**
 * What a process journalled earlier that bears on what is claimed now, for readers that do not have the part of the journal it
 * was in.
 */
export const Unsettled = Schema.Struct({
  /** Streams that are in doubt, and since when. */
  doubts: Schema.Array(
    Schema.Struct({ stream: StreamId, reason: Schema.Literal(...lastingReasons), since: Micros })
  ),
  /** Set if there are more of them: the time since when. */
  more: Schema.optionalWith(Micros, { exact: true }),
  /** The times that came twice because the wall clock was set back. */
  setBack: Schema.Array(Schema.Struct({ from: Micros, to: Micros }))
})
export type Unsettled = typeof Unsettled.Type

/** Maximum number of streams named, about 120 bytes each. */
export const maxUnsettledDoubts = 2000

/** How many of the latest times that the clock was set back are kept. */
export const maxSetBacks = 20
