import { describe, expect, it } from "@effect/vitest"
import { advance, nothingSeen } from "../../src/exchange/Continuity.ts"
import { judgeHere, makeRemembered, makeSeenHere, seeHere } from "../../src/exchange/SeenHere.ts"

const second = 1_000_000

/** Two connections that bring one numbering; each message with the exchange's time, seconds. */
const twoConnections = () => {
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
    return verdict._tag
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
