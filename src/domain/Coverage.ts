import { Chunk, HashMap, identity, Option } from "effect"
import type { GapDetected } from "./ExchangeEvent.ts"
import type { Integer } from "./Integer.ts"
import type { ClockStepped, Heard, JournalEntry, JournalEvent } from "./JournalEvent.ts"
import { microsPerHour } from "./micros.ts"
import { type StreamId, streamKey } from "./StreamId.ts"
import { type LastingReason, lastingReasons, type Unsettled } from "./Unsettled.ts"
import type { Window } from "./Window.ts"

/** Messages that are missing between two that were received. */
export interface Gap extends Window {
  /** How many; null if nobody knows. */
  readonly size: number | null
  readonly rule: (typeof GapDetected.Type)["rule"]
  readonly scope: (typeof GapDetected.Type)["scope"]
  /** The numbers between which they are missing, as the exchange counts. */
  readonly expected: Integer
  readonly received: Integer
}

/** Messages that gave way in our queue. */
export interface DropWindow extends Window {
  readonly count: number
}

/** A time on a connection. */
export interface ConnectedWindow extends Window {
  /** Of which process it was, counted from the begin of the journal. */
  readonly process: number
}

/**
 * `journal`: entries of the journal are missing, which may have told of anything. `archive`: the archive does not have the
 * object that the messages left the database for. `unproven`: the process ended, and no later message proves that none is
 * missing since the last one.
 */
export const doubtReasons = [
  "reconnect",
  "snapshot",
  "set back",
  "untold",
  "id reused",
  "journal",
  "archive",
  "clock",
  "unproven",
  ...lastingReasons
] as const

/** A time of which nobody can say whether messages are missing. */
export interface Doubt extends Window {
  readonly reason: (typeof doubtReasons)[number]
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
  /**
   * Entries were missing up to this time, and whether the stream was connected then is not known yet. What comes of it
   * later tells: a message without a new connection before it, or the end of a connection that was made meanwhile.
   */
  readonly unsureSince: Option.Option<number>
  /** When the last message was received that the journal counts; 0 if it counts none. */
  readonly lastMessageAt: number
  /** The first time of which anything is known, as far as that was noted: see `beginOf`. */
  readonly begunAt: Option.Option<number>
  /** Since when this journal counts none, if it has not counted any. */
  readonly noneSince: Option.Option<number>
  /** Messages that were counted and are in no archive that is done, in the order of receipt; `messages` since `from`. */
  readonly unarchived: ReadonlyArray<{ readonly from: number; readonly messages: number }>
  /** Messages that were archived before they were counted. */
  readonly uncounted: number
  /** Since when it is in doubt, by what makes it so. */
  readonly lasting: HashMap.HashMap<LastingReason, number>
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
  /** The id of the last entry: the next one follows on it, or entries are missing. */
  readonly lastId: number
  /** Since when entries are missing, as long as none came after them. */
  readonly missingSince: Option.Option<number>
  /** Times of which entries are missing: they are in doubt for every stream. */
  readonly missing: Chunk.Chunk<Window>
  /** Until when entries of the running process were missing, if any were. */
  readonly unsureSince: Option.Option<number>
  /** What was received before it is in archives that the journal told of, or in doubt, as far as that is known. */
  readonly archivedBefore: Option.Option<number>
  /** Archives of rows that are under way, by archive id. */
  readonly archives: HashMap.HashMap<string, { readonly stream: string; readonly rows: number }>
}

export const noCoverage: Coverage = {
  streams: HashMap.empty(),
  process: 0,
  lastSeen: 0,
  heard: undefined,
  through: 0,
  lastId: 0,
  missingSince: Option.none(),
  missing: Chunk.empty(),
  unsureSince: Option.none(),
  archivedBefore: Option.none(),
  archives: HashMap.empty()
}

/**
 * The state after an entry. Where its id does not follow on the one before, entries are missing: from the last sign of life
 * before to this one all is in doubt. One whose id is not above the one before is of a database that was restored from a
 * copy: it begins anew.
 */
export const applyToCoverage = (before: Coverage, entry: JournalEntry): Coverage => {
  const state = applyEvent(joined(before, entry), entry)
  return entry.id === 0 || entry.isKept === true ? state : { ...state, lastId: entry.id }
}

