import { Chunk, HashMap, identity, Option } from "effect"
import type { JournalEvent } from "../JournalEvent.ts"
import type { StreamId } from "../StreamId.ts"
import type { Window } from "../Window.ts"
import { unnamed } from "./connections.ts"
import { countMessages } from "./messages.ts"
import type { Coverage, StreamCoverage } from "./state.ts"
import { beginDoubt, endDoubt, makeSure, reach, update, want, wantSince } from "./streams.ts"
import { sinceOf } from "./unset.ts"

type StreamEvent = Extract<JournalEvent, { readonly stream: StreamId }>

export const applyToStream = (state: Coverage, at: number, event: StreamEvent): Coverage => {
  // Unreadable frames kept as received belong to no stream; the doubt is journalled for the streams that were to be recorded.
  if (event.stream.dataType === "unreadable") return state
  const change = (time: number, f: (coverage: StreamCoverage) => StreamCoverage) =>
    update(state, event.stream, time, f)
  // An event about an earlier time, journalled late, does not tell whether the stream is to be recorded now.
  const wanted = (f: (coverage: StreamCoverage) => StreamCoverage) =>
    change(at, (coverage) => f(want(coverage, at)))
  switch (event._tag) {
    case "MessagesCommitted": {
      // Not a sign of life: what happened up to its last message may not be journalled yet.
      return change(event.first, (coverage) => countMessages(coverage, event))
    }
    case "MessagesDropped":
      return change(event.last, (coverage) => ({
        ...reach(coverage, event.first),
        drops: Chunk.append(coverage.drops, { from: event.first, to: event.last + 1, count: event.count })
      }))
    case "StreamConnected":
      return wanted((coverage) => {
        const sure = makeSure(coverage, at)
        return { ...sure, open: HashMap.set(sure.open, event.connection, sinceOf(event.since ?? at, at)) }
      })
    case "StreamDisconnected":
      return change(at, (coverage) => {
        const name = HashMap.has(coverage.open, event.connection) ? event.connection : unnamed
        const known = HashMap.get(coverage.open, name)
        return Option.match(
          Option.orElse(known, () => coverage.unsureSince),
          {
            onNone: () => coverage,
            onSome: (since) => ({
              ...(Option.isSome(known) ? coverage : wantSince(coverage, since)),
              unsureSince: Option.none(),
              open: HashMap.remove(coverage.open, name),
              connected: Chunk.append(coverage.connected, {
                from: sinceOf(since, at),
                to: Math.max(
                  sinceOf(since, at),
                  event.heard === undefined ? at : Math.min(at, event.heard + 1)
                ),
                process: state.process
              })
            })
          }
        )
      })
    case "SubscriptionRefused":
      return wanted(identity)
    case "StreamSilent": {
      const from = at - event.seconds * 1_000_000
      return wanted((coverage) =>
        event.isOpen === true
          ? beginDoubt(coverage, "silent", from)
          : { ...coverage, doubts: Chunk.append(coverage.doubts, { from, to: at, reason: "silent" }) }
      )
    }
    case "StreamHeard":
      return wanted((coverage) =>
        endDoubt(coverage, "silent", at, event.after ?? firstOf(state, coverage, at))
      )
    case "StreamUnreadable":
      return wanted((coverage) => beginDoubt(coverage, "unreadable", Math.min(event.after ?? at, at - 1)))
    case "StreamReadable":
      return change(at, (coverage) =>
        endDoubt(coverage, "unreadable", at, event.after ?? firstOf(state, coverage, at))
      )
    case "GapDetected":
      return wanted((coverage) => ({
        ...coverage,
        gaps: Chunk.append(coverage.gaps, {
          ...between(event, at),
          size: event.size,
          rule: event.rule,
          scope: event.scope,
          expected: event.expected,
          received: event.received
        })
      }))
    case "Discontinuity":
      return wanted((coverage) => ({
        ...coverage,
        doubts: Chunk.append(coverage.doubts, { ...between(event, at), reason: event.reason })
      }))
    default:
      return change(at, identity)
  }
}

/** Returns the earliest time it can have been subscribed to, if entries of the process are missing; otherwise `at`. */
const firstOf = (state: Coverage, coverage: StreamCoverage, at: number): number =>
  Option.match(state.unsureSince, {
    onNone: () => at,
    onSome: (since) => Math.min(at, since, ...HashMap.values(coverage.open))
  })

const between = (
  event: { readonly after: number | null; readonly before: number | null },
  at: number
): Window => {
  const to = event.before ?? at
  return { from: Math.min(event.after ?? at, to - 1), to }
}
