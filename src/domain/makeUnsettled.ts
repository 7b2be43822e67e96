import type { JournalEvent } from "./JournalEvent.ts"
import { type StreamId, streamKey } from "./StreamId.ts"
import { type LastingReason, maxSetBacks, maxUnsettledDoubts, type Unsettled } from "./Unsettled.ts"

/** Tags of the events that change what is unsettled. */
export const unsettling = [
  "ProcessStarted",
  "ProcessStopped",
  "StreamSilent",
  "StreamHeard",
  "StreamUnreadable",
  "StreamReadable",
  "ClockStepped"
] as const satisfies ReadonlyArray<JournalEvent["_tag"]>

/** Folds the events of a journal in order, and returns what is unsettled after them. */
export const makeUnsettled = (): {
  readonly add: (event: JournalEvent) => void
  readonly now: () => Unsettled
} => {
  const doubts = new Map<string, Unsettled["doubts"][number]>()
  const setBack: Array<Unsettled["setBack"][number]> = []
  let stoppedAt = 0

  const begin = (stream: StreamId, reason: LastingReason, since: number) => {
    const key = `${streamKey(stream)} ${reason}`
    if (!doubts.has(key)) doubts.set(key, { stream, reason, since })
  }
  const step = (from: number, to: number) => {
    if (to >= from) return
    setBack.push({ from, to })
    if (setBack.length > maxSetBacks) setBack.shift()
  }

  return {
    add: (event) => {
      switch (event._tag) {
        case "ProcessStarted":
          doubts.clear()
          if (event.at !== undefined) step(event.previous?.lastSeen ?? stoppedAt, event.at)
          return
        case "ProcessStopped":
          stoppedAt = event.lastSeen ?? 0
          return
        case "StreamSilent":
          if (event.isOpen === true) begin(event.stream, "silent", event.at - event.seconds * 1_000_000)
          return
        case "StreamUnreadable":
          begin(event.stream, "unreadable", Math.min(event.after ?? event.at, event.at - 1))
          return
        case "StreamHeard":
          doubts.delete(`${streamKey(event.stream)} silent`)
          return
        case "StreamReadable":
          doubts.delete(`${streamKey(event.stream)} unreadable`)
          return
        case "ClockStepped":
          for (const [key, doubt] of doubts) {
            doubts.set(key, { ...doubt, since: Math.min(doubt.since, event.to) })
          }
          step(event.from, event.to)
      }
    },
    now: () => {
      const open = Array.from(doubts.values())
      const beyond = open.slice(maxUnsettledDoubts)
      return {
        doubts: open.slice(0, maxUnsettledDoubts),
        ...(beyond.length === 0
          ? {}
          : { more: beyond.reduce((first, { since }) => Math.min(first, since), Number.POSITIVE_INFINITY) }),
        setBack: [...setBack]
      }
    }
  }
}
