/** A period in which the content of a stream is unknown. Stamps are receive times in microseconds. */
export interface UnreadableTime {
  /** When its last unreadable frame of its own arrived, monotonic milliseconds; minus infinity if there was none. */
  ownMillis: number
  /**
   * The stamp of the first message after the last of these, or after those that can belong to any stream; NaN if there is none
   * yet.
   */
  readAt: number
  /** How many frames that can belong to any stream had arrived by then. */
  readAfter: number
  /** The stamp of what was read before it; NaN if there was nothing. */
  readonly after: number
  /** The connection on which any frame may have been the stream's; null if there is none. */
  readonly connection: string | null
  /** How many frames of its own arrived, and how many of them are kept. */
  frames: number
  kept: number
}
