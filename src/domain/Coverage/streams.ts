import { Chunk, HashMap, Option } from "effect"
import { type StreamId, streamKey } from "../StreamId.ts"
import type { LastingReason } from "../Unsettled.ts"
import { type Coverage, newStream, type StreamCoverage } from "./state.ts"

/** Marks a stream as connected since then, and so to be recorded. */
export const wantSince = (of: StreamCoverage, since: number): StreamCoverage => ({
  ...of,
  isWanted: true,
  wanted: { from: Math.min(of.wanted.from, since), to: of.wanted.to }
})

/** Gives up finding out whether it was connected up to here after missing entries: that time is in doubt. */
export const makeSure = (of: StreamCoverage, at: number): StreamCoverage =>
  Option.match(of.unsureSince, {
    onNone: () => of,
    onSome: (from) => ({
      ...of,
      unsureSince: Option.none(),
      doubts: at > from ? Chunk.append(of.doubts, { from, to: at, reason: "journal" as const }) : of.doubts
    })
  })

export const beginDoubt = (of: StreamCoverage, reason: LastingReason, from: number): StreamCoverage => ({
  ...of,
  lasting: HashMap.modifyAt(of.lasting, reason, (since) =>
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
  of: StreamCoverage,
  reason: LastingReason,
  at: number,
  since: number
): StreamCoverage => {
  const from = Option.match(HashMap.get(of.lasting, reason), {
    onNone: () => since,
    onSome: (known) => Math.min(known, since)
  })
  return {
    ...of,
    lasting: HashMap.remove(of.lasting, reason),
    doubts: at > from ? Chunk.append(of.doubts, { from, to: at, reason }) : of.doubts
  }
}

export const endDoubts = (of: StreamCoverage, at: number): StreamCoverage =>
  Array.from(HashMap.keys(of.lasting)).reduce((rest, reason) => endDoubt(rest, reason, at, at), of)

/** Marks a stream as not to be recorded from `at` on, by what is known then. */
export const unwant = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...endDoubts(of, at),
  isWanted: false,
  wanted: of.isWanted ? { from: of.wanted.from, to: Math.max(of.wanted.to, at) } : of.wanted
})

export const delist = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...unwant(of, at),
  delistedAt: Option.some(at)
})

export const want = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...of,
  isWanted: true,
  delistedAt: Option.none(),
  unwanted: Option.match(of.delistedAt, {
    onNone: () => of.unwanted,
    onSome: (from) => Chunk.append(of.unwanted, { from, to: at })
  })
})

/** Changes a stream about which something is known at `at`. */
export const update = (
  state: Coverage,
  stream: StreamId,
  at: number,
  f: (of: StreamCoverage) => StreamCoverage
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
  f: (of: StreamCoverage) => StreamCoverage
): Coverage => ({
  ...state,
  streams: HashMap.map(state.streams, (of) =>
    of.stream.exchange === exchange && of.stream.symbol === symbol ? f(of) : of
  )
})

export const reach = (of: StreamCoverage, at: number): StreamCoverage => ({
  ...of,
  wanted: { from: Math.min(of.wanted.from, at), to: Math.max(of.wanted.to, at) }
})
