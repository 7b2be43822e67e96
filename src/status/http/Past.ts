import { Chunk, HashMap, Option } from "effect"
import { noteBegin } from "../../domain/Coverage/during.ts"
import { endOfJournal } from "../../domain/Coverage/ending.ts"
import {
  type ConnectedWindow,
  type Coverage,
  noCoverage,
  type StreamCoverage
} from "../../domain/Coverage/state.ts"
import { applyToCoverage } from "../../domain/Coverage.ts"
import type { Heard, JournalEntry } from "../../domain/JournalEvent.ts"
import { microsPerDay, microsPerHour } from "../../domain/micros.ts"
import type { Window } from "../../domain/Window.ts"
import { doubtKind, gapKind, grown, inRow, kinds, type Rows, rowsFrom } from "./Past/rows.ts"

/**
 * What a journal says about the last days, in little memory: a fold over its entries, whose state is regularly relieved of what
 * can no longer change. That is kept in typed arrays, outside the heap, within fixed bounds: the more there is to know, the
 * fewer days are covered.
 */
export interface Past {
  /** The time from which it is complete, microseconds; 0: from the beginning. What was before is unknown. */
  readonly knownFrom: () => number
  /** The state of the fold, without what was settled. */
  readonly state: () => Coverage
  readonly apply: (entries: ReadonlyArray<JournalEntry>) => void
  /** Changes the state in another way, for example when another journal begins. */
  readonly change: (f: (state: Coverage) => Coverage) => void
  /**
   * Makes what was applied so far the state that is shown, as of a process last seen at `lastSeen`. `open` counts only until
   * the next call. `now` in microseconds.
   */
  readonly settle: (
    now: number,
    end?: {
      readonly open?: ReadonlyArray<JournalEntry>
      readonly lastSeen?: number
      readonly heard?: Heard | undefined
    }
  ) => void
  /** The state that is shown: every stream, without what was settled. */
  readonly shown: () => Coverage
  /** The keys of the shown streams, sorted. */
  readonly keys: () => ReadonlyArray<string>
  /** What is known about a stream in a time range. Its `messages` are only the unsettled ones: see `messages`. */
  readonly stream: (key: string, range: Window) => Option.Option<StreamCoverage>
  /** Messages of a stream in each of `hours` hours, starting at `from`, in hours since the epoch. */
  readonly messages: (key: string, from: number, hours: number) => ReadonlyArray<number>
  /** The content to be saved and passed to `makePast` again. */
  readonly memory: () => PastMemory
}

/** Plain data, except for the state of the fold. */
export interface PastMemory {
  readonly knownFrom: number
  readonly sure: number
  readonly state: Coverage
  /** Rows of `rowLength` numbers, by stream. */
  readonly rows: ReadonlyMap<string, Float64Array>
  /** The index of each stream within every day of `days`. */
  readonly places: ReadonlyMap<string, number>
  /** Messages per hour, of all streams, by day since the epoch. */
  readonly days: ReadonlyMap<number, Uint32Array>
}

/** Maximum number of days remembered. */
export const maxDays = 31

/** Limits for all streams together: connections, gaps, drops and doubts (48 bytes each), and bytes of hourly counts. */
export interface PastLimits {
  readonly windows: number
  readonly countBytes: number
}

export const pastLimits: PastLimits = { windows: 400_000, countBytes: 32 * 1024 * 1024 }

/** If more archives of a stream than this are waiting, the oldest ones are combined. */
const maxUnarchived = 64

