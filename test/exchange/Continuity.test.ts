import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { distance, integerOf, plus } from "../../src/domain/Integer.ts"
import {
  advance,
  type Continuity,
  type ContinuityRule,
  type Hole,
  judge,
  maxHoles,
  maxRepeats,
  missingOn,
  nothingSeen,
  numbersAround,
  type Place,
  type Verdict
} from "../../src/exchange/Continuity.ts"

type Kind = ContinuityRule["kind"]

const counted = (id: number): Place => ({ previous: id - 1, last: id, snapshot: false })
const range = (first: number, last: number): Place => ({ previous: first - 1, last, snapshot: false })
const chained = (previous: number, last: number): Place => ({ previous, last, snapshot: false })
const snapshot = (last: number): Place => ({ previous: -1, last, snapshot: true })

/** Verdicts over messages in a row, and what was seen in the end. */
const run = (kind: Kind, places: ReadonlyArray<Place>) => {
  let seen: Continuity = nothingSeen
  const verdicts = places.map((place) => {
    const verdict = judge(kind, seen, place)
    seen = advance(seen, place, verdict)
    return verdict
  })
  return { verdicts, seen, tags: verdicts.map((verdict) => verdict._tag) }
}

const holeOf = (verdict: Verdict | undefined) =>
  verdict?._tag === "Gap" ? { ...verdict.hole, size: verdict.size } : undefined

describe("counter", () => {
  it("knows how many are missing", () => {
    const { tags, verdicts } = run("counter", [5, 6, 9, 10].map(counted))
    expect(tags).toEqual(["Continues", "Continues", "Gap", "Continues"])
    expect(holeOf(verdicts[2])).toEqual({ from: 6, to: 8, size: 2 })
    expect(numbersAround("counter", { from: 6, to: 8 })).toEqual({ expected: 7, received: 9 })
  })

  it("tells late messages from repeated ones", () => {
    const { tags, seen } = run("counter", [1, 2, 6, 4, 4, 2, 3, 5, 5, 7].map(counted))
    expect(tags).toEqual([
      ...["Continues", "Continues", "Gap", "OutOfOrder", "Repeated", "Repeated"],
      ...["OutOfOrder", "OutOfOrder", "Repeated", "Continues"]
    ])
    expect(seen).toEqual({ last: 7, holes: [], repeats: 0 })
  })

  it("takes several numbers at once", () => {
    expect(run("counter", [range(1, 3), range(4, 4), range(7, 9), range(10, 12)]).tags).toEqual([
      "Continues",
      "Continues",
      "Gap",
      "Continues"
    ])
  })

  it("knows how many are missing within a message, and before it too", () => {
    const { seen, tags, verdicts } = run("counter", [
      { ...range(1, 4), missing: 2 },
      { ...range(5, 6), missing: 0 },
      { ...range(9, 12), missing: 1 },
      counted(11),
      counted(13)
    ])
    expect(tags).toEqual(["Gap", "Continues", "Gap", "OutOfOrder", "Continues"])
    expect(holeOf(verdicts[0])).toEqual({ from: 1, to: 3, size: 2 })
    expect(holeOf(verdicts[2])).toEqual({ from: 6, to: 11, size: 3 })
    expect(seen.last).toBe(13)
  })

  it("remembers so many holes", () => {
    const { seen } = run(
      "counter",
      Array.from({ length: 100 }, (_, i) => counted(i * 2))
    )
    expect(seen.holes.length).toBe(maxHoles)
  })

  it("is not stuck for ever when numbers were set back unseen", () => {
    const places = [counted(1_000_000), ...Array.from({ length: maxRepeats + 5 }, (_, i) => counted(i + 10))]
    const { tags, verdicts } = run("counter", places)
    expect(tags.slice(1, maxRepeats + 1).every((tag) => tag === "Repeated")).toBe(true)
    expect(holeOf(verdicts[maxRepeats + 1])?.size).toBeNull()
    expect(tags.slice(maxRepeats + 2).every((tag) => tag === "Continues")).toBe(true)
  })
})

describe("range", () => {
  it("begins behind the range before", () => {
    const { tags, verdicts } = run("range", [range(10, 14), range(15, 15), range(18, 30)])
    expect(tags).toEqual(["Continues", "Continues", "Gap"])
    expect(holeOf(verdicts[2])).toEqual({ from: 15, to: 17, size: 2 })
  })

  it("misses nothing where ranges overlap", () => {
    expect(run("range", [range(10, 14), range(12, 20), range(21, 22)]).tags).toEqual([
      "Continues",
      "Continues",
      "Continues"
    ])
  })
})

