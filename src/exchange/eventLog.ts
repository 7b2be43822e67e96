import { Duration, Effect, Mailbox } from "effect"
import type { ExchangeEvent } from "../domain/ExchangeEvent.ts"
import { isImpaired } from "../domain/ExchangeStatuses.ts"
import { makeEventRuns } from "../domain/eventRuns.ts"
import { streamKey } from "../domain/StreamId.ts"

/** Maximum number of events waiting to be logged; further ones are only counted. */
const capacity = 1000

/**
 * Writes events to the log, off the call stack that they come from. Of consecutive gaps and discontinuities, as when every
 * frame causes one, it writes one line per stream every 10 s, and with many streams at most one a second.
 */
export const makeEventLog = Effect.gen(function* () {
  const mailbox = yield* Mailbox.make<ExchangeEvent>({ capacity, strategy: "dropping" })
  let dropped = 0
  const runs = makeEventRuns<ExchangeEvent>((event) => {
    if (!mailbox.unsafeOffer(event)) dropped++
  })
  const tellRuns = Effect.gen(function* () {
    let seconds = secondsPerRun
    while (true) {
      yield* Effect.sleep(Duration.seconds(seconds))
      seconds = Math.max(secondsPerRun, runs.take())
    }
  })
  const write = Effect.gen(function* () {
    while (true) {
      yield* Effect.flatMap(Effect.orDie(mailbox.take), logEvent)
      if (dropped === 0) continue
      yield* Effect.logWarning("too many events to log").pipe(Effect.annotateLogs({ events: dropped }))
      dropped = 0
    }
  })
  return {
    offer: runs.pass,
    run: Effect.all([write, tellRuns], { concurrency: "unbounded", discard: true }).pipe(
      Effect.annotateLogs({ module: "exchange" })
    )
  }
})

const secondsPerRun = 10

/** A connection that another one took over from is not a problem, nor is an exchange that works as usual. */
const logEvent = (event: ExchangeEvent): Effect.Effect<void> =>
  Effect.annotateLogs(
    event._tag === "ConnectionEnded" && event.kind === "replaced"
      ? Effect.logInfo("connection ended")
      : event._tag === "ExchangeStatus" && (isImpaired(event) || event.isPassing === true)
        ? Effect.logWarning("exchange status changed")
        : lines[event._tag],
    Object.fromEntries(
      Object.entries(event).flatMap(([key, value]): Array<[string, unknown]> => {
        if (key === "_tag" || key === "at" || key === "isPassing" || value === null) return []
        return [[key, typeof value === "object" ? streamKey(value) : value]]
      })
    )
  )

const lines: Readonly<Record<ExchangeEvent["_tag"], Effect.Effect<void>>> = {
  ConnectionOpened: Effect.logInfo("connected"),
  ConnectionEnded: Effect.logWarning("connection ended"),
  StreamConnected: Effect.logDebug("subscribed"),
  StreamDisconnected: Effect.logDebug("stream ended"),
  SubscriptionRefused: Effect.logError("subscription refused"),
  StreamSilent: Effect.logWarning("stream is silent"),
  StreamHeard: Effect.logInfo("silent stream resumed"),
  StreamUnreadable: Effect.logDebug("stream unreadable"),
  StreamReadable: Effect.logDebug("stream readable again"),
  GapDetected: Effect.logWarning("gap detected"),
  Discontinuity: Effect.logInfo("stream discontinuity"),
  OutOfOrder: Effect.logInfo("messages out of order"),
  Repeated: Effect.logInfo("duplicate messages"),
  SymbolListed: Effect.logInfo("symbol listed"),
  SymbolDelisted: Effect.logWarning("symbol delisted"),
  ExchangeStatus: Effect.logInfo("exchange status changed")
}
