import { Effect, Mailbox } from "effect"
import type { ExchangeEvent } from "../domain/ExchangeEvent.ts"
import { streamKey } from "../domain/StreamId.ts"

/** Events waiting to be logged: beyond these they are counted only. */
const capacity = 1000

/** Writes events to the log, off the call stack that they come from. */
export const makeEventLog = Effect.gen(function* () {
  const mailbox = yield* Mailbox.make<ExchangeEvent>({ capacity, strategy: "dropping" })
  let dropped = 0
  return {
    offer: (event: ExchangeEvent): void => {
      if (!mailbox.unsafeOffer(event)) dropped++
    },
    run: Effect.gen(function* () {
      while (true) {
        yield* Effect.flatMap(Effect.orDie(mailbox.take), logEvent)
        if (dropped === 0) continue
        yield* Effect.logWarning("events came too fast to be logged").pipe(
          Effect.annotateLogs({ events: dropped })
        )
        dropped = 0
      }
    }).pipe(Effect.annotateLogs({ module: "exchange" }))
  }
})

const logEvent = (event: ExchangeEvent): Effect.Effect<void> => {
  switch (event._tag) {
    case "ConnectionOpened":
      return log(Effect.logInfo("connected"), event)
    case "ConnectionEnded":
      return log(
        event.kind === "replaced"
          ? Effect.logInfo("connection ended")
          : Effect.logWarning("connection ended"),
        event
      )
    case "StreamConnected":
      return log(Effect.logDebug("subscribed"), event)
    case "StreamDisconnected":
      return log(Effect.logDebug("stream ended"), event)
    case "SubscriptionRefused":
      return log(Effect.logError("the exchange refused a subscription"), event)
    case "StreamSilent":
      return log(Effect.logWarning("a stream says nothing"), event)
    case "GapDetected":
      return log(Effect.logWarning("messages are missing"), event)
    case "Discontinuity":
      return log(Effect.logInfo("a stream began anew"), event)
    case "OutOfOrder":
      return log(Effect.logInfo("messages arrived late"), event)
    case "Repeated":
      return log(Effect.logInfo("messages came twice"), event)
    case "SymbolListed":
      return log(Effect.logInfo("a symbol was listed"), event)
    case "SymbolDelisted":
      return log(Effect.logWarning("a symbol was delisted"), event)
  }
}

const log = (line: Effect.Effect<void>, event: ExchangeEvent): Effect.Effect<void> =>
  Effect.annotateLogs(
    line,
    Object.fromEntries(
      Object.entries(event).flatMap(([key, value]): Array<[string, unknown]> => {
        if (key === "_tag" || key === "at" || value === null) return []
        return [[key, typeof value === "object" ? streamKey(value) : value]]
      })
    )
  )
