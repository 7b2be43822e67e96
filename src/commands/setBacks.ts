import type { JournalEntry } from "../domain/JournalEvent.ts"
import { union, type Window } from "../domain/Window.ts"

/** Tolerance between the clock that stamps messages and that of the journal, microseconds. */
export const clockTolerance = 5_000_000

/**
 * Takes the entries of a journal in their order, and finds the windows in which the clock was set back, between two processes
 * or during one: receive times in such a window occurred twice. The windows are in order and do not touch.
 */
export interface SetBacks {
  readonly hear: (entry: JournalEntry) => void
  readonly windows: () => ReadonlyArray<Window>
}

export const makeSetBacks = (): SetBacks => {
  const found: Array<Window> = []
  let latest = 0
  return {
    hear: ({ at, event }) => {
      if (event._tag === "ProcessStarted") {
        const before = Math.max(latest, event.previous?.lastSeen ?? 0)
        if (at < before) found.push({ from: at, to: before })
      }
      if (event._tag === "ClockStepped" && event.to < event.from) {
        found.push({ from: event.to, to: event.from })
      }
      if (at > latest) latest = at
    },
    windows: () => union(found)
  }
}
