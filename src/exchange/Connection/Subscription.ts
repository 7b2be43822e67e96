import type { MarketStream } from "../../domain/StreamId.ts"
import { makeReasked, type Reasked } from "../Reasked.ts"
import { makeSeenHere, type SeenHere } from "../SeenHere.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import { nothingDelivered, type StandbyNumbers } from "./handover.ts"

/** A stream on one connection. Times in microseconds since the epoch. */
export interface Subscription {
  readonly stream: TrackedStream
  /**
   * - `asked`: nothing so far;
   * - `taken`: the exchange took it, or a message shows that it did;
   * - `assumed`: an exchange that answers nothing has had messages of it on an earlier connection;
   * - `refused`: it is to be asked for again at the stream's `retryAt`.
   */
  answer: "asked" | "taken" | "assumed" | "refused"
  /** When the exchange took it, NaN for not yet. */
  takenAt: number
  /** Whether it was told that it is connected: that a message came since it was taken. */
  isTold: boolean
  /** Whether a message came. */
  live: boolean
  readonly reasked: Reasked
  /** Whether what comes counts: else another connection keeps the stream. */
  counts: boolean
  readonly here: SeenHere
  /** What came here while another connection kept the stream. */
  standby: StandbyNumbers
}

/** The streams of a connection. */
export type Subscriptions = Map<MarketStream, Subscription>

export const makeSubscription = (
  stream: TrackedStream,
  options: Pick<Subscription, "answer" | "counts">
): Subscription => ({
  ...options,
  stream,
  takenAt: Number.NaN,
  isTold: false,
  live: false,
  reasked: makeReasked(),
  here: makeSeenHere(stream.remembered),
  standby: nothingDelivered
})

/** Another connection, or none, is to take the stream over from the one that keeps it. */
export const endStandby = ({ standby, stream }: Subscription): void => {
  if (stream.successor === standby) stream.successor = null
}
