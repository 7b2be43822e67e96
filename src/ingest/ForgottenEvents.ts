import { statusKey } from "../domain/ExchangeStatuses.ts"
import type { ReceivingEvent } from "../domain/JournalEvent.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"

/** Stands for events for which there was no room: a few for each stream, however many there were. */
export interface ForgottenEvents {
  /** How many there were. */
  readonly count: number
  readonly add: (event: ReceivingEvent) => void
  /**
   * Takes what is to be journalled in their place. For each stream: its time from the first to the last of them, of which nothing
   * is known, the connections that started or ended in it, and the doubts that did. For each exchange: its last status message.
   * The latest changes of the settings, at most `maxReloads`.
   * If the clock was set meanwhile, it is unknown which of them came before that: all the time that any of them covers then
   * counts as having come twice.
   */
  readonly take: () => ReadonlyArray<ReceivingEvent>
}

type ConnectionEvent = Extract<ReceivingEvent, { readonly _tag: "StreamConnected" | "StreamDisconnected" }>
type ReloadEvent = Extract<ReceivingEvent, { readonly _tag: "SettingsReloaded" }>
type StatusEvent = Extract<ReceivingEvent, { readonly _tag: "ExchangeStatus" }>
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
  let statuses = new Map<string, StatusEvent>()
  let reloads: Array<ReloadEvent> = []
  let count = 0
  let first = Number.POSITIVE_INFINITY
  let last = Number.NEGATIVE_INFINITY
  /** The time after the last step of the clock, NaN for none. */
  let steppedTo = Number.NaN

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
      if (event._tag === "ClockStepped") steppedTo = event.to
      const { from, to } = timeOf(event)
      first = Math.min(first, from)
      last = Math.max(last, to)
      if (event._tag === "ExchangeStatus" && event.isPassing !== true) statuses.set(statusKey(event), event)
      if (event._tag === "SettingsReloaded") reloads = [...reloads, event].slice(-maxReloads)
      if (!("stream" in event)) return
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
      const steps = Number.isNaN(steppedTo) ? [] : [step(last, first), step(first, steppedTo)]
      const taken = Array.from(streams.values())
      const said = Array.from(statuses.values())
      const reloaded = reloads
      streams = new Map()
      statuses = new Map()
      reloads = []
      count = 0
      first = Number.POSITIVE_INFINITY
      last = Number.NEGATIVE_INFINITY
      steppedTo = Number.NaN
      return [
        ...steps,
        ...said,
        ...taken.flatMap(
          ({ connections, doubts, from, stream, to }): ReadonlyArray<ReceivingEvent> => [
            { _tag: "Discontinuity", at: to, stream, reason: "untold", after: from, before: to },
            ...connections.values(),
            ...doubts.values()
          ]
        ),
        ...reloaded
      ]
    }
  }
}

const maxReloads = 1000

const step = (from: number, to: number): ReceivingEvent => ({ _tag: "ClockStepped", at: to, from, to })

/** Returns the time that an event covers. */
const timeOf = (event: ReceivingEvent): { readonly from: number; readonly to: number } => {
  switch (event._tag) {
    case "MessagesDropped":
      return { from: event.first, to: event.last + 1 }
    case "ClockStepped":
      return { from: Math.min(event.from, event.to), to: Math.max(event.from, event.to) }
    case "StreamConnected":
      return { from: Math.min(event.since ?? event.at, event.at), to: event.at }
    case "StreamDisconnected":
      return { from: Math.min(event.heard ?? event.at, event.at), to: event.at }
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