const joined = (state: Coverage, { at, id, isKept }: JournalEntry): Coverage => {
  if (id === 0) return state
  if (isKept === true) return Option.isSome(state.missingSince) ? state : lose(state)
  if (id <= state.lastId)
    return findAgain(beginJournal(endOfJournal(state), { after: id - 1, goesBack: true }), at)
  if (id > state.lastId + 1 && Option.isNone(state.missingSince)) return findAgain(lose(state), at)
  return findAgain(state, at)
}

/**
 * Another journal of the server begins with the entry above `after`. Messages that the one before had counted and in no
 * archive are lost with its database, as far as anybody knows. `goesBack`: a database was restored from a copy, and what
 * happened between the last part of the journal before and this one is not known.
 */
export const beginJournal = (
  state: Coverage,
  { after, goesBack }: { readonly after: number; readonly goesBack: boolean }
): Coverage => {
  let lostFrom = Number.POSITIVE_INFINITY
  const streams = HashMap.map(state.streams, (of) => {
    const from = of.unarchived[0]?.from
    const noneSince = Option.some(state.through)
    if (from === undefined) return { ...of, uncounted: 0, noneSince }
    lostFrom = Math.min(lostFrom, from)
    return {
      ...of,
      unarchived: [],
      uncounted: 0,
      noneSince,
      doubts: Chunk.append(of.doubts, {
        from,
        to: Math.max(state.lastSeen, from + 1),
        reason: "journal" as const
      })
    }
  })
  const isLost = lostFrom < Number.POSITIVE_INFINITY
  return {
    ...state,
    streams,
    lastId: after,
    archivedBefore: Option.none(),
    archives: HashMap.empty(),
    missing: isLost
      ? Chunk.append(state.missing, { from: lostFrom, to: Math.max(state.lastSeen, lostFrom + 1) })
      : state.missing,
    missingSince: goesBack ? Option.some(state.lastSeen) : Option.none()
  }
}

/** Entries are missing from here on: what is open may have ended. */
const lose = (state: Coverage): Coverage => ({
  ...state,
  missingSince: Option.some(state.lastSeen),
  streams: HashMap.map(state.streams, (of) =>
    closeAll(of, endsOf(of, state.lastSeen, state.process, state.heard))
  )
})

/** The first entry after those that are missing. */
const findAgain = (state: Coverage, at: number): Coverage =>
  Option.match(state.missingSince, {
    onNone: () => state,
    onSome: (from) => {
      const window = { from, to: Math.max(at, from + 1) }
      return {
        ...state,
        missingSince: Option.none(),
        missing: Chunk.append(state.missing, window),
        unsureSince: Option.some(window.to),
        streams: HashMap.map(state.streams, (of) => ({
          ...doubt(of, { ...window, from: Math.min(window.from, unarchivedFrom(state, of)) }),
          unsureSince: HashMap.isEmpty(of.open) ? Option.some(window.to) : Option.none(),
          // How many of the messages that were counted meanwhile are archived cannot be known.
          unarchived: isEndless(of) ? of.unarchived : [...of.unarchived, endless(from)],
          uncounted: 0
        }))
      }
    }
  })

/** Since when messages were counted that may have left the database for an archive that nothing tells of any more. */
const unarchivedFrom = ({ archivedBefore }: Coverage, { unarchived: [first] }: StreamCoverage): number =>
  first === undefined ? Number.POSITIVE_INFINITY : Option.getOrElse(archivedBefore, () => first.from)

/** Messages from then on, of which it cannot be known how many are archived. */
const endless = (from: number) => ({ from, messages: Number.POSITIVE_INFINITY })

const isEndless = ({ unarchived }: StreamCoverage): boolean =>
  unarchived.at(-1)?.messages === Number.POSITIVE_INFINITY

/** In doubt from the last message before, since a gap that is not told of may begin there. */
const doubt = (of: StreamCoverage, { from, to }: Window): StreamCoverage => ({
  ...of,
  doubts: Chunk.append(of.doubts, {
    from: of.lastMessageAt > 0 ? Math.min(from, of.lastMessageAt) : from,
    to,
    reason: "journal"
  })
})

