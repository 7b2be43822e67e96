import type { ClientConnection } from "./ClientConnection.ts"
import type { Fault } from "./Fault.ts"
import type { Feed } from "./Feed.ts"
import type { SimulatedListing } from "./listing.ts"
import { garbageKinds } from "./Protocol.ts"
import type { RestFault } from "./restServer.ts"

/** What a fault did. */
export interface FaultReport {
  readonly fault: Fault["_tag"]
  /** How many connections or streams it hit; later ones (as with `refuse`) do not count. */
  readonly affected: number
}

/** What faults act on. */
export interface FaultTargets {
  readonly feed: Feed
  /** The open connections. */
  readonly connections: () => ReadonlyArray<ClientConnection>
  /** Answers upgrades with this HTTP status for the given number of milliseconds. */
  readonly refuse: (milliseconds: number, status: number) => void
  /** Sends every new connection the closing notice for the given number of milliseconds. */
  readonly drain: (milliseconds: number) => void
  /** Makes the exchange report this status about itself from now on, to new connections too. */
  readonly announce: (status: string, text: string) => void
  /** Stops answering pings after the given number of milliseconds. */
  readonly muteIn: (milliseconds: number) => void
  /** Makes the REST interface misbehave. */
  readonly misbehave: (fault: RestFault) => void
  readonly symbols: Set<string>
  readonly listing: SimulatedListing
  /** Milliseconds since the epoch. */
  readonly clock: () => number
}

/** Carries out a fault. See `Fault` for what each one does. */
export const applyFault = (fault: Fault, targets: FaultTargets): FaultReport => ({
  fault: fault._tag,
  affected: hit(fault, targets)
})

const hit = (
  fault: Fault,
  { announce, clock, connections, drain, feed, listing, misbehave, muteIn, refuse, symbols }: FaultTargets
): number => {
  const toAll = (act: (connection: ClientConnection) => void): number => {
    const open = connections()
    open.forEach(act)
    return open.length
  }
  switch (fault._tag) {
    case "close":
      return toAll((connection) => connection.close(fault.code ?? 1001, fault.reason ?? ""))
    case "terminate":
      return toAll((connection) => connection.terminate())
    case "shutdown":
      drain(fault.for ?? 0)
      return toAll((connection) => connection.sendClosingNotice(clock()))
    case "silence": {
      const time = fault.for ?? Number.POSITIVE_INFINITY
      if (fault.for !== undefined) setTimeout(feed.wake, fault.for + 1).unref()
      const { stream } = fault
      return stream === undefined
        ? toAll((connection) => connection.silence(time))
        : connections().filter((connection) => connection.silenceStream(stream, time, fault.sticky ?? false))
            .length
    }
    case "garbage": {
      const kinds = fault.kind === undefined ? garbageKinds : [fault.kind]
      return toAll((connection) => {
        for (let i = 0; i < (fault.count ?? 5); i++) {
          connection.sendGarbage(kinds[i % kinds.length] ?? "text")
        }
      })
    }
    case "mangle": {
      const { every = 1, kind, stream } = fault
      const time = fault.for ?? Number.POSITIVE_INFINITY
      return connections().filter((connection) => connection.mangle({ every, kind, stream }, time)).length
    }
    case "duplicates": {
      const count = fault.count ?? 10
      return fault.when === "reconnect"
        ? feed.repeatToNext(fault.stream, count)
        : feed.repeatNow(fault.stream, count)
    }
    case "skip":
      return feed.skip(fault.stream, fault.count ?? 1)
    case "rewind": {
      const count = fault.count ?? 100
      if (fault.stream === undefined) toAll((connection) => connection.rewind(count))
      return feed.rewind(fault.stream, count)
    }
    case "burst":
      return feed.burst(fault.stream, fault.count ?? 1000)
    case "announce":
      announce(fault.status, fault.text ?? "")
      return toAll((connection) => connection.sendStatus())
    case "nopong":
      muteIn(fault.for ?? 0)
      return connections().length
    case "list":
      symbols.add(fault.symbol)
      return 1
    case "delist":
      return symbols.delete(fault.symbol) ? 1 : 0
    case "status":
      listing.setStatus(fault.symbol, fault.status)
      return symbols.has(fault.symbol) ? 1 : 0
    case "unlist": {
      const { count = Number.POSITIVE_INFINITY, keep = symbols.size, symbol } = fault
      listing.omit(symbol === undefined ? { keep } : { symbol }, count)
      return symbol === undefined ? symbols.size - Math.min(keep, symbols.size) : Number(symbols.has(symbol))
    }
    case "rest":
      misbehave({
        status: fault.status,
        retryAfter: fault.retry,
        delay: fault.delay ?? 0,
        until: performance.now() + (fault.for ?? Number.POSITIVE_INFINITY)
      })
      return 0
    case "refuse":
      refuse(fault.for ?? 5000, fault.status ?? 503)
      return 0
  }
}
