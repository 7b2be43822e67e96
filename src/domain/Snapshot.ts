import type { StreamId } from "./StreamId.ts"

/** One recorded message from an exchange. */
export interface Snapshot {
  /** The stream it belongs to: one object per stream, so it can be compared and looked up by identity. */
  readonly stream: StreamId
  /** Identifies the message within its stream. */
  readonly exchangeSequenceId: string
  /** When we received it, integer microseconds since the epoch. */
  readonly timestamp: number
  /** The exchange's own time, integer microseconds since the epoch, or null where it sends none. */
  readonly exchangeTimestamp: number | null
  /** The message exactly as received, UTF-8. Can be a view into a larger buffer that is soon reused. */
  readonly data: Uint8Array
}
