/** A time in which it is not known what a stream says. Stamps are receive times in microseconds. */
export interface UnreadableTime {
  /** When the last frame of its own came that could not be read, monotonic milliseconds; minus infinity for none. */
  ownMillis: number
  /** The stamp of the first message after the last of these, or of those that may be of any stream; NaN before it. */
  readAt: number
  /** How many frames that may be of any stream had come by then. */
  readAfter: number
  /** The stamp of what was read before it, NaN where there was nothing. */
  readonly after: number
  /** The connection of which any frame may have been one of the stream; null if it was none. */
  readonly connection: string | null
  /** Frames of its own, and how many of them are kept. */
  frames: number
  kept: number
}
