import { Chunk, HashMap, identity, Option } from "effect"
import type { JournalEvent } from "../JournalEvent.ts"
import type { StreamId } from "../StreamId.ts"
import type { Window } from "../Window.ts"
import { unnamed } from "./connections.ts"
import { countMessages } from "./messages.ts"
import type { Coverage, StreamCoverage } from "./state.ts"
import { beginDoubt, endDoubt, makeSure, update, want, wantSince } from "./streams.ts"

type StreamEvent = Extract<JournalEvent, { readonly stream: StreamId }>

export const applyToStream = (state: Coverage, at: number, event: StreamEvent): Coverage => {
  // Unreadable frames kept as received belong to no stream; the doubt is journalled for the streams that were to be recorded.
  if (event.stream.dataType === "unreadable") return state
  const change = (time: number, f: (of: StreamCoverage) => StreamCoverage) =>
    update(state, event.stream, time, f)
  // An event about an earlier time, journalled late, does not tell whether the stream is to be recorded now.
  const wanted = (f: (of: StreamCoverage) => StreamCoverage) => change(at, (of) => f(want(of, at)))
  switch (event._tag) {
    case "MessagesCommitted": {
      // Not a sign of life: what happened up to its last message may not be journalled yet.
      return change(event.first, (of) => countMessages(of, event))
    }
    case "MessagesDropped":
      return change(event.last, (of) => ({
        ...of,
        wanted: { ...of.wanted, from: Math.min(of.wanted.from, event.first) },
        drops: Chunk.append(of.drops, { from: event.first, to: event.last + 1, count: event.count })
      }))
    case "StreamConnected":
      return wanted((of) => {
        const sure = makeSure(of, at)
        return { ...sure, open: HashMap.set(sure.open, event.connection, event.since ?? at) }
      })
    case "StreamDisconnected":
      return change(at, (of) => {
        const name = HashMap.has(of.open, event.connection) ? event.connection : unnamed
        const known = HashMap.get(of.open, name)
        return Option.match(
          Option.orElse(known, () => of.unsureSince),
          {
            onNone: () => of,
            onSome: (from) => ({
              ...(Option.isSome(known) ? of : wantSince(of, from)),
              unsureSince: Option.none(),
              open: HashMap.remove(of.open, name),
              connected: Chunk.append(of.connected, {
                from,
                to: Math.max(from, event.heard === undefined ? at : Math.min(at, event.heard + 1)),
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
      return wanted((of) =>
        event.isOpen === true
          ? beginDoubt(of, "silent", from)
          : { ...of, doubts: Chunk.append(of.doubts, { from, to: at, reason: "silent" }) }
      )
    }
    case "StreamHeard":
      return wanted((of) => endDoubt(of, "silent", at, event.after ?? firstOf(state, of, at)))
    case "StreamUnreadable":
      return wanted((of) => beginDoubt(of, "unreadable", Math.min(event.after ?? at, at - 1)))
    case "StreamReadable":
      return change(at, (of) => endDoubt(of, "unreadable", at, event.after ?? firstOf(state, of, at)))
    case "GapDetected":
      return wanted((of) => ({
        ...of,
        gaps: Chunk.append(of.gaps, {
          ...between(event, at),
          size: event.size,
          rule: event.rule,
          scope: event.scope,
          expected: event.expected,
          received: event.received
        })
      }))
    case "Discontinuity":
      return wanted((of) => ({
        ...of,
        doubts: Chunk.append(of.doubts, { ...between(event, at), reason: event.reason })
      }))
    default:
      return change(at, identity)
  }
}

/** Returns the earliest time it can have been subscribed to, if entries of the process are missing; otherwise `at`. */
const firstOf = (state: Coverage, of: StreamCoverage, at: number): number =>
  Option.match(state.unsureSince, {
    onNone: () => at,
    onSome: (since) => Math.min(at, since, ...HashMap.values(of.open))
  })

const between = (
  event: { readonly after: number | null; readonly before: number | null },
  at: number
): Window => {
  const to = event.before ?? at
  return { from: Math.min(event.after ?? at, to - 1), to }
}