describe("chain", () => {
  it("follows jumps, and does not guess how many are missing", () => {
    const { tags, verdicts } = run("chain", [snapshot(100), chained(100, 180), chained(200, 260)])
    expect(tags).toEqual(["Continues", "Continues", "Gap"])
    expect(holeOf(verdicts[2])).toEqual({ from: 180, to: 200, size: null })
    expect(numbersAround("chain", { from: 180, to: 200 })).toEqual({ expected: 180, received: 200 })
  })

  it("takes an empty message of the same number for a sign of life", () => {
    expect(run("chain", [snapshot(100), chained(100, 100), chained(100, 130)]).tags).toEqual([
      "Continues",
      "Continues",
      "Continues"
    ])
  })

  it("goes on from a lower number when the exchange says so", () => {
    expect(run("chain", [snapshot(100), chained(100, 7), chained(7, 9)]).tags).toEqual([
      "Continues",
      "SetBack",
      "Continues"
    ])
  })

  it("is broken by a message that names another one before it", () => {
    expect(run("chain", [snapshot(100), chained(90, 120)]).tags).toEqual(["Continues", "Gap"])
  })
})

describe("snapshots", () => {
  it("begin anew, whatever came before", () => {
    for (const kind of ["counter", "range", "chain"] as const) {
      expect(run(kind, [counted(50), snapshot(10), chained(10, 11)]).tags).toEqual([
        "Continues",
        "Restarted",
        "Continues"
      ])
    }
  })
})

describe("none", () => {
  it("proves nothing", () => {
    const { seen, tags } = run("none", [
      counted(1),
      counted(9),
      { previous: Number.NaN, last: Number.NaN, snapshot: false }
    ])
    expect(new Set(tags)).toEqual(new Set(["Continues"]))
    expect(seen.holes).toEqual([])
  })
})

/** Numbers that begin here: around and beyond 2^53 neighbours are the same to who takes them for JavaScript's. */
const begins = [0n, 2n ** 53n - 15n, 2n ** 63n - 1n, 10n ** 27n] as const

describe.each(begins)("any order of messages, numbered from %s on", (begin) => {
  const numberAt = (id: number) => integerOf(String(begin + BigInt(id)))
  const numbered = (id: number): Place => ({
    previous: numberAt(id - 1),
    last: numberAt(id),
    snapshot: false
  })
  const numbers = ({ from, to }: Hole) =>
    Array.from({ length: distance(from, to) }, (_, n) => plus(from, n + 1))

  it("finds every hole exactly, and nothing else", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.boolean(), { minLength: 2, maxLength: 40 }),
        FastCheck.nat(),
        (kept, firstId) => {
          const ids = kept.flatMap((keep, i) => (keep ? [firstId + i] : []))
          const { verdicts } = run("counter", ids.map(numbered))
          const found = verdicts.flatMap((verdict) => {
            const hole = holeOf(verdict)
            if (hole === undefined) return []
            expect(hole.size).toBe(numbers(hole).length)
            return numbers(hole)
          })
          const [first = 0] = ids
          const last = ids.at(-1) ?? 0
          const missing = kept.flatMap((keep, i) => (keep ? [] : [firstId + i]))
          expect(found).toEqual(missing.filter((id) => id > first && id < last).map(numberAt))
        }
      ),
      { numRuns: 500 }
    )
  })

  it("knows every late message and every repeated one, within the holes it remembers", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 60 }),
        (ids) => {
          const { tags } = run("counter", ids.map(numbered))
          const seen = new Set<number>()
          const first = ids[0] ?? 0
          let highest = first - 1
          ids.forEach((id, i) => {
            const expected =
              id > highest
                ? id === highest + 1
                  ? "Continues"
                  : "Gap"
                : seen.has(id) || id < first
                  ? "Repeated"
                  : "OutOfOrder"
            expect(tags[i]).toBe(expected)
            seen.add(id)
            highest = Math.max(highest, id)
          })
        }
      ),
      { numRuns: 1000 }
    )
  })

  it("knows exactly what another connection has not delivered either", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.boolean(), { minLength: 1, maxLength: 30 }),
        FastCheck.nat(10),
        FastCheck.nat(40),
        FastCheck.nat(40),
        (kept, first, one, other) => {
          const delivered = kept.flatMap((keep, n) => (keep ? [first + n] : []))
          const start = delivered[0] === undefined ? Number.NaN : numberAt(delivered[0] - 1)
          let seen: Continuity = nothingSeen
          for (const id of delivered) {
            const place = numbered(id)
            seen = advance(seen, place, judge("counter", seen, place), Number.POSITIVE_INFINITY)
          }
          const hole = { from: numberAt(Math.min(one, other)), to: numberAt(Math.max(one, other)) }
          const held = delivered.map(numberAt)
          expect(missingOn({ start, seen }, hole).flatMap(numbers)).toEqual(
            numbers(hole).filter((number) => !held.includes(number))
          )
        }
      ),
      { numRuns: 500 }
    )
  })
})
