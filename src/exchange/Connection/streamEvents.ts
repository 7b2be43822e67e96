import type { ExchangeEvent } from "../../domain/ExchangeEvent.ts"
import { sureUntil, timeOf } from "../TrackedStream.ts"
import type { ConnectionLost } from "../WebSocket.ts"
import type { Subscription } from "./Subscription.ts"

type Emit = (event: ExchangeEvent) => void

/** Reports that messages of the stream arrive, unless that was already known. */
export const tellConnected = (
  emit: Emit,
  connection: string,
  subscription: Subscription,
  now: number
): void => {
  const { stream, takenAt } = subscription
  if (!subscription.isTold) {
    subscription.isTold = true
    const since = takenAt < now ? { since: takenAt } : {}
    emit({ _tag: "StreamConnected", at: now, stream: stream.id, connection, ...since })
  }
  if (stream.isToldSilent) {
    stream.isToldSilent = false
    emit({ _tag: "StreamHeard", at: now, stream: stream.id, after: timeOf(stream.lastMessageAt) })
  }
}

/**
 * Reports that the stream ended on the connection, which was last heard at `heard`. Does nothing for a stream whose start was
 * not reported.
 */
export const tellDisconnected = (
  emit: Emit,
  connection: string,
  subscription: Subscription,
  end: ConnectionLost,
  { at, heard }: { readonly at: number; readonly heard: number }
): void => {
  const { isTold, stream } = subscription
  if (!isTold) return
  subscription.isTold = false
  stream.sureUntil = sureUntil(stream, heard)
  emit({
    _tag: "StreamDisconnected",
    at,
    stream: stream.id,
    connection,
    heard,
    kind: end.kind,
    reason: end.reason,
    code: end.code ?? null
  })
}