const applyEvent = (state: Coverage, { at, event }: JournalEntry): Coverage => {
  switch (event._tag) {
    case "ProcessStarted": {
      const { heard, lastSeen = state.lastSeen, unsettled } = event.previous ?? {}
      const ended = endProcess(settle(state, lastSeen, unsettled), lastSeen, heard)
      return {
        ...(at < lastSeen ? cameTwice(ended, { from: at, to: lastSeen + 1 }) : ended),
        lastSeen: at,
        through: at
      }
    }
    case "ProcessStopped": {
      const last = Math.max(state.lastSeen, event.lastSeen ?? at)
      const told = settle(state, last, event.unsettled)
      return { ...endProcess({ ...told, lastSeen: last }, last, event.heard), through: at }
    }
    case "ProcessAlive":
      return {
        ...settle(seen(state, event.lastSeen), event.lastSeen, event.unsettled),
        heard: event.heard,
        archivedBefore: Option.orElse(Option.fromNullable(event.archivedBefore), () => state.archivedBefore)
      }
    case "RecordingStarted":
      return event.streams.reduce(
        (all, stream) => update(all, stream, at, (of) => ({ ...want(of, at), isNamed: true })),
        state
      )
    case "SymbolListed":
      return updateSymbol(state, event, (of) => (Option.isSome(of.delistedAt) ? want(reach(of, at), at) : of))
    case "SymbolDelisted":
      return updateSymbol(state, event, (of) => (of.isWanted && !of.isNamed ? delist(of, at) : of))
    case "ArchivePlanned": {
      const { archiveId, stream } = event.plan
      return {
        ...state,
        archives: HashMap.set(state.archives, archiveId, { stream: streamKey(stream), rows: 0 })
      }
    }
    case "ArchiveWritten":
      return {
        ...state,
        archives: HashMap.modify(state.archives, event.archiveId, (archive) => ({
          ...archive,
          rows: event.file.rows
        }))
      }
    case "ArchiveAbandoned":
      return { ...state, archives: HashMap.remove(state.archives, event.archiveId) }
    case "ArchivePurged":
      return Option.match(HashMap.get(state.archives, event.archiveId), {
        onNone: () => state,
        onSome: ({ rows, stream }) => ({
          ...state,
          archives: HashMap.remove(state.archives, event.archiveId),
          streams: HashMap.modify(state.streams, stream, (of) => archive(of, rows))
        })
      })
    case "ClockStepped":
      return stepClock(state, event)
    default:
      return "stream" in event ? applyToStream(state, at, event) : state
  }
}

/**
 * The journal ends here. Whether a message is missing after the last one of a stream, only the next one shows, or what is told
 * of it: of a stream that the running process records nothing is said of the time after it, and of one that an earlier process
 * recorded last it is in doubt. `isAlone`: nobody knows of a database that has what was counted and is in no archive; the same
 * goes for its time.
 */
export const endOfJournal = (
  state: Coverage,
  lastSeen = 0,
  heard?: Heard,
  { isAlone = false }: { readonly isAlone?: boolean } = {}
): Coverage => {
  const last = Math.max(state.lastSeen, lastSeen)
  const found = findAgain(seen(state, lastSeen), last)
  const ended = endProcess(found, last, heard ?? state.heard)
  return {
    ...ended,
    streams: HashMap.map(ended.streams, (of, key) => {
      const before = HashMap.get(found.streams, key)
      const archived = isAlone ? unarchivedFrom(state, of) : Number.POSITIVE_INFINITY
      return Option.exists(before, ({ isWanted }) => isWanted)
        ? endUnproven(of, Option.getOrElse(before, () => of).wanted.to, archived)
        : doubtFrom(doubtUnproven(of), archived)
    })
  }
}

/** It is said to be wanted up to its last message, or to what was told of it later, but no longer than until `most`. */
const endUnproven = (of: StreamCoverage, told: number, most: number): StreamCoverage => {
  const to = Math.min(most, Math.max(told, of.lastMessageAt + 1))
  return doubtUnproven({
    ...of,
    wanted: { from: of.wanted.from, to: Math.min(of.wanted.to, to) },
    connected: Chunk.map(of.connected, (window) =>
      window.to > to ? { ...window, to: Math.max(window.from, to) } : window
    )
  })
}

/** The archive does not have what was received from then on. */
const doubtFrom = (of: StreamCoverage, from: number): StreamCoverage =>
  from < of.wanted.to
    ? { ...of, doubts: Chunk.append(of.doubts, { from, to: of.wanted.to, reason: "archive" as const }) }
    : of

const doubtUnproven = (of: StreamCoverage): StreamCoverage => {
  const from = Math.max(of.lastMessageAt, of.wanted.from)
  const connected = Chunk.reduce(of.connected, 0, (last, { to }) => Math.max(last, to))
  const to = Math.min(connected, of.wanted.to)
  if (to <= from + 1) return of
  return of.wanted.to - from < lastMoments && of.lastMessageAt > 0
    ? { ...of, wanted: { from: of.wanted.from, to: from + 1 } }
    : { ...of, doubts: Chunk.append(of.doubts, { from, to, reason: "unproven" as const }) }
}

