import { Chunk, HashMap, identity, Option } from "effect"
import type { GapDetected } from "./ExchangeEvent.ts"
import type { Heard, JournalEntry, JournalEvent } from "./JournalEvent.ts"
import { type StreamId, streamKey } from "./StreamId.ts"
import type { Window } from "./Window.ts"

/** Messages that are missing between two that were received. */
export interface Gap extends Window {
  /** How many; null if nobody knows. */
  readonly size: number | null
  readonly rule: (typeof GapDetected.Type)["rule"]
  readonly scope: (typeof GapDetected.Type)["scope"]
  /** The numbers between which they are missing, as the exchange counts. */
  readonly expected: number
  readonly received: number
}

/** Messages that gave way in our queue. */
export interface DropWindow extends Window {
  readonly count: number
}

/** A time on a connection, up to when anything was last heard on it: nothing is known of what came after. */
export interface ConnectedWindow extends Window {
  /** Of which process it was, counted from the begin of the journal. */
  readonly process: number
}

/** A time of which nobody can say whether messages are missing. */
export interface Doubt extends Window {
  readonly reason: "reconnect" | "snapshot" | "set back" | "untold" | "silent"
}

/** What the journal says about a stream. Times in microseconds since the epoch. */
export interface StreamCoverage {
  readonly stream: StreamId
  /** When it was first and last to be recorded. */
  readonly wanted: Window
  /** When it was not to be recorded in between. */
  readonly unwanted: Chunk.Chunk<Window>
  /** Whether the running process is to record it. */
  readonly isWanted: boolean
  /** Whether the running process is to record it by its name, so that it does whatever the exchange lists. */
  readonly isNamed: boolean
  /** Since when its symbol is delisted. */
  readonly delistedAt: Option.Option<number>
  readonly connected: Chunk.Chunk<ConnectedWindow>
  /** Since when, by connection: those that are open. */
  readonly open: HashMap.HashMap<string, number>
  /** By the hour of receipt, hours since the epoch. */
  readonly messages: HashMap.HashMap<number, number>
  readonly gaps: Chunk.Chunk<Gap>
  readonly drops: Chunk.Chunk<DropWindow>
  readonly doubts: Chunk.Chunk<Doubt>
  /** Messages that had been reported as missing and came late. */
  readonly late: number
  readonly refusals: number
}

/** What a journal says about the recording: a fold over its entries. */
export interface Coverage {
  readonly streams: HashMap.HashMap<string, StreamCoverage>
  /** How many processes have ended. */
  readonly process: number
  /** Up to here, microseconds, the running process has committed what it received, and told of its holes. */
  readonly lastSeen: number
  /** What the running process had heard on its connections by then, as far as the journal says. */
  readonly heard: Heard | undefined
  /** Until when the journal speaks, microseconds. */
  readonly through: number
}

export const noCoverage: Coverage = {
  streams: HashMap.empty(),
  process: 0,
  lastSeen: 0,
  heard: undefined,
  through: 0
}

/** The state after an entry. */
export const applyToCoverage = (state: Coverage, { at, event }: JournalEntry): Coverage => {
  switch (event._tag) {
    case "ProcessStarted":
      return {
        ...endProcess(state, event.previous?.lastSeen ?? state.lastSeen, event.previous?.heard),
        lastSeen: at,
        through: at
      }
    case "ProcessStopped": {
      const last = Math.max(state.lastSeen, event.lastSeen ?? at)
      return { ...endProcess({ ...state, lastSeen: last }, last, event.heard), through: at }
    }
    case "ProcessAlive":
      return { ...seen(state, event.lastSeen), heard: event.heard }
    case "RecordingStarted":
      return event.streams.reduce(
        (all, stream) => update(all, stream, at, (of) => ({ ...want(of, at), isNamed: true })),
        state
      )
    case "SymbolListed":
      return updateSymbol(state, event, (of) => (Option.isSome(of.delistedAt) ? want(reach(of, at), at) : of))
    case "SymbolDelisted":
      return updateSymbol(state, event, (of) => (of.isWanted && !of.isNamed ? delist(of, at) : of))
    default:
      return "stream" in event ? applyToStream(state, at, event) : state
  }
}

/**
 * The journal ends here: what is open ends where the process was last seen, and where its connection was last heard, which
 * the running process may only be about to hear again: nothing is said of the time after it.
 */
export const endOfJournal = (state: Coverage, lastSeen = 0, heard?: Heard): Coverage =>
  endProcess(
    seen(state, lastSeen),
    Math.max(state.lastSeen, lastSeen),
    heard ?? state.heard,
    Number.POSITIVE_INFINITY
  )

type StreamEvent = Extract<JournalEvent, { readonly stream: StreamId }>

