import type { ExchangeEvent, ExchangeStatus } from "../domain/ExchangeEvent.ts"
import { statusKey } from "../domain/ExchangeStatuses.ts"
import { microsPerHour } from "../domain/micros.ts"

/** A status message of an exchange. */
export interface Said {
  /** The status, in the exchange's own word. */
  readonly status: string
  /** What it is about: a product, a maintenance; the exchange as a whole if undefined. */
  readonly subject?: string
  readonly text?: string
  /** Whether its end will never be announced. */
  readonly isPassing?: boolean
  /** Whether it is reported only after a different status: for exchanges that report every product, mostly that all is well. */
  readonly isUsual?: boolean
}

/** Reports status changes of an exchange: only what is new, and once, however many connections it arrives on. */
export interface StatusWatch {
  /** `now`: the stamp of the frame. */
  readonly hear: (said: Said, now: number) => void
  /** To be called now and then: reports what had to wait. */
  readonly tick: (now: number) => void
}

/**
 * Makes a watch that reports at most `maxPerHour` changes an hour. Of what changes more often it reports the latest state when
 * there is room again.
 */
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

/** Sets a value, and keeps only the latest `maxKept`. */
const keep = <A>(of: Map<string, A>, key: string, value: A): void => {
  of.delete(key)
  of.set(key, value)
  const [oldest] = of.keys()
  if (of.size > maxKept && oldest !== undefined) of.delete(oldest)
}

/** Makes a text printable: without control characters, and at most `length` characters long. */
const plain = (text: string, length: number): string => text.replace(/\p{Cc}+/gu, " ").slice(0, length)

const maxWord = 64
const maxText = 500
const maxKept = 200
const maxPerHour = 60

/** An announcement repeated sooner is the same one, received on another connection. */
const repeatMicros = 600_000_000
