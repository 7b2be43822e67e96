import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { difference, intersection, lengthOf, union, type Window } from "../../src/domain/Window.ts"

const windows = FastCheck.array(
  FastCheck.tuple(FastCheck.nat(20), FastCheck.nat(6)).map(
    ([from, length]): Window => ({ from, to: from + length })
  ),
  { maxLength: 6 }
)

/** The moments that lie in windows. */
const moments = (windows: ReadonlyArray<Window>) =>
  Array.from({ length: 30 }, (_, at) => at).filter((at) =>
    windows.some(({ from, to }) => at >= from && at < to)
  )

describe("windows", () => {
  it("are united, intersected and subtracted like sets of moments", () => {
    FastCheck.assert(
      FastCheck.property(windows, windows, (a, b) => {
        const [inA, inB] = [moments(a), moments(b)]
        expect(moments(union([...a, ...b]))).toEqual(moments([...a, ...b]))
        expect(moments(intersection(a, b))).toEqual(inA.filter((at) => inB.includes(at)))
        expect(moments(difference(a, b))).toEqual(inA.filter((at) => !inB.includes(at)))
        expect(lengthOf(a)).toBe(inA.length)
      })
    )
  })
})
