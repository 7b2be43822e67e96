import { isSporadic, type MarketStream, streamKey } from "../../domain/StreamId.ts"
import type { SilenceWatch } from "../SilenceWatch.ts"
import { attempted } from "../StreamWatch.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import { isTalking } from "../Unreadable.ts"
import type { ConnectionContext } from "./ConnectionContext.ts"
import type { Subscriptions } from "./Subscription.ts"

/** How often, in seconds, the counts of a stream are written to the journal. */
const reportSeconds = 10

/**
 * Checks the streams of a connection once a second: resubscribes to refused streams that are due, and to streams that fell
 * silent. Those that stay silent after resubscribing get another connection. `now` is in microseconds since the epoch.
 */
export const makeStreamChecks = (options: {
  readonly context: Pick<ConnectionContext, "clock" | "emit" | "silenceTimeout">
  readonly subscriptions: Subscriptions
  readonly silence: SilenceWatch
  readonly monotonicMillis: () => number
  readonly askAgain: (streams: ReadonlyArray<MarketStream>) => void
  /** Called with streams that stayed silent after resubscribing and need another connection. Returns whether they get one. */
  readonly onMove: (streams: ReadonlyArray<TrackedStream>) => boolean
  /** Called when the whole connection is silent: another one should take over. */
  readonly onSilent: (reason: string) => void
}): ((now: number) => void) => {
  const { askAgain, monotonicMillis, onMove, onSilent, silence, subscriptions } = options
  const { clock, emit, silenceTimeout } = options.context
  let seconds = 0

  /**
   * Whether these streams, which stayed silent after resubscribing, get another connection. If nothing else has arrived on this
   * one either, to the second, the whole connection is replaced.
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

  /**
   * Seconds since its last message, or since the exchange accepted it here: the watch's own seconds lag when the processor is
   * busy.
   */
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
      if ((answer === "taken" || answer === "assumed") && !isSporadic(stream.id.dataType))
        watched.push(stream)
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
    // Without unsubscribing first: messages in between would be lost.
    askAgain(again.map((stream) => stream.id))
  }
}

const namesOf = (streams: ReadonlyArray<TrackedStream>): string => {
  const names = streams.slice(0, 3).map((stream) => streamKey(stream.id))
  return streams.length > names.length
    ? `${names.join(", ")} and ${streams.length - names.length} more`
    : names.join(", ")
}
