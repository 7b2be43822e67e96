import { Chunk, HashMap } from "effect"
import type { SettingsReloaded } from "../JournalEvent.ts"
import { type StreamId, streamKey } from "../StreamId.ts"
import { lastMoments } from "./ending.ts"
import type { Coverage, StreamCoverage } from "./state.ts"
import { delist, makeSure, update, want } from "./streams.ts"

/**
 * Changes what is to be recorded at `at`: like the end of a process for the streams that are ended, like its start for those that
 * are named.
 */
export const reload = (state: Coverage, at: number, event: typeof SettingsReloaded.Type): Coverage => {
  const ended = event.ended.reduce(
    (changed, stream) => changeKnown(changed, stream, (coverage) => end(coverage, at)),
    state
  )
  const matched = event.matched.reduce(
    (changed, stream) => changeKnown(changed, stream, (coverage) => ({ ...coverage, isNamed: false })),
    ended
  )
  return event.named.reduce(
    (changed, stream) =>
      update(changed, stream, at, (coverage) => ({ ...want(coverage, at), isNamed: true })),
    matched
  )
}

const changeKnown = (
  state: Coverage,
  stream: StreamId,
  f: (coverage: StreamCoverage) => StreamCoverage
): Coverage => ({ ...state, streams: HashMap.modify(state.streams, streamKey(stream), f) })

/** The moment between the last frame of a connection and the end of the stream was not to be recorded. */
const end = (known: StreamCoverage, at: number): StreamCoverage => {
  const coverage = makeSure(known, at)
  if (!coverage.isWanted) return { ...coverage, isNamed: false }
  const last = Chunk.reduce(coverage.connected, 0, (latest, { to }) => Math.max(latest, to))
  const to = last > 0 && last <= at && at - last < lastMoments ? last : at
  return {
    ...delist(coverage, to),
    isNamed: false,
    wanted: { from: coverage.wanted.from, to: Math.max(coverage.wanted.from, to) }
  }
}
