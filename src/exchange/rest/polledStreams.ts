import { type ConnectionContext, noTags } from "../Connection/ConnectionContext.ts"
import type { PolledAnswer } from "../Exchange.ts"
import type { TrackedStream } from "../TrackedStream.ts"

/** Delivers what was requested over REST, and reports from when to when each stream could be requested. */
export interface PolledStreams {
  /** Offers an answer for recording, stamped now. The stream is connected from the first one on. */
  readonly receive: (stream: TrackedStream, answer: PolledAnswer, data: Buffer) => void
  /** Records that the stream was requested and that nothing changed. */
  readonly hear: (stream: TrackedStream) => void
  /** Ends the stream as of its last answer, giving this reason. Returns whether it was connected. */
  readonly disconnect: (stream: TrackedStream, kind: "error" | "empty", reason: string) => boolean
  /** When each connected stream was last answered, by connection. */
  readonly heard: () => ReadonlyArray<readonly [connection: string, at: number]>
}

export const makePolledStreams = ({
  clock,
  emit,
  latency,
  nextConnection,
  offer
}: Pick<ConnectionContext, "clock" | "emit" | "latency" | "nextConnection" | "offer">): PolledStreams => {
  const connected = new Map<TrackedStream, { readonly connection: string; heard: number }>()
  return {
    receive: (stream, { exchangeSequenceId, exchangeTimestamp }, data) => {
      const timestamp = clock.unsafeNow()
      offer({ stream: stream.id, exchangeSequenceId, timestamp, exchangeTimestamp, data })
      if (exchangeTimestamp !== null) latency.unsafeUpdate((timestamp - exchangeTimestamp) / 1000, noTags)
      const known = connected.get(stream)
      if (known === undefined) {
        const connection = nextConnection()
        connected.set(stream, { connection, heard: timestamp })
        stream.connection = connection
        emit({ _tag: "StreamConnected", at: timestamp, stream: stream.id, connection })
      } else {
        known.heard = timestamp
      }
      stream.state = "live"
      stream.messages++
      stream.lastMessageAt = timestamp
      stream.lastSequenceId = exchangeSequenceId
    },
    hear: (stream) => {
      const known = connected.get(stream)
      if (known !== undefined) known.heard = clock.unsafeNow()
    },
    disconnect: (stream, kind, reason) => {
      const known = connected.get(stream)
      stream.state = "connecting"
      if (known === undefined) return false
      connected.delete(stream)
      stream.reconnects.set(kind, (stream.reconnects.get(kind) ?? 0) + 1)
      emit({
        _tag: "StreamDisconnected",
        at: clock.unsafeNow(),
        stream: stream.id,
        connection: known.connection,
        heard: known.heard,
        kind,
        reason,
        code: null
      })
      return true
    },
    heard: () => Array.from(connected.values(), ({ connection, heard }) => [connection, heard])
  }
}