const applyToStream = (state: Coverage, at: number, event: StreamEvent): Coverage => {
  const change = (time: number, f: (of: StreamCoverage) => StreamCoverage) =>
    update(state, event.stream, time, f)
  // What is told later of a time before says nothing about whether the stream is to be recorded now.
  const wanted = (f: (of: StreamCoverage) => StreamCoverage) => change(at, (of) => f(want(of, at)))
  switch (event._tag) {
    case "MessagesCommitted": {
      // No sign of life: what happened up to its last message may not be told yet.
      return change(event.first, (of) => ({
        ...of,
        messages: HashMap.modifyAt(of.messages, event.hour, (before) =>
          Option.some(Option.getOrElse(before, () => 0) + event.messages)
        )
      }))
    }
    case "MessagesDropped":
      return change(event.last, (of) => ({
        ...of,
        wanted: { ...of.wanted, from: Math.min(of.wanted.from, event.first) },
        drops: Chunk.append(of.drops, { from: event.first, to: event.last + 1, count: event.count })
      }))
    case "StreamConnected":
      return wanted((of) => ({ ...of, open: HashMap.set(of.open, event.connection, at) }))
    case "StreamDisconnected":
      return change(at, (of) =>
        Option.match(HashMap.get(of.open, event.connection), {
          onNone: () => of,
          onSome: (from) => ({
            ...of,
            open: HashMap.remove(of.open, event.connection),
            connected: Chunk.append(of.connected, {
              from,
              to: Math.max(from, event.heard === undefined ? at : Math.min(at, event.heard + 1)),
              process: state.process
            })
          })
        })
      )
    case "SubscriptionRefused":
      return wanted((of) => ({ ...of, refusals: of.refusals + 1 }))
    case "StreamSilent":
      return wanted((of) => ({
        ...of,
        doubts: Chunk.append(of.doubts, { from: at - event.seconds * 1_000_000, to: at, reason: "silent" })
      }))
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
    case "OutOfOrder":
      return change(at, (of) => ({ ...of, late: of.late + event.count }))
    default:
      return change(at, identity)
  }
}

const between = (
  event: { readonly after: number | null; readonly before: number | null },
  at: number
): Window => {
  const to = event.before ?? at
  return { from: Math.min(event.after ?? at, to - 1), to }
}

const seen = (state: Coverage, at: number): Coverage => ({
  ...state,
  lastSeen: Math.max(state.lastSeen, at),
  through: Math.max(state.through, at)
})

/**
 * The process is gone: what it had committed and told of, it had up to `at`, whatever else it told. A stream of which
 * nothing was heard just before is not said to have been wanted in these last moments, if they are shorter than `moments`.
 */
const endProcess = (
  state: Coverage,
  at: number,
  heard: Heard | undefined,
  moments = lastMoments
): Coverage => ({
  ...state,
  process: state.process + 1,
  heard: undefined,
  through: Math.max(state.through, at),
  streams: HashMap.map(state.streams, (of) => endStream(of, at, state.process, heard, moments))
})

/** Microseconds: shorter than that nobody calls it silence. */
const lastMoments = 1_000_000

const endStream = (
  of: StreamCoverage,
  at: number,
  process: number,
  heard: Heard | undefined,
  moments: number
): StreamCoverage => {
  const open = Array.from(of.open, ([connection, from]) => {
    const until = heard === undefined ? at : Math.min(at, (heard[connection] ?? from) + 1)
    return { from, to: Math.max(from, until), process }
  })
  const last = open.reduce((last, { to }) => Math.max(last, to), 0)
  const isBeyond = (window: ConnectedWindow) => window.process === process && window.to > at
  const closed = Chunk.some(of.connected, isBeyond)
    ? Chunk.map(of.connected, (window) =>
        isBeyond(window) ? { ...window, to: Math.max(window.from, at) } : window
      )
    : of.connected
  return {
    ...unwant(of, last > 0 && at - last < moments ? last : at),
    isNamed: false,
    open: HashMap.empty<string, number>(),
    connected: Chunk.appendAll(closed, Chunk.unsafeFromArray(open))
  }
}

/** From `at` on the stream is not to be recorded, as far as is known by then. */
const unwant = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...of,
  isWanted: false,
  wanted: of.isWanted ? { from: of.wanted.from, to: Math.max(of.wanted.to, at) } : of.wanted
})

const delist = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...unwant(of, at),
  delistedAt: Option.some(at)
})

const want = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...of,
  isWanted: true,
  delistedAt: Option.none(),
  unwanted: Option.match(of.delistedAt, {
    onNone: () => of.unwanted,
    onSome: (from) => Chunk.append(of.unwanted, { from, to: at })
  })
})

/** Changes a stream of which something is known at `at`. */
const update = (
  state: Coverage,
  stream: StreamId,
  at: number,
  f: (of: StreamCoverage) => StreamCoverage
): Coverage => ({
  ...state,
  streams: HashMap.modifyAt(state.streams, streamKey(stream), (known) =>
    Option.some(
      f(
        reach(
          Option.getOrElse(known, () => newStream(stream, at)),
          at
        )
      )
    )
  )
})

/** The same for the streams of a symbol that are known. */
const updateSymbol = (
  state: Coverage,
  { exchange, symbol }: { readonly exchange: string; readonly symbol: string },
  f: (of: StreamCoverage) => StreamCoverage
): Coverage => ({
  ...state,
  streams: HashMap.map(state.streams, (of) =>
    of.stream.exchange === exchange && of.stream.symbol === symbol ? f(of) : of
  )
})

const reach = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...of,
  wanted: { from: Math.min(of.wanted.from, at), to: Math.max(of.wanted.to, at) }
})

const newStream = (stream: StreamId, at: number): StreamCoverage => ({
  stream,
  wanted: { from: at, to: at },
  unwanted: Chunk.empty(),
  isWanted: false,
  isNamed: false,
  delistedAt: Option.none(),
  connected: Chunk.empty(),
  open: HashMap.empty(),
  messages: HashMap.empty(),
  gaps: Chunk.empty(),
  drops: Chunk.empty(),
  doubts: Chunk.empty(),
  late: 0,
  refusals: 0
})
