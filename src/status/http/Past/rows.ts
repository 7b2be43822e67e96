import { Chunk } from "effect"
import {
  type ConnectedWindow,
  type Doubt,
  type DropWindow,
  doubtReasons,
  type Gap,
  type StreamCoverage
} from "../../../domain/Coverage/state.ts"
import type { Integer } from "../../../domain/Integer.ts"
import type { Window } from "../../../domain/Window.ts"

/** Numbers per row: kind, from, to, and up to three more. */
export const rowLength = 6

type GapKind = Pick<Gap, "rule" | "scope">

const gapKinds: ReadonlyArray<GapKind> = (["counter", "range", "chain"] as const).flatMap((rule) =>
  (["stream", "connection"] as const).map((scope) => ({ rule, scope }))
)

export const kinds = { connected: 0, unwanted: 1, drop: 2, gap: 3, doubt: 3 + gapKinds.length }

/** NaN for values beyond 2^53: rows are for people. */
export const inRow = (integer: Integer): number => (typeof integer === "number" ? integer : Number.NaN)

export const gapKind = (gap: Gap): number =>
  kinds.gap + gapKinds.findIndex(({ rule, scope }) => rule === gap.rule && scope === gap.scope)

export const doubtKind = (reason: Doubt["reason"]): number => kinds.doubt + doubtReasons.indexOf(reason)

/** The windows of a stream. */
export interface Rows {
  readonly length: () => number
  readonly add: (kind: number, from: number, to: number, a?: number, b?: number, c?: number) => void
  readonly forgetBefore: (oldest: number) => void
  /** The coverage, with the windows that touch the range added. */
  readonly joinedWith: (coverage: StreamCoverage, range: Window) => StreamCoverage
  readonly numbers: () => Float64Array
}

export const rowsFrom = (numbers: Float64Array): Rows => {
  let data = numbers
  let used = numbers.length

  return {
    length: () => used / rowLength,
    add: (...row) => {
      if (used + rowLength > data.length) {
        const length = Math.max(4, Math.ceil((data.length / rowLength) * 1.5)) * rowLength
        data = grown(new Float64Array(length), data)
      }
      for (let i = 0; i < rowLength; i++) data[used + i] = row[i] ?? 0
      used += rowLength
    },
    forgetBefore: (oldest) => {
      let kept = 0
      for (let at = 0; at < used; at += rowLength) {
        if ((data[at + 2] ?? 0) < oldest) continue
        data.copyWithin(kept, at, at + rowLength)
        kept += rowLength
      }
      if (kept < data.length / 2) data = data.slice(0, kept)
      used = kept
    },
    joinedWith: (coverage, range) => {
      const connected: Array<ConnectedWindow> = []
      const unwanted: Array<Window> = []
      const gaps: Array<Gap> = []
      const drops: Array<DropWindow> = []
      const doubts: Array<Doubt> = []
      for (let at = 0; at < used; at += rowLength) {
        const [kind = 0, from = 0, to = 0, a = 0, b = 0, c = 0] = Array.from(
          data.subarray(at, at + rowLength)
        )
        if (to < range.from || from >= range.to) continue
        const reason = doubtReasons[kind - kinds.doubt]
        const gap = gapKinds[kind - kinds.gap]
        if (kind === kinds.connected) connected.push({ from, to, process: 0 })
        else if (kind === kinds.unwanted) unwanted.push({ from, to })
        else if (kind === kinds.drop) drops.push({ from, to, count: a })
        else if (gap !== undefined) {
          gaps.push({ ...gap, from, to, size: Number.isNaN(a) ? null : a, expected: b, received: c })
        } else if (reason !== undefined) doubts.push({ from, to, reason })
      }
      return {
        ...coverage,
        connected: before(connected, coverage.connected),
        unwanted: before(unwanted, coverage.unwanted),
        gaps: before(gaps, coverage.gaps),
        drops: before(drops, coverage.drops),
        doubts: before(doubts, coverage.doubts)
      }
    },
    numbers: () => data.subarray(0, used)
  }
}

const before = <A>(older: ReadonlyArray<A>, newer: Chunk.Chunk<A>): Chunk.Chunk<A> =>
  Chunk.unsafeFromArray([...older, ...newer])

/** Puts `numbers` at the start of a longer array. */
export const grown = <A extends { readonly set: (values: A) => void }>(longer: A, numbers: A): A => {
  longer.set(numbers)
  return longer
}
