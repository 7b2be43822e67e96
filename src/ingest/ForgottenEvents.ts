import type { ReceivingEvent } from "../domain/JournalEvent.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"

/** Stands for events for which there was no room: a few for each stream, however many there were. */
export interface ForgottenEvents {
  /** How many there were. */
  readonly count: number
  readonly add: (event: ReceivingEvent) => void
  /**
   * Takes what is to be journalled in their place: for each stream its time from the first to the last of them, of which
   * nothing is known then, the connections that began or ended in it, and the doubts that did.
   */
  readonly take: () => ReadonlyArray<ReceivingEvent>
}

type StreamEvent = Extract<ReceivingEvent, { readonly stream: StreamId }>
type ConnectionEvent = Extract<ReceivingEvent, { readonly _tag: "StreamConnected" | "StreamDisconnected" }>
type DoubtEvent = Extract<
  ReceivingEvent,
  { readonly _tag: "StreamSilent" | "StreamHeard" | "StreamUnreadable" | "StreamReadable" }
>

export const makeForgottenEvents = (): ForgottenEvents => {
  interface OfStream {
    readonly stream: StreamId
    from: number
    to: number
    readonly connections: Map<string, ConnectionEvent>
    /** The latest of each kind. */
    readonly doubts: Map<"silent" | "unreadable", DoubtEvent>
  }
  let streams = new Map<string, OfStream>()
  let count = 0

  const addConnection = ({ connections }: OfStream, event: ConnectionEvent) => {
    const isBegun = connections.get(event.connection)?._tag === "StreamConnected"
    if (event._tag === "StreamDisconnected" && isBegun) connections.delete(event.connection)
    else connections.set(event.connection, event)
  }

  return {
    get count() {
      return count
    },
    add: (event) => {
      count++
      if (!("stream" in event)) return
      const { from, to } = timeOf(event)
      const key = streamKey(event.stream)
      const known = streams.get(key) ?? {
        stream: event.stream,
        from,
        to,
        connections: new Map(),
        doubts: new Map()
      }
      known.from = Math.min(known.from, from)
      known.to = Math.max(known.to, to)
      streams.set(key, known)
      switch (event._tag) {
        case "StreamConnected":
        case "StreamDisconnected":
          return addConnection(known, event)
        case "StreamSilent":
        case "StreamHeard":
          return known.doubts.set("silent", event)
        case "StreamUnreadable":
        case "StreamReadable":
          return known.doubts.set("unreadable", event)
      }
    },
    take: () => {
      const taken = Array.from(streams.values())
      streams = new Map()
      count = 0
      return taken.flatMap(
        ({ connections, doubts, from, stream, to }): ReadonlyArray<ReceivingEvent> => [
          { _tag: "Discontinuity", at: to, stream, reason: "untold", after: from, before: to },
          ...connections.values(),
          ...doubts.values()
        ]
      )
    }
  }
}

/** The time that an event speaks of. */
const timeOf = (event: StreamEvent): { readonly from: number; readonly to: number } => {
  switch (event._tag) {
    case "MessagesDropped":
      return { from: event.first, to: event.last }
    case "GapDetected":
    case "Discontinuity":
      return { from: event.after ?? event.at, to: event.before ?? event.at }
    case "StreamSilent":
      return { from: event.at - event.seconds * 1_000_000, to: event.at }
    case "StreamUnreadable":
      return { from: event.after ?? event.at, to: event.at }
    default:
      return { from: event.at, to: event.at }
  }
}
