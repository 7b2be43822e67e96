import type { Duration, Metric } from "effect"
import type { ExchangeEvent } from "../../domain/ExchangeEvent.ts"
import type { SkipReason } from "../../domain/SkipReason.ts"
import type { Snapshot } from "../../domain/Snapshot.ts"
import type { StreamId } from "../../domain/StreamId.ts"
import type { AttemptLimiter } from "../AttemptLimiter.ts"
import type { Exchange, Signer } from "../Exchange.ts"
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
  /** How long a lively stream may say nothing. */
  readonly silenceTimeout: Duration.Duration
  /** What is usual for all streams of the exchange. */
  readonly habit: PauseHabit
  readonly clock: ReceiveClock["Type"]
  /** Takes every message, on the socket's call stack. */
  readonly offer: (snapshot: Snapshot) => void
  /** Takes every event, on the same stack. */
  readonly emit: (event: ExchangeEvent) => void
  /** Hears of the first message of every stream. */
  readonly onFirst: (stream: TrackedStream) => void
  readonly latency: Metric.Metric.Histogram<number>
  /** Counts frames that could not be used. */
  readonly skipped: ReadonlyMap<SkipReason, Metric.Metric.Counter<number>>
  /** The stream under which frames are kept that could not be read, by the symbol that they name. */
  readonly unreadableOf: (symbol: string) => StreamId
  /** Hears what the exchange says of itself. */
  readonly statuses: StatusWatch
  readonly signer: Signer | undefined
  /** Spaces attempts to connect. */
  readonly attempts: AttemptLimiter
  /** Spaces messages of all connections together, where the exchange counts them so. */
  readonly messages: Pacer | undefined
  /** A name that no other connection has or had. */
  readonly nextConnection: () => string
}

/** For metrics without labels. */
export const noTags: ReadonlyArray<never> = []
