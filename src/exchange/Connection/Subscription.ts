import type { MarketStream } from "../../domain/StreamId.ts"
import { makeReasked, type Reasked } from "../Reasked.ts"
import { makeSeenHere, type SeenHere } from "../SeenHere.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import { nothingDelivered, type StandbyNumbers } from "./handover.ts"

/** A stream on one connection. Times in microseconds since the epoch. */
export interface Subscription {
  readonly stream: TrackedStream
  /**
   * - `asked`: no answer so far;
   * - `taken`: the exchange accepted it, or a message shows that it did;
   * - `assumed`: an exchange without answers sent messages of it on an earlier connection;
   * - `refused`: it is to be requested again at the stream's `retryAt`.
   */
  answer: "asked" | "taken" | "assumed" | "refused"
  /** When the exchange accepted it, NaN if it has not yet. */
  takenAt: number
  /** Whether it was reported as connected: a message has arrived since it was accepted. */
  isTold: boolean
  /** Whether a message arrived. */
  live: boolean
  readonly reasked: Reasked
  /** Whether its messages count; otherwise another connection keeps the stream. */
  counts: boolean
  readonly here: SeenHere
  /** What arrived here while another connection kept the stream. */
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

/** Ends a standby: another connection, or none, will take the stream over from the one that keeps it. */
export const endStandby = ({ standby, stream }: Subscription): void => {
  if (stream.successor === standby) stream.successor = null
}
