import { Chunk, HashMap } from "effect"
import type { Heard } from "../JournalEvent.ts"
import type { ConnectedWindow, StreamCoverage } from "./state.ts"
import { sinceOf } from "./unset.ts"

/** Name of a connection that was made while journal entries are missing, whatever its real name was. */
export const unnamed = ""

/** Returns the times on the connections that are open, up to when each was last heard. */
export const endsOf = (
  { open }: StreamCoverage,
  at: number,
  process: number,
  heard: Heard | undefined
): ReadonlyArray<ConnectedWindow> =>
  Array.from(open, ([connection, since]) => {
    const from = sinceOf(since, at)
    if (heard === undefined) return { from, to: Math.max(from, at), process }
    // An unnamed connection is one of those that were heard.
    const last = connection === unnamed ? Math.min(...Object.values(heard)) : (heard[connection] ?? from)
    return { from, to: Math.max(from, Math.min(at, last + 1)), process }
  })

export const closeAll = (coverage: StreamCoverage, ends: ReadonlyArray<ConnectedWindow>): StreamCoverage =>
  ends.length === 0
    ? coverage
    : {
        ...coverage,
        open: HashMap.empty<string, number>(),
        connected: Chunk.appendAll(coverage.connected, Chunk.unsafeFromArray(ends))
      }
