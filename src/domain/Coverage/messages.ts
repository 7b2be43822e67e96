import { Chunk, HashMap, Option } from "effect"
import type { JournalEvent } from "../JournalEvent.ts"
import { unnamed } from "./connections.ts"
import { earliestOf } from "./during.ts"
import { type Doubt, isEndless, type StreamCoverage } from "./state.ts"
import { wantSince } from "./streams.ts"
import { sinceOf } from "./unset.ts"

export const countMessages = (
  coverage: StreamCoverage,
  event: Extract<JournalEvent, { _tag: "MessagesCommitted" }>
): StreamCoverage => {
  const known = Math.min(coverage.uncounted, event.messages)
  const messages = event.messages - known
  const counted = {
    ...coverage,
    begunAt: Option.some(
      Math.min(
        Option.getOrElse(coverage.begunAt, () => earliestOf(coverage)),
        event.first
      )
    ),
    messages: HashMap.modifyAt(coverage.messages, event.hour, (before) =>
      Option.some(Option.getOrElse(before, () => 0) + event.messages)
    ),
    lastMessageAt: Math.max(coverage.lastMessageAt, event.last),
    doubts: Chunk.appendAll(coverage.doubts, beforeFirst(coverage, event.first)),
    noneSince: Option.none(),
    unarchived:
      messages === 0 || isEndless(coverage)
        ? coverage.unarchived
        : [...coverage.unarchived, { from: event.first, messages }],
    uncounted: coverage.uncounted - known
  }
  // No connection was made since then, so one that was already open delivered it.
  return Option.match(coverage.unsureSince, {
    onNone: () => counted,
    onSome: (since) =>
      event.last > since
        ? {
            ...wantSince(counted, since),
            unsureSince: Option.none(),
            open: HashMap.set(coverage.open, unnamed, sinceOf(since, event.first))
          }
        : counted
  })
}

/**
 * Returns the times on connections of which no message was kept: the first kept message proves nothing about what came before it.
 */
const beforeFirst = (
  { connected, noneSince, open, unsureSince }: StreamCoverage,
  first: number
): Chunk.Chunk<Doubt> =>
  Option.match(noneSince, {
    onNone: () => Chunk.empty(),
    onSome: (since) =>
      Chunk.fromIterable(
        [
          ...connected,
          ...[...HashMap.values(open), ...Option.toArray(unsureSince)].map((from) => ({ from, to: first }))
        ]
          .filter(({ from }) => from >= since && from < first)
          .map(({ from, to }) => ({ from, to: Math.min(to, first), reason: "unproven" as const }))
      )
  })
