import type { MarketStream } from "../../domain/StreamId.ts"
import { streamKey } from "../../domain/StreamId.ts"
import type { SilenceWatch } from "../SilenceWatch.ts"
import { attempted } from "../StreamWatch.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import { isTalking } from "../Unreadable.ts"
import type { ConnectionContext } from "./ConnectionContext.ts"
import type { Subscriptions } from "./Subscription.ts"

/** Counts of a stream are told to the journal every so many seconds. */
const reportSeconds = 10

/**
 * Watches over the streams of a connection, once a second: asks again for those that were refused and are due, and for those that
 * fell silent; those that were asked for again in vain get another connection. `now` is in microseconds since the epoch.
 */
export const makeStreamChecks = (options: {
  readonly context: Pick<ConnectionContext, "clock" | "emit" | "silenceTimeout">
  readonly subscriptions: Subscriptions
  readonly silence: SilenceWatch
  readonly monotonicMillis: () => number
  readonly askAgain: (streams: ReadonlyArray<MarketStream>) => void
  /** Streams that were asked for again in vain: they should get another connection. Answers whether they do. */
  readonly onMove: (streams: ReadonlyArray<TrackedStream>) => boolean
  /** All of the connection is silent: another one should take over. */
  readonly onSilent: (reason: string) => void
}): ((now: number) => void) => {
  const { askAgain, monotonicMillis, onMove, onSilent, silence, subscriptions } = options
  const { clock, emit, silenceTimeout } = options.context
  let seconds = 0

  /**
   * Whether these, which were asked for again in vain, get another connection: all of the connection where nothing else has
   * come on it either, to the second.
   */
  const isMoved = (streams: ReadonlyArray<TrackedStream>, watched: number): boolean => {
    if (streams.length === 0) return false
    const isAll =
      streams.length === watched ||
      silence.quietFor() + 1 >= Math.min(...streams.map(({ watch }) => watch.quietFor))
    if (!isAll) return onMove(streams)
    onSilent(`${namesOf(streams)} fell silent`)
    return true
  }

  /** Since its last message, or since the exchange took it here: the watch's own seconds are late where the processor is busy. */
  const secondsSince = (stream: TrackedStream, now: number): number => {
    const takenAt = subscriptions.get(stream.id)?.takenAt
    const since = Math.max(stream.lastMessageAt || 0, takenAt || 0)
    return since === 0 ? 0 : Math.ceil((now - since) / 1000) / 1000
  }

  const tellCounts = (stream: TrackedStream, at: number): void => {
    if (stream.outOfOrder > 0) {
      emit({ _tag: "OutOfOrder", at, stream: stream.id, count: stream.outOfOrder })
      stream.outOfOrder = 0
    }
    if (stream.repeated > 0) {
      emit({ _tag: "Repeated", at, stream: stream.id, count: stream.repeated })
      stream.repeated = 0
    }
  }

  return (now) => {
    seconds++
    const millis = monotonicMillis()
    const watched: Array<TrackedStream> = []
    const due: Array<MarketStream> = []
    for (const subscription of subscriptions.values()) {
      const { answer, counts, stream } = subscription
      if (!counts) continue
      if (seconds % reportSeconds === 0) tellCounts(stream, now)
      if (answer === "taken" || answer === "assumed") watched.push(stream)
      if (answer === "refused" && clock.unsafeElapsed() >= stream.retryAt) {
        subscription.answer = "asked"
        due.push(stream.id)
      }
    }
    askAgain(due)
    silence.tick(watched.map(({ watch }) => watch))
    const silent = watched.filter(
      (stream) => silence.isSilent(stream.watch) && !isTalking(stream, millis, silenceTimeout)
    )
    if (silent.length === 0) return
    const stubborn = silent.filter(({ watch }) => watch.attempts % 2 === 1)
    const moved = isMoved(stubborn, watched.length) ? stubborn : []
    for (const stream of silent) {
      const { watch } = stream
      emit({
        _tag: "StreamSilent",
        at: now,
        stream: stream.id,
        seconds: Math.max(watch.quietFor, secondsSince(stream, now)),
        action: moved.includes(stream) ? "moved" : "resubscribed",
        isOpen: true
      })
      stream.isToldSilent = true
      stream.state = "silent"
      attempted(watch)
    }
    const again = silent.filter((stream) => !moved.includes(stream))
    // Without an end: what comes meanwhile would be lost.
    askAgain(again.map((stream) => stream.id))
  }
}

const namesOf = (streams: ReadonlyArray<TrackedStream>): string => {
  const names = streams.slice(0, 3).map((stream) => streamKey(stream.id))
  return streams.length > names.length
    ? `${names.join(", ")} and ${streams.length - names.length} more`
    : names.join(", ")
}
