import type { MarketPattern } from "./MarketPattern.ts"
import { type MarketStream, streamKey } from "./StreamId.ts"

/** What MARKETS names: streams, and symbol patterns to be resolved by the exchange. */
export interface Markets {
  readonly streams: ReadonlyArray<MarketStream>
  readonly patterns: ReadonlyArray<MarketPattern>
}

/** What another MARKETS changes, while the process is running. */
export interface MarketsChange {
  /** Streams that are recorded from now on and were not before. */
  readonly added: ReadonlyArray<MarketStream>
  /** Streams that are named from now on, and were not: those that are added, or were recorded for a pattern. */
  readonly named: ReadonlyArray<MarketStream>
  /** Streams that are no longer named, and recorded only because a pattern matches them. */
  readonly matched: ReadonlyArray<MarketStream>
  /** Streams that are not recorded any more. */
  readonly ended: ReadonlyArray<MarketStream>
}

export const noChange: MarketsChange = { added: [], named: [], matched: [], ended: [] }

/**
 * Compares two MARKETS of an exchange. `recorded` are the streams that it records now; `isMatched` tells whether one of the new
 * patterns matches a stream: such a stream stays until the list of instruments lacks it.
 */
export const changeOf = (
  before: ReadonlyArray<MarketStream>,
  after: ReadonlyArray<MarketStream>,
  recorded: ReadonlyArray<MarketStream>,
  isMatched: (stream: MarketStream) => boolean
): MarketsChange => {
  const [was, is, has] = [before, after, recorded].map((streams) => new Set(streams.map(streamKey)))
  const lacks = (set: ReadonlySet<string> | undefined) => (stream: MarketStream) =>
    set?.has(streamKey(stream)) !== true
  const known = [...recorded, ...before.filter(lacks(has))]
  const unnamed = known.filter(lacks(is))
  return {
    added: after.filter(lacks(has)).filter(lacks(was)),
    named: after.filter(lacks(was)),
    matched: unnamed.filter(isMatched).filter((stream) => !lacks(was)(stream)),
    ended: unnamed.filter((stream) => !isMatched(stream))
  }
}
