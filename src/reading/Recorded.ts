import type { Effect } from "effect"

/** A stream as its recording names it: an archive can have types that this version does not know. */
export interface RecordedStream {
  readonly exchange: string
  readonly symbol: string
  readonly dataType: string
}

/** A recorded message. Times are integer microseconds since the epoch. */
export interface RecordedMessage {
  readonly stream: RecordedStream
  readonly exchangeSequenceId: string
  /** When it was received. */
  readonly timestamp: number
  /** The exchange's own time; null if it sends none. */
  readonly exchangeTimestamp: number | null
  /** The message as it was received, UTF-8. */
  readonly data: Uint8Array
}

/** Some consecutive messages of one place, an archive or a database, in the order in which they were received. */
export type RecordedPage = ReadonlyArray<RecordedMessage>

/** A place that messages are read from. */
export interface Source<R> {
  /** No message of it is older than this, microseconds since the epoch. */
  readonly from: number
  /** Opens the place, and returns its next page at every run; undefined after the last one. */
  readonly open: Effect.Effect<Effect.Effect<RecordedPage | undefined, never, R>, never, R>
}
