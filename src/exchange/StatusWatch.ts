import type { ExchangeEvent, ExchangeStatus } from "../domain/ExchangeEvent.ts"
import { statusKey } from "../domain/ExchangeStatuses.ts"
import { microsPerHour } from "../domain/micros.ts"

/** What exchange status changed. */
export interface Said {
  /** In its own word. */
  readonly status: string
  /** What it is about: a product, a maintenance; the exchange as a whole without. */
  readonly subject?: string
  readonly text?: string
  /** Whether nothing will tell that it is over. */
  readonly isPassing?: boolean
  /** Whether it is only told where something else was: where an exchange tells of each product, mostly that all is well. */
  readonly isUsual?: boolean
}

/** Tells what exchange status changed: once, on however many connections it says it, and only what is new. */
export interface StatusWatch {
  /** `now`: the stamp of the frame. */
  readonly hear: (said: Said, now: number) => void
  /** To be called now and then: tells what had to wait. */
  readonly tick: (now: number) => void
}

/** Tells at most `maxPerHour` changes an hour; of what changes more often, the latest state when there is room again. */
export const makeStatusWatch = (exchange: string, emit: (event: ExchangeEvent) => void): StatusWatch => {
  const told = new Map<string, Status>()
  const waiting = new Map<string, Status>()
  /** When each announcement was last heard. */
  const announced = new Map<string, number>()
  let times: ReadonlyArray<number> = []

  const admit = (now: number): boolean => {
    times = times.filter((time) => now - time < microsPerHour)
    if (times.length >= maxPerHour) return false
    times = [...times, now]
    return true
  }

  const announce = (event: Status): void => {
    const key = `${event.status} ${event.text ?? ""}`
    const last = announced.get(key)
    keep(announced, key, event.at)
    const isNew = last === undefined || event.at - last >= repeatMicros
    if (isNew && admit(event.at)) emit(event)
  }

  return {
    hear: (said, now) => {
      const event: Status = {
        _tag: "ExchangeStatus",
        at: now,
        exchange,
        status: plain(said.status, maxWord),
        ...(said.subject === undefined ? {} : { subject: plain(said.subject, maxText) }),
        ...(said.text === undefined || said.text === "" ? {} : { text: plain(said.text, maxText) })
      }
      if (said.isPassing === true) return announce({ ...event, isPassing: true })
      const key = statusKey(event)
      if (isSame(waiting.get(key) ?? told.get(key), event)) return
      waiting.delete(key)
      if (isSame(told.get(key), event) || (said.isUsual === true && !told.has(key))) return
      if (admit(now)) {
        keep(told, key, event)
        emit(event)
      } else keep(waiting, key, event)
    },
    tick: (now) => {
      for (const [key, event] of waiting) {
        if (!admit(now)) return
        waiting.delete(key)
        keep(told, key, event)
        emit(event)
      }
    }
  }
}

type Status = typeof ExchangeStatus.Type

const isSame = (before: Status | undefined, { status, text }: Status): boolean =>
  before !== undefined && before.status === status && before.text === text

/** The latest ones only. */
const keep = <A>(of: Map<string, A>, key: string, value: A): void => {
  of.delete(key)
  of.set(key, value)
  const [oldest] = of.keys()
  if (of.size > maxKept && oldest !== undefined) of.delete(oldest)
}

/** It is printed: no control characters, and no more than so many. */
const plain = (text: string, length: number): string => text.replace(/\p{Cc}+/gu, " ").slice(0, length)

const maxWord = 64
const maxText = 500
const maxKept = 200
const maxPerHour = 60

/** An announcement that comes again sooner is the same one, on another connection. */
const repeatMicros = 600_000_000
