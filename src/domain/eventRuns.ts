import type { ExchangeEvent } from "./ExchangeEvent.ts"
import type { ReceivingEvent } from "./JournalEvent.ts"
import { streamKey } from "./StreamId.ts"
import type { Window } from "./Window.ts"

/** What may happen to a stream with every frame. */
type Repeating = Extract<ExchangeEvent, { readonly _tag: "GapDetected" | "Discontinuity" }>

/** Tells runs of events of one stream and kind as one: only the first ones in a row are handed on by themselves. */
export interface EventRuns<Event> {
  /** Hands an event on, or keeps it. Before whatever else happens to the stream, what was kept of it is handed on. */
  readonly pass: (event: Event) => void
  /**
   * Hands on what was kept: for each run one event, from the begin of the first to the end of the last one, that says for how
   * many it stands. Returns how many runs there were.
   */
  readonly take: () => number
}

/** Remembers two numbers for each stream and kind. */
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

/** One event for two of a kind, and for what lies between them. */
const merge = (first: Repeating, second: Repeating): Repeating => {
  const [a, b] = [windowOf(first), windowOf(second)]
  const both = {
    at: Math.max(first.at, second.at),
    after: Math.min(a.from, b.from),
    before: Math.max(a.to, b.to),
    count: (first.count ?? 1) + (second.count ?? 1)
  }
  if (first._tag === "Discontinuity" || second._tag === "Discontinuity") return { ...second, ...both }
  // Where the numbers do not grow there is no range of them that is missing, nor is there with those that follow.
  const grows =
    first.expected < first.received && first.received <= second.expected && second.expected < second.received
  return {
    ...second,
    ...both,
    expected: grows ? first.expected : second.received,
    size: first.size === null || second.size === null ? null : first.size + second.size
  }
}

/** The time that is in doubt; of one without a message before or after, the moment. */
const windowOf = ({ after, at, before }: Repeating): Window => {
  const to = before ?? at
  return { from: Math.min(after ?? at, to - 1), to }
}

const toldByThemselves = 10

/** A run is over after as long without another one. */
const restMicros = 10_000_000