/** What is known of a stream of a time, without what ends before it or begins after it. */
export const during = (of: StreamCoverage, { from, to }: Window): StreamCoverage => {
  const isIn = (window: Window) => window.to >= from && window.from < to
  return {
    ...noteBegin(of),
    unwanted: Chunk.filter(of.unwanted, isIn),
    connected: Chunk.filter(of.connected, isIn),
    gaps: Chunk.filter(of.gaps, isIn),
    drops: Chunk.filter(of.drops, isIn),
    doubts: Chunk.filter(of.doubts, isIn)
  }
}

/**
 * Since when anything of a stream can be missing: its first message ever, or what is known to be missing or in doubt before. That
 * the exchange took it proves nothing. One that never had a message is to be recorded from the begin.
 */
export const beginOf = (of: StreamCoverage): number =>
  of.lastMessageAt === 0 ? of.wanted.from : Math.max(of.wanted.from, earliestOf(of))

/** Notes its begin, before anything is forgotten that it may follow from. */
export const noteBegin = (of: StreamCoverage): StreamCoverage => ({
  ...of,
  begunAt: Option.liftPredicate(earliestOf(of), Number.isFinite)
})

const earliestOf = ({ begunAt, doubts, drops, gaps, lasting }: StreamCoverage): number => {
  let earliest = Option.getOrElse(begunAt, () => Number.POSITIVE_INFINITY)
  for (const from of HashMap.values(lasting)) earliest = Math.min(earliest, from)
  for (const { from } of gaps) earliest = Math.min(earliest, from)
  for (const { from } of drops) earliest = Math.min(earliest, from)
  // What nothing proves is no sign of a message.
  for (const { from, reason } of doubts) if (reason !== "unproven") earliest = Math.min(earliest, from)
  return earliest
}

/** The state without what it knows of other times, so that it is no larger than what is asked for. */
export const forgetOutside = (state: Coverage, range: Window): Coverage => ({
  ...state,
  streams: HashMap.map(state.streams, (of) => ({
    ...during(of, range),
    messages: HashMap.filter(
      of.messages,
      (_, hour) => (hour + 1) * microsPerHour > range.from && hour * microsPerHour < range.to
    )
  }))
})

/** Tags of events, most of them the steps of archives, that say nothing of the recording: coverage is the same without them. */
export const withoutBearing: ReadonlySet<string> = new Set<JournalEvent["_tag"]>([
  "ArchiveUploaded",
  "ArchiveVerified",
  "ArchiveRowsPurged",
  "ArchiveFailed",
  "JournalSegmentPlanned",
  "JournalSegmentArchived",
  "JournalPruned",
  "ConnectionOpened",
  "ConnectionEnded"
])

type StreamEvent = Extract<JournalEvent, { readonly stream: StreamId }>

