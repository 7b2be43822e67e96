import { Chunk, HashMap, Option } from "effect"
import type { ExchangeStatus } from "./ExchangeEvent.ts"
import type { JournalEntry, JournalEvent } from "./JournalEvent.ts"

/** What an exchange reports about itself, in its own words, and since when, microseconds. */
export interface SaidStatus {
  readonly exchange: string
  readonly subject: string | null
  readonly status: string
  readonly text: string | null
  readonly from: number
}

/**
 * A status up to the exchange's next one, or the end of the process; `to` is null while it lasts, and `from` if it was about a
 * moment.
 */
export interface StatusWindow extends SaidStatus {
  readonly to: number | null
}

/** The status messages of exchanges: a separate fold over the journal. It explains holes, and neither creates nor closes one. */
export interface ExchangeStatuses {
  readonly current: HashMap.HashMap<string, SaidStatus>
  /** The latest statuses that are over. */
  readonly past: Chunk.Chunk<StatusWindow>
}

export const noStatuses: ExchangeStatuses = { current: HashMap.empty(), past: Chunk.empty() }

/** Words for an exchange that works as usual, or whose maintenance is scheduled or over. */
const usualWords: ReadonlySet<string> = new Set(["online", "scheduled", "completed", "canceled", "cancelled"])

/** Whether an exchange with this status does not work as usual. */
export const isImpaired = ({ status }: { readonly status: string }): boolean =>
  !usualWords.has(status.toLowerCase())

/** A key for the exchange and the subject of a status. */
export const statusKey = ({
  exchange,
  subject
}: {
  readonly exchange: string
  readonly subject?: string | null | undefined
}): string => `${exchange} ${subject ?? ""}`

export const saidBy = ({ at, exchange, status, subject, text }: typeof ExchangeStatus.Type): SaidStatus => ({
  exchange,
  subject: subject ?? null,
  status,
  text: text ?? null,
  from: at
})

const aboutStatus = ["ExchangeStatus", "ProcessStarted", "ProcessStopped"] as const

/** Whether the fold needs to see the event. */
export const isAboutStatus = (
  event: JournalEvent
): event is Extract<JournalEvent, { readonly _tag: (typeof aboutStatus)[number] }> =>
  aboutStatus.some((tag) => tag === event._tag)

/** Returns the state after an entry. */
export const applyToStatuses = (state: ExchangeStatuses, { at, event }: JournalEntry): ExchangeStatuses => {
  switch (event._tag) {
    case "ExchangeStatus": {
      const said = saidBy(event)
      if (event.isPassing === true) return { ...state, past: add(state.past, { ...said, to: said.from }) }
      const key = statusKey(event)
      const before = HashMap.get(state.current, key)
      if (Option.exists(before, ({ status, text }) => status === said.status && text === said.text))
        return state
      return {
        current: HashMap.set(state.current, key, said),
        past: Option.match(before, {
          onNone: () => state.past,
          onSome: (window) => add(state.past, until(window, said.from))
        })
      }
    }
    case "ProcessStarted":
      return endAll(state, event.previous?.lastSeen ?? at)
    case "ProcessStopped":
      return endAll(state, event.lastSeen ?? at)
    default:
      return state
  }
}

/** Returns all status windows within a time, and those that last, in order of their start. */
export const statusesIn = (
  { current, past }: ExchangeStatuses,
  { from, to }: { readonly from: number; readonly to: number }
): ReadonlyArray<StatusWindow> =>
  [...past, ...Array.from(HashMap.values(current), (said) => ({ ...said, to: null }))]
    .filter((window) => window.from < to && (window.to === null || window.to >= from))
    .sort((a, b) => a.from - b.from)

/** Ends all current statuses, because nothing listens any more. */
const endAll = ({ current, past }: ExchangeStatuses, at: number): ExchangeStatuses => ({
  current: HashMap.empty(),
  past: HashMap.reduce(current, past, (all, said) => add(all, until(said, at)))
})

const until = (said: SaidStatus, at: number): StatusWindow => ({ ...said, to: Math.max(said.from, at) })

const add = (past: ExchangeStatuses["past"], window: StatusWindow): ExchangeStatuses["past"] =>
  Chunk.append(Chunk.size(past) < maxPast ? past : Chunk.drop(past, 1), window)

/** At about 150 bytes each. */
const maxPast = 10_000
