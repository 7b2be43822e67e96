import type { ExchangeEvent } from "./ExchangeEvent.ts"
import type { ReceivingEvent } from "./JournalEvent.ts"
import { streamKey } from "./StreamId.ts"
import type { Window } from "./Window.ts"

/** Events that can occur on a stream with every frame. */
type Repeating = Extract<ExchangeEvent, { readonly _tag: "GapDetected" | "Discontinuity" }>

/** Merges runs of events of one stream and kind into one: only the first ones in a row are passed on individually. */
export interface EventRuns<Event> {
  /** Passes an event on, or keeps it. Any other event of the stream first releases what was kept of it. */
  readonly pass: (event: Event) => void
  /**
   * Releases what was kept: one event for each run, from the start of the first event to the end of the last, with the number of
   * events it stands for. Returns how many runs there were.
   */
  readonly take: () => number
}

/** Keeps two numbers for each stream and kind. */
export const makeEventRuns = <Event extends ReceivingEvent>(
  onto: (event: Event | Repeating) => void
): EventRuns<Event> => {
  const runs = new Map<string, { inRow: number; at: number }>()
  /** By stream, then by kind. */
  const kept = new Map<string, Map<string, Repeating>>()

  const release = (stream: string): number => {
    const events = kept.get(stream)
    if (events === undefined) return 0
    kept.delete(stream)
    events.forEach(onto)
    return events.size
  }
  const take = () => Array.from(kept.keys()).reduce((sum, stream) => sum + release(stream), 0)

  return {
    pass: (event) => {
      if (event._tag !== "GapDetected" && event._tag !== "Discontinuity") {
        if ("stream" in event) release(streamKey(event.stream))
        else take()
        onto(event)
        return
      }
      const stream = streamKey(event.stream)
      const kind = event._tag === "GapDetected" ? event.scope : event.reason
      const key = `${kind} ${stream}`
      const run = runs.get(key) ?? { inRow: 0, at: event.at }
      runs.set(key, run)
      run.inRow = Math.abs(event.at - run.at) > restMicros ? 1 : run.inRow + 1
      run.at = event.at
      if (run.inRow <= toldByThemselves) {
        onto(event)
        return
      }
      const ofStream = kept.get(stream) ?? new Map<string, Repeating>()
      kept.set(stream, ofStream)
      const before = ofStream.get(kind)
      ofStream.set(kind, before === undefined ? event : merge(before, event))
    },
    take
  }
}

/** Merges two events of a kind, and what lies between them, into one. */
const merge = (first: Repeating, second: Repeating): Repeating => {
  const [a, b] = [windowOf(first), windowOf(second)]
  const both = {
    at: Math.max(first.at, second.at),
    after: Math.min(a.from, b.from),
    before: Math.max(a.to, b.to),
    count: (first.count ?? 1) + (second.count ?? 1)
  }
  if (first._tag === "Discontinuity" || second._tag === "Discontinuity") return { ...second, ...both }
  // Where the numbers do not increase there is no missing range of numbers, and neither is there together with later ones.
  const grows =
    first.expected < first.received && first.received <= second.expected && second.expected < second.received
  return {
    ...second,
    ...both,
    expected: grows ? first.expected : second.received,
    size: first.size === null || second.size === null ? null : first.size + second.size
  }
}

/** Returns the time that is in doubt; for an event without a message before or after it, the moment itself. */
const windowOf = ({ after, at, before }: Repeating): Window => {
  const to = before ?? at
  return { from: Math.min(after ?? at, to - 1), to }
}

const toldByThemselves = 10

/** A run is over after this long without another event. */
const restMicros = 10_000_000
