import type { Duration, Metric } from "effect"
import type { ExchangeEvent } from "../../domain/ExchangeEvent.ts"
import type { SkipReason } from "../../domain/SkipReason.ts"
import type { Snapshot } from "../../domain/Snapshot.ts"
import type { StreamId } from "../../domain/StreamId.ts"
import type { AttemptLimiter } from "../AttemptLimiter.ts"
import type { Exchange, Instrument, Signer } from "../Exchange.ts"
import type { Pacer } from "../Pacer.ts"
import type { PauseHabit } from "../PauseHabit.ts"
import type { ReceiveClock } from "../ReceiveClock.ts"
import type { StatusWatch } from "../StatusWatch.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import type { Connect } from "../WebSocket.ts"

/** What all connections to an exchange share. */
export interface ConnectionContext {
  readonly exchange: Exchange
  readonly url: string
  readonly connect: Connect
  /** How long a lively stream can be quiet. */
  readonly silenceTimeout: Duration.Duration
  /** The usual pauses of all streams of the exchange. */
  readonly habit: PauseHabit
  readonly clock: ReceiveClock["Type"]
  /** Receives every message, on the socket's call stack. */
  readonly offer: (snapshot: Snapshot) => void
  /** Receives every event, on the same stack. */
  readonly emit: (event: ExchangeEvent) => void
  /** Called at the first message of every stream. */
  readonly onFirst: (stream: TrackedStream) => void
  /** Receives instruments that the exchange lists between its lists. */
  readonly onListing: (instruments: ReadonlyArray<Instrument>) => void
  readonly latency: Metric.Metric.Histogram<number>
  /** Counts unusable frames. */
  readonly skipped: ReadonlyMap<SkipReason, Metric.Metric.Counter<number>>
  /** Returns the stream under which unreadable frames are kept, by the symbol that they name. */
  readonly unreadableOf: (symbol: string) => StreamId
  /** Receives the status messages of the exchange. */
  readonly statuses: StatusWatch
  readonly signer: Signer | undefined
  /** Spaces connection attempts. */
  readonly attempts: AttemptLimiter
  /** Spaces the messages of all connections together, if the exchange counts them that way. */
  readonly messages: Pacer | undefined
  /** Generates a name that no other connection has or had. */
  readonly nextConnection: () => string
}

/** For metrics without labels. */
export const noTags: ReadonlyArray<never> = []
