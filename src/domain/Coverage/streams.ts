import { Chunk, HashMap, Option } from "effect"
import { type StreamId, streamKey } from "../StreamId.ts"
import type { LastingReason } from "../Unsettled.ts"
import { type Coverage, newStream, type StreamCoverage } from "./state.ts"
import { isSet } from "./unset.ts"

/** Marks a stream as connected since then, and so to be recorded. */
export const wantSince = (coverage: StreamCoverage, since: number): StreamCoverage => ({
  ...coverage,
  isWanted: true,
  wanted: since < coverage.wanted.from ? reach(coverage, since).wanted : coverage.wanted
})

/** Gives up finding out whether it was connected up to here after missing entries: that time is in doubt. */
export const makeSure = (coverage: StreamCoverage, at: number): StreamCoverage =>
  Option.match(coverage.unsureSince, {
    onNone: () => coverage,
    onSome: (from) => ({
      ...coverage,
      unsureSince: Option.none(),
      doubts:
        at > from
          ? Chunk.append(coverage.doubts, { from, to: at, reason: "journal" as const })
          : coverage.doubts
    })
  })

export const beginDoubt = (
  coverage: StreamCoverage,
  reason: LastingReason,
  from: number
): StreamCoverage => ({
  ...coverage,
  lasting: HashMap.modifyAt(coverage.lasting, reason, (since) =>
    Option.some(
      Math.min(
        from,
        Option.getOrElse(since, () => from)
      )
    )
  )
})

/** Ends a doubt, which began at `since` if its start is unknown or was later: events in between may use another clock. */
export const endDoubt = (
  coverage: StreamCoverage,
  reason: LastingReason,
  at: number,
  since: number
): StreamCoverage => {
  const from = Option.match(HashMap.get(coverage.lasting, reason), {
    onNone: () => since,
    onSome: (known) => Math.min(known, since)
  })
  return {
    ...coverage,
    lasting: HashMap.remove(coverage.lasting, reason),
    doubts: at > from ? Chunk.append(coverage.doubts, { from, to: at, reason }) : coverage.doubts
  }
}

export const endDoubts = (coverage: StreamCoverage, at: number): StreamCoverage =>
  Array.from(HashMap.keys(coverage.lasting)).reduce(
    (rest, reason) => endDoubt(rest, reason, at, at),
    coverage
  )

/** Marks a stream as not to be recorded from `at` on, by what is known then. */
export const unwant = (coverage: StreamCoverage, at: number): StreamCoverage => ({
  ...endDoubts(coverage, at),
  isWanted: false,
  wanted: coverage.isWanted
    ? { from: coverage.wanted.from, to: Math.max(coverage.wanted.to, at) }
    : coverage.wanted
})

export const delist = (coverage: StreamCoverage, at: number): StreamCoverage => ({
  ...unwant(coverage, at),
  delistedAt: Option.some(at)
})

export const want = (coverage: StreamCoverage, at: number): StreamCoverage => ({
  ...coverage,
  isWanted: true,
  delistedAt: Option.none(),
  unwanted: Option.match(coverage.delistedAt, {
    onNone: () => coverage.unwanted,
    onSome: (from) => (at > from ? Chunk.append(coverage.unwanted, { from, to: at }) : coverage.unwanted)
  })
})

/** Changes a stream about which something is known at `at`. */
export const update = (
  state: Coverage,
  stream: StreamId,
  at: number,
  f: (coverage: StreamCoverage) => StreamCoverage
): Coverage => ({
  ...state,
  streams: HashMap.modifyAt(state.streams, streamKey(stream), (known) =>
    Option.some(
      f(
        reach(
          Option.getOrElse(known, () => newStream(state, stream, at)),
          at
        )
      )
    )
  )
})

/** Changes the known streams of a symbol. */
export const updateSymbol = (
  state: Coverage,
  { exchange, symbol }: { readonly exchange: string; readonly symbol: string },
  f: (coverage: StreamCoverage) => StreamCoverage
): Coverage => ({
  ...state,
  streams: HashMap.map(state.streams, (coverage) =>
    coverage.stream.exchange === exchange && coverage.stream.symbol === symbol ? f(coverage) : coverage
  )
})

/** Extends the time in which a stream is to be recorded. It is no time before the clock was set. */
export const reach = (coverage: StreamCoverage, at: number): StreamCoverage => {
  const { from, to } = coverage.wanted
  if (isSet(at, from)) return coverage
  return {
    ...coverage,
    wanted: isSet(from, at) ? { from: at, to: at } : { from: Math.min(from, at), to: Math.max(to, at) }
  }
}
