import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import {
  type KeptNumbers,
  missingOnBoth,
  nothingDelivered,
  type StandbyNumbers,
  standBy,
  takeOver
} from "../../src/exchange/Connection/handover.ts"
import {
  advance,
  type Continuity,
  judge,
  maxHoles,
  type NumberedRule,
  nothingSeen
} from "../../src/exchange/Continuity.ts"
import { makeRemembered, makeSeenHere, type SeenHere, seeHere } from "../../src/exchange/SeenHere.ts"

const counter: NumberedRule = { kind: "counter", scope: "stream", spansConnections: true }
const ofConnection: NumberedRule = { ...counter, spansConnections: false }

const second = 1_000_000
/** The exchange's time of a message, and our receive time of it. */
const sentAt = (number: number) => number * second
const receivedAt = (number: number) => sentAt(number) + 100

const message = (number: number) => ({
  previous: number - 1,
  last: number,
  snapshot: false,
  exchangeTimestamp: sentAt(number)
})

/** What a connection that keeps a stream knows after these messages. */
const kept = (numbers: ReadonlyArray<number>, rule: NumberedRule = counter): KeptNumbers => {
  let continuity: Continuity = nothingSeen
  for (const number of numbers) {
    continuity = advance(continuity, message(number), judge(rule.kind, continuity, message(number)))
  }
  const last = numbers.at(-1)
  const lastAt = last === undefined ? Number.NaN : receivedAt(last)
  return {
    id: { exchange: "binance", symbol: "btcusdt", dataType: "trade" },
    rule,
    continuity,
    lastMessageAt: lastAt,
    lastNewAt: lastAt,
    newest: last === undefined ? Number.NaN : sentAt(last),
    overlap: Number.NaN
  }
}

/** What a connection that is to take over has seen after these messages. */
const followed = (stream: KeptNumbers, numbers: ReadonlyArray<number>) => {
  const here: SeenHere = makeSeenHere(makeRemembered())
  const late: Array<number> = []
  let standby: StandbyNumbers = nothingDelivered
  for (const number of numbers) {
    const next = standBy(standby, here, stream, message(number), receivedAt(number))
    seeHere(here, message(number), sentAt(number), next.verdict)
    standby = next.standby
    if (next.late !== undefined) late.push(number)
  }
  return { standby, time: here.time, late }
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const numbersOf = (events: ReturnType<typeof takeOver>["events"]): ReadonlyArray<number> =>
  events.flatMap((event) =>
    event._tag === "GapDetected" ? range(Number(event.expected), Number(event.received) - 1) : []
  )

/** Ascending numbers, some of which are left out. */
const delivered = FastCheck.tuple(
  FastCheck.integer({ min: 1, max: 30 }),
  FastCheck.array(FastCheck.boolean(), { minLength: 1, maxLength: 30 })
).map(([begin, isThere]) => [begin, ...range(begin + 1, begin + isThere.length).filter((_, i) => isThere[i])])

describe("a handover", () => {
  it("tells exactly of the numbers beyond the connection before that the next one has not brought", () => {
    FastCheck.assert(
      FastCheck.property(delivered, delivered, (before, after) => {
        const stream = kept(before)
        const { standby, time } = followed(stream, after)
        const lastBefore = before.at(-1) ?? 0
        const lastAfter = after.at(-1) ?? 0
        const { events, stream: next } = takeOver(standby, time, stream, receivedAt(100))
        expect(numbersOf(events)).toEqual(
          range(lastBefore + 1, lastAfter).filter((number) => !after.includes(number))
        )
        expect(next.continuity.last).toBe(Math.max(lastBefore, lastAfter))
        expect(next.overlap).toBe(lastBefore > lastAfter ? lastBefore : Number.NaN)
        expect(next.continuity.holes.length).toBeLessThanOrEqual(maxHoles)
        expect(numbersOf(events).length === 0).toBe(missingOnBoth(standby, stream).length === 0)
      })
    )
  })

  it("takes what comes on the next connection for what the one before had missed", () => {
    FastCheck.assert(
      FastCheck.property(delivered, delivered, (before, after) => {
        const stream = kept(before)
        const isMissing = (number: number) =>
          stream.continuity.holes.some(({ from, to }) => number > Number(from) && number <= Number(to))
        expect(followed(stream, after).late).toEqual(after.filter(isMissing))
      })
    )
  })

  it("doubts the time between where numbers do not go on over a reconnect and one is missing", () => {
    const stream = kept([7, 8], ofConnection)
    const { standby, time } = followed(stream, [1, 2, 4])
    const { events, stream: next } = takeOver(standby, time, stream, receivedAt(9))
    expect(events).toEqual([
      {
        _tag: "Discontinuity",
        at: receivedAt(9),
        stream: stream.id,
        reason: "reconnect",
        after: receivedAt(2),
        before: receivedAt(4)
      }
    ])
    expect(next.continuity.last).toBe(4)
  })

  it("knows numbers that the exchange set back: newer messages under numbers that are not above", () => {
    const stream = kept([70, 71])
    const here = makeSeenHere(makeRemembered())
    let standby = nothingDelivered
    for (const number of [1, 2, 3]) {
      const later = { ...message(number), exchangeTimestamp: sentAt(80 + number) }
      const next = standBy(standby, here, stream, later, receivedAt(80 + number))
      seeHere(here, later, later.exchangeTimestamp, next.verdict)
      standby = next.standby
    }
    const { events, stream: next } = takeOver(standby, here.time, stream, receivedAt(90))
    expect(events).toMatchObject([
      { _tag: "Discontinuity", reason: "set back", after: receivedAt(71), before: receivedAt(83) }
    ])
    expect(next.continuity).toEqual({ last: 3, holes: [], repeats: 0 })
  })
})