const applyToStream = (state: Coverage, at: number, event: StreamEvent): Coverage => {
  // Frames that were kept as they came are nobody's stream: what is in doubt is told of those that were to be recorded.
  if (event.stream.dataType === "unreadable") return state
  const change = (time: number, f: (of: StreamCoverage) => StreamCoverage) =>
    update(state, event.stream, time, f)
  // What is told later of a time before says nothing about whether the stream is to be recorded now.
  const wanted = (f: (of: StreamCoverage) => StreamCoverage) => change(at, (of) => f(want(of, at)))
  switch (event._tag) {
    case "MessagesCommitted": {
      // No sign of life: what happened up to its last message may not be told yet.
      return change(event.first, (of) => count(of, event))
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

/** Since when it may have been asked for, if entries of the process are missing; else `at`. */
const firstOf = (state: Coverage, of: StreamCoverage, at: number): number =>
  Option.match(state.unsureSince, {
    onNone: () => at,
    onSome: (since) => Math.min(at, since, ...HashMap.values(of.open))
  })

/** A connection that was made while the journal told nothing, by whatever name. */
const unnamed = ""

const count = (
  of: StreamCoverage,
  event: Extract<JournalEvent, { _tag: "MessagesCommitted" }>
): StreamCoverage => {
  const known = Math.min(of.uncounted, event.messages)
  const messages = event.messages - known
  const counted = {
    ...of,
    begunAt: Option.some(
      Math.min(
        Option.getOrElse(of.begunAt, () => earliestOf(of)),
        event.first
      )
    ),
    messages: HashMap.modifyAt(of.messages, event.hour, (before) =>
      Option.some(Option.getOrElse(before, () => 0) + event.messages)
    ),
    lastMessageAt: Math.max(of.lastMessageAt, event.last),
    doubts: Chunk.appendAll(of.doubts, beforeFirst(of, event.first)),
    noneSince: Option.none(),
    unarchived:
      messages === 0 || isEndless(of) ? of.unarchived : [...of.unarchived, { from: event.first, messages }],
    uncounted: of.uncounted - known
  }
  // No connection was made since, so that one that was open then has brought it.
  return Option.match(of.unsureSince, {
    onNone: () => counted,
    onSome: (since) =>
      event.last > since
        ? {
            ...wantSince(counted, since),
            unsureSince: Option.none(),
            open: HashMap.set(of.open, unnamed, since)
          }
        : counted
  })
}

/** Times on connections of which no message was kept: the first one that is proves nothing of what came before it. */
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

/** It was connected since then, and so to be recorded. */
const wantSince = (of: StreamCoverage, since: number): StreamCoverage => ({
  ...of,
  isWanted: true,
  wanted: { from: Math.min(of.wanted.from, since), to: of.wanted.to }
})

/** Rows of the stream are in an archive that is done: the oldest ones. */
const archive = (of: StreamCoverage, rows: number): StreamCoverage => {
  let left = rows
  const unarchived = of.unarchived.flatMap(({ from, messages }) => {
    const taken = Math.min(left, messages)
    left -= taken
    return messages > taken ? [{ from, messages: messages - taken }] : []
  })
  return { ...of, unarchived, uncounted: of.uncounted + left }
}

/** Whether it was connected up to here, after entries that are missing, will not be known any more. */
const makeSure = (of: StreamCoverage, at: number): StreamCoverage =>
  Option.match(of.unsureSince, {
    onNone: () => of,
    onSome: (from) => ({
      ...of,
      unsureSince: Option.none(),
      doubts: at > from ? Chunk.append(of.doubts, { from, to: at, reason: "journal" as const }) : of.doubts
    })
  })

const beginDoubt = (of: StreamCoverage, reason: LastingReason, from: number): StreamCoverage => ({
  ...of,
  lasting: HashMap.modifyAt(of.lasting, reason, (since) =>
    Option.some(
      Math.min(
        from,
        Option.getOrElse(since, () => from)
      )
    )
  )
})

/** It began at `since`, if that is not known or was before: what was told in between may be of another clock. */
const endDoubt = (of: StreamCoverage, reason: LastingReason, at: number, since: number): StreamCoverage => {
  const from = Option.match(HashMap.get(of.lasting, reason), {
    onNone: () => since,
    onSome: (known) => Math.min(known, since)
  })
  return {
    ...of,
    lasting: HashMap.remove(of.lasting, reason),
    doubts: at > from ? Chunk.append(of.doubts, { from, to: at, reason }) : of.doubts
  }
}

const endDoubts = (of: StreamCoverage, at: number): StreamCoverage =>
  Array.from(HashMap.keys(of.lasting)).reduce((rest, reason) => endDoubt(rest, reason, at, at), of)

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
 * nothing was heard just before is not said to have been wanted in these last moments.
 */
const endProcess = (state: Coverage, at: number, heard: Heard | undefined): Coverage => ({
  ...state,
  process: state.process + 1,
  heard: undefined,
  unsureSince: Option.none(),
  through: Math.max(state.through, at),
  streams: HashMap.map(state.streams, (of) => endStream(of, at, state.process, heard))
})

/** Microseconds: shorter than that nobody calls it silence. */
const lastMoments = 1_000_000

const endStream = (
  was: StreamCoverage,
  at: number,
  process: number,
  heard: Heard | undefined
): StreamCoverage => {
  const ends = endsOf(was, at, process, heard)
  const of = closeAll(makeSure(was, at), ends)
  const last = ends.reduce((last, { to }) => Math.max(last, to), 0)
  const isBeyond = (window: ConnectedWindow) => window.process === process && window.to > at
  const closed = Chunk.some(of.connected, isBeyond)
    ? Chunk.map(of.connected, (window) =>
        isBeyond(window) ? { ...window, to: Math.max(window.from, at) } : window
      )
    : of.connected
  return {
    ...unwant(of, last > 0 && at - last < lastMoments ? last : at),
    isNamed: false,
    connected: closed
  }
}

/** The times on the connections that are open, up to where they were last heard. */
const endsOf = (
  { open }: StreamCoverage,
  at: number,
  process: number,
  heard: Heard | undefined
): ReadonlyArray<ConnectedWindow> =>
  Array.from(open, ([connection, from]) => {
    if (heard === undefined) return { from, to: Math.max(from, at), process }
    // One without a name is one of those that were heard.
    const last = connection === unnamed ? Math.min(...Object.values(heard)) : (heard[connection] ?? from)
    return { from, to: Math.max(from, Math.min(at, last + 1)), process }
  })

const closeAll = (of: StreamCoverage, ends: ReadonlyArray<ConnectedWindow>): StreamCoverage =>
  ends.length === 0
    ? of
    : {
        ...of,
        open: HashMap.empty<string, number>(),
        connected: Chunk.appendAll(of.connected, Chunk.unsafeFromArray(ends))
      }

/** The wall clock ran through this time twice: what is there may be of either. */
const cameTwice = (state: Coverage, { from, to }: Window): Coverage => ({
  ...state,
  streams: HashMap.map(state.streams, (of) => ({
    ...of,
    doubts: Chunk.append(of.doubts, { from, to, reason: "clock" as const })
  }))
})

/** What was told of earlier, if entries of the process are missing which may have told it. */
const settle = (state: Coverage, at: number, unsettled: Unsettled | undefined): Coverage => {
  if (unsettled === undefined || Option.isNone(state.unsureSince)) return state
  const { doubts, more, setBack } = unsettled
  const twice = setBack
    .map(({ from, to }) => ({ from: to, to: from + 1 }))
    .filter(({ from, to }) => !Chunk.some(state.missing, (known) => known.from === from && known.to === to))
    .reduce(
      (all, window) => ({ ...cameTwice(all, window), missing: Chunk.append(all.missing, window) }),
      state
    )
  const streams = doubts.reduce(
    (all, { reason, since, stream }) =>
      HashMap.modify(all, streamKey(stream), (of) => beginDoubt(of, reason, since)),
    twice.streams
  )
  const unnamedDoubt = (of: StreamCoverage, since: number): StreamCoverage => ({
    ...of,
    doubts: Chunk.append(of.doubts, { from: Math.min(since, at - 1), to: at, reason: "journal" as const })
  })
  return {
    ...twice,
    streams: more === undefined ? streams : HashMap.map(streams, (of) => unnamedDoubt(of, more))
  }
}

/**
 * What is open goes on at another time. Of the time in between nobody can say whether it was recorded: it was passed over, or
 * came twice.
 */
const stepClock = (state: Coverage, { from, to }: typeof ClockStepped.Type): Coverage => ({
  ...state,
  through: Math.max(state.through, to),
  // Where entries are missing it is also in doubt for streams that are not known yet.
  unsureSince: Option.map(state.unsureSince, (since) => Math.min(since, to)),
  missing: Option.isSome(state.unsureSince)
    ? Chunk.append(state.missing, { from: Math.min(from, to), to: Math.max(from, to) + 1 })
    : state.missing,
  streams: HashMap.map(state.streams, (known) => {
    const of = makeSure(known, from)
    return of.isWanted || !HashMap.isEmpty(of.open) || Option.isSome(known.unsureSince)
      ? {
          ...reach(of, to),
          unsureSince: Option.as(known.unsureSince, to),
          connected: Chunk.appendAll(
            of.connected,
            Chunk.fromIterable(
              Array.from(HashMap.values(of.open), (since) => ({
                from: since,
                to: Math.max(since, from),
                process: state.process
              }))
            )
          ),
          open: HashMap.map(of.open, () => to),
          lasting: HashMap.map(of.lasting, () => to),
          doubts: Chunk.append(endDoubts(of, from).doubts, {
            from: Math.min(from, to),
            to: Math.max(from, to) + 1,
            reason: "clock" as const
          })
        }
      : of
  })
})

/** From `at` on the stream is not to be recorded, as far as is known by then. */
const unwant = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...endDoubts(of, at),
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
          Option.getOrElse(known, () => newStream(state, stream, at)),
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

const newStream = ({ missing, unsureSince }: Coverage, stream: StreamId, at: number): StreamCoverage => ({
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
  doubts: Chunk.map(missing, ({ from, to }) => ({ from, to, reason: "journal" as const })),
  unsureSince,
  lastMessageAt: 0,
  begunAt: Option.none(),
  noneSince: Option.some(0),
  unarchived: Option.toArray(Option.map(unsureSince, endless)),
  uncounted: 0,
  lasting: HashMap.empty()
})
