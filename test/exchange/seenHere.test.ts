import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { advance, nothingSeen } from "../../src/exchange/Continuity.ts"
import { isNew, judgeHere, makeRemembered, makeSeenHere, seeHere } from "../../src/exchange/SeenHere.ts"

const second = 1_000_000

/** Two connections that bring one numbering; each message with the exchange's time, seconds. */
const twoConnections = () => {
  const receive = judgeTwo()
  return (on: "a" | "b", last: number, seconds: number, snapshot = false) =>
    receive(on, last, seconds, snapshot)._tag
}

const judgeTwo = () => {
  const remembered = makeRemembered()
  const connections = { a: makeSeenHere(remembered), b: makeSeenHere(remembered) }
  let seen = nothingSeen
  let newest = Number.NaN
  return (on: "a" | "b", last: number, seconds: number, snapshot = false) => {
    const place = { previous: last - 1, last, snapshot }
    const time = seconds * second
    const verdict = judgeHere("counter", seen, place, connections[on], { time, newest })
    seen = advance(seen, place, verdict)
    seeHere(connections[on], place, time, verdict)
    if (!(time <= newest)) newest = time
    return verdict
  }
}

describe("a snapshot that another connection begins with, some time after the last change", () => {
  const begun = () => {
    const receive = twoConnections()
    for (const n of [1, 2, 3, 4]) expect(receive("a", n, n)).toBe("Continues")
    expect(receive("b", 5, 9, true)).toBe("Restarted")
    return receive
  }

  it("has the number of a change that comes late on the other, which is that change", () => {
    const receive = begun()
    expect(receive("a", 5, 5)).toBe("Repeated")
    expect(receive("a", 6, 10)).toBe("Continues")
  })

  it("is followed by changes that both bring", () => {
    const receive = begun()
    expect(receive("b", 6, 10)).toBe("Continues")
    expect(receive("a", 5, 5)).toBe("Repeated")
    expect(receive("a", 6, 10)).toBe("Repeated")
  })

  it("is not taken for a later message of that number: the numbers were set back", () => {
    expect(begun()("a", 5, 11)).toBe("SetBack")
  })
})

/** A message with the exchange's time, seconds; lost ones are sent and never arrive. */
interface Sent {
  readonly on: "a" | "b"
  readonly number: number
  readonly seconds: number
  readonly isLost?: boolean
}

/** The places of the lost messages among those sent, and the windows of places that are told as gaps or in doubt. */
const receiveAll = (sent: ReadonlyArray<Sent>) => {
  const receive = judgeTwo()
  const told: Array<{ readonly after: number; readonly before: number }> = []
  const lost: Array<number> = []
  let lastNew = Number.NaN
  for (const [place, { isLost, number, on, seconds }] of sent.entries()) {
    if (isLost === true) {
      lost.push(place)
      continue
    }
    const verdict = receive(on, number, seconds)
    if (verdict._tag === "Gap" || verdict._tag === "SetBack") told.push({ after: lastNew, before: place })
    if (isNew(verdict)) lastNew = place
  }
  return {
    lost,
    told,
    untold: lost.filter((at) => !told.some(({ after, before }) => after < at && at < before))
  }
}

const each = 0.1
/** So many messages on the first connection, more than are remembered. */
const before = FastCheck.integer({ min: 200, max: 400 })
const sentOn = (on: Sent["on"], from: number, to: number, seconds: (number: number) => number) =>
  Array.from(
    { length: Math.max(0, to - from + 1) },
    (_, i): Sent => ({
      on,
      number: from + i,
      seconds: seconds(from + i)
    })
  )
const timeOf = (number: number) => number * each

describe("a connection that begins with numbers far below the newest one", () => {
  it("whose messages others had under these numbers, with what is lost among them, is told at once", () => {
    FastCheck.assert(
      FastCheck.property(
        before,
        FastCheck.integer({ min: 1, max: 400 }),
        FastCheck.integer({ min: 11, max: 500 }),
        FastCheck.array(FastCheck.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 }),
        FastCheck.integer({ min: 1, max: 450 }),
        (newest, back, shift, gone, read) => {
          const first = Math.max(1, newest + 1 - back)
          // By another clock than before, so that no message has its number and its time.
          const anew = sentOn(
            "b",
            first,
            newest + 50,
            (number) => timeOf(number) + (shift % 2 ? shift : -shift) * each
          )
          const isLost = (i: number) => i > 0 && gone.includes(i) && i < Math.min(read, anew.length) - 1
          const sent = [
            ...sentOn("a", 1, newest, timeOf),
            ...anew.slice(0, read).map((message, i) => (isLost(i) ? { ...message, isLost: true } : message))
          ]
          expect(receiveAll(sent).untold).toEqual([])
        }
      ),
      { numRuns: 500 }
    )
  })

  it("with the same messages again is nothing", () => {
    FastCheck.assert(
      FastCheck.property(
        before,
        FastCheck.integer({ min: 1, max: 400 }),
        FastCheck.float({ min: Math.fround(-0.9), max: Math.fround(0.9), noNaN: true }),
        (newest, back, lag) => {
          const first = Math.max(1, newest + 1 - back)
          const sent = [
            ...sentOn("a", 1, newest, timeOf),
            ...sentOn("b", first, newest + 50, (number) => timeOf(number) + lag)
          ]
          expect(receiveAll(sent).told).toEqual([])
        }
      )
    )
  })

  it("with the same messages again, and some left out that the first one had left out, is nothing more", () => {
    const isLost = ({ number }: Sent) => number > 100 && number < 110
    const { told, untold } = receiveAll(
      [...sentOn("a", 1, 400, timeOf), ...sentOn("b", 80, 420, timeOf)].map((message) =>
        isLost(message) ? { ...message, isLost: true } : message
      )
    )
    expect(told).toHaveLength(1)
    expect(untold).toHaveLength(9)
  })

  it("and goes on behind the newest one, with what is in between left out: is told", () => {
    const { untold } = receiveAll([
      ...sentOn("a", 1, 400, timeOf),
      ...sentOn("b", 80, 420, (number) => timeOf(number) - 5).map((message) =>
        message.number > 100 && message.number <= 400 ? { ...message, isLost: true } : message
      )
    ])
    expect(untold).toEqual([])
  })
})