export const makePast = (memory: PastMemory = nothingKnown, limits: PastLimits = pastLimits): Past => {
  let { knownFrom, state, sure } = memory
  const windows = new Map(Array.from(memory.rows, ([key, rows]) => [key, rowsFrom(rows)]))
  const places = new Map(memory.places)
  const days = new Map(memory.days)
  let vacant: Array<number> = []
  let capacity = Math.max(0, ...Array.from(days.values(), ({ length }) => length / hoursPerDay))
  let show = () => noCoverage
  let shown: Coverage | undefined
  let keys: ReadonlyArray<string> | undefined

  const whatIsShown = (): Coverage => {
    shown ??= show()
    return shown
  }

  const rowsOf = (key: string): Rows => {
    const known = windows.get(key)
    if (known !== undefined) return known
    const rows = rowsFrom(new Float64Array())
    windows.set(key, rows)
    return rows
  }

  const placeOf = (key: string): number => {
    const known = places.get(key)
    if (known !== undefined) return known
    const place = vacant.pop() ?? places.size
    places.set(key, place)
    return place
  }

  const count = (key: string, hour: number, messages: number): void => {
    const place = placeOf(key)
    if (place >= capacity) {
      capacity = Math.max(64, Math.ceil(place * 1.25) + 1)
      for (const [day, counts] of days) days.set(day, grown(new Uint32Array(capacity * hoursPerDay), counts))
    }
    const day = Math.floor(hour / hoursPerDay)
    let counts = days.get(day)
    if (counts === undefined) {
      counts = new Uint32Array(capacity * hoursPerDay)
      days.set(day, counts)
    }
    const cell = place * hoursPerDay + (hour - day * hoursPerDay)
    counts[cell] = Math.min(maxCount, (counts[cell] ?? 0) + messages)
  }

  /**
   * Whether the fold can no longer change a window. A window of the running process can still be cut at the time that process
   * was last seen, and what comes after the last message, or before the first one, is not proven yet.
   */
  const isSettled = ({ from, process, to }: ConnectedWindow, { lastMessageAt, noneSince }: StreamCoverage) =>
    (process < state.process || to <= sure) &&
    to <= lastMessageAt &&
    Option.getOrElse(noneSince, () => Number.POSITIVE_INFINITY) > from

  const takeFrom = (key: string, coverage: StreamCoverage): StreamCoverage => {
    const [open, settled] = Chunk.partition(coverage.connected, (window) => isSettled(window, coverage))
    if (
      Chunk.isEmpty(settled) &&
      Chunk.isEmpty(coverage.unwanted) &&
      Chunk.isEmpty(coverage.gaps) &&
      Chunk.isEmpty(coverage.drops) &&
      Chunk.isEmpty(coverage.doubts) &&
      HashMap.isEmpty(coverage.messages) &&
      coverage.unarchived.length <= maxUnarchived
    )
      return coverage
    const rows = rowsOf(key)
    for (const { from, to } of settled) rows.add(kinds.connected, from, to)
    for (const { from, to } of coverage.unwanted) rows.add(kinds.unwanted, from, to)
    for (const { count, from, to } of coverage.drops) rows.add(kinds.drop, from, to, count)
    for (const gap of coverage.gaps) {
      rows.add(
        gapKind(gap),
        gap.from,
        gap.to,
        gap.size ?? Number.NaN,
        inRow(gap.expected),
        inRow(gap.received)
      )
    }
    for (const { from, reason, to } of coverage.doubts) rows.add(doubtKind(reason), from, to)
    for (const [hour, messages] of coverage.messages) {
      if ((hour + 1) * microsPerHour > knownFrom) count(key, hour, messages)
    }
    return {
      ...noteBegin(coverage),
      connected: open,
      unwanted: Chunk.empty(),
      gaps: Chunk.empty(),
      drops: Chunk.empty(),
      doubts: Chunk.empty(),
      messages: HashMap.empty(),
      unarchived: together(coverage.unarchived)
    }
  }

  const forgetBefore = (oldest: number): void => {
    knownFrom = Math.max(knownFrom, oldest)
    for (const [key, rows] of windows) {
      rows.forgetBefore(oldest)
      if (rows.length() === 0) windows.delete(key)
    }
    for (const day of days.keys()) if ((day + 1) * microsPerDay <= oldest) days.delete(day)
  }

  const isGone = (coverage: StreamCoverage): boolean =>
    !coverage.isWanted &&
    coverage.wanted.to < knownFrom &&
    HashMap.isEmpty(coverage.open) &&
    Chunk.isEmpty(coverage.connected) &&
    coverage.unarchived.length === 0

  const dropGone = (): void => {
    const gone = Array.from(HashMap.entries(state.streams)).filter(([, coverage]) => isGone(coverage))
    if (gone.length === 0) return
    state = {
      ...state,
      streams: HashMap.removeMany(
        state.streams,
        gone.map(([key]) => key)
      )
    }
    for (const [key] of gone) {
      windows.delete(key)
      const place = places.get(key)
      if (place === undefined) continue
      for (const counts of days.values()) counts.fill(0, place * hoursPerDay, (place + 1) * hoursPerDay)
      places.delete(key)
      vacant.push(place)
    }
    if (places.size === 0) vacant = []
  }

  const isTooMuch = () => {
    const countBytes = days.size * capacity * hoursPerDay * Uint32Array.BYTES_PER_ELEMENT
    if (countBytes > limits.countBytes) return true
    let total = 0
    for (const rows of windows.values()) total += rows.length()
    return total > limits.windows
  }

  const keepWithin = (now: number): void => {
    const oldest = Math.floor((now - maxDays * microsPerDay) / microsPerHour) * microsPerHour
    if (knownFrom < oldest && hasOld(oldest)) forgetBefore(oldest)
    while (isTooMuch() && knownFrom < now) {
      const begin = Math.max(knownFrom, oldest)
      forgetBefore(Math.min(now, begin + (now - begin > 2 * microsPerDay ? microsPerDay : microsPerHour)))
    }
    state = { ...state, missing: Chunk.filter(state.missing, ({ to }) => to >= knownFrom) }
    dropGone()
  }

  /** A younger journal has nothing to forget. */
  const hasOld = (oldest: number) => HashMap.some(state.streams, ({ wanted }) => wanted.from < oldest)

  return {
    knownFrom: () => knownFrom,
    state: () => state,
    apply: (entries) => {
      for (const entry of entries) {
        state = applyToCoverage(state, entry)
        const { event } = entry
        if (event._tag === "ProcessAlive") sure = event.lastSeen
        else if (event._tag === "ProcessStarted") sure = entry.at
      }
    },
    change: (f) => {
      state = f(state)
      sure = 0
    },
    settle: (now, { heard, lastSeen, open = [] } = {}) => {
      state = { ...state, streams: HashMap.map(state.streams, (coverage, key) => takeFrom(key, coverage)) }
      keepWithin(now)
      const settled = state
      show = () => endOfJournal(open.reduce(applyToCoverage, settled), lastSeen, heard)
      shown = undefined
      keys = undefined
    },
    shown: whatIsShown,
    keys: () => {
      keys ??= Array.from(HashMap.keys(whatIsShown().streams)).sort()
      return keys
    },
    stream: (key, range) =>
      Option.map(HashMap.get(whatIsShown().streams, key), (coverage) => {
        const rows = windows.get(key)
        return rows === undefined ? coverage : rows.joinedWith(coverage, range)
      }),
    messages: (key, from, hours) => {
      const messages = Array.from({ length: hours }, () => 0)
      const place = places.get(key)
      for (let i = 0; place !== undefined && i < hours; i++) {
        const day = Math.floor((from + i) / hoursPerDay)
        messages[i] = days.get(day)?.[place * hoursPerDay + (from + i - day * hoursPerDay)] ?? 0
      }
      for (const [hour, open] of Option.match(HashMap.get(whatIsShown().streams, key), {
        onNone: () => [],
        onSome: (coverage) => Array.from(coverage.messages)
      })) {
        if (hour >= from && hour < from + hours) messages[hour - from] = (messages[hour - from] ?? 0) + open
      }
      return messages
    },
    memory: () => ({
      knownFrom,
      sure,
      state,
      rows: new Map(Array.from(windows, ([key, rows]) => [key, rows.numbers()])),
      places,
      days
    })
  }
}

const nothingKnown: PastMemory = {
  knownFrom: 0,
  sure: 0,
  state: noCoverage,
  rows: new Map(),
  places: new Map(),
  days: new Map()
}

const hoursPerDay = 24

const maxCount = 2 ** 32 - 1

/** Combines the oldest ones: more of their time is in doubt if they are lost. */
const together = (unarchived: StreamCoverage["unarchived"]): StreamCoverage["unarchived"] => {
  const [first] = unarchived
  if (first === undefined || unarchived.length <= maxUnarchived) return unarchived
  const older = unarchived.slice(0, 1 - maxUnarchived / 2)
  return [
    { from: first.from, messages: older.reduce((sum, { messages }) => sum + messages, 0) },
    ...unarchived.slice(older.length)
  ]
}
