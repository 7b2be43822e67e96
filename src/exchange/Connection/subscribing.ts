import { Deferred, Effect, Mailbox } from "effect"
import type { MarketStream } from "../../domain/StreamId.ts"
import type { Frame, Request, SubscriptionChange } from "../Exchange.ts"
import { reask } from "../Reasked.ts"
import { restart } from "../StreamWatch.ts"
import { refuse, type TrackedStream } from "../TrackedStream.ts"
import { ConnectionLost } from "../WebSocket.ts"
import type { ConnectionContext } from "./ConnectionContext.ts"
import { makeSubscription, type Subscription, type Subscriptions } from "./Subscription.ts"

/** How long an exchange can take to answer a subscription, with an acknowledgement or with data. */
const answerSeconds = 10

/**
 * Subscribes to the streams of a connection, unsubscribes from them, and tracks the answers of the exchange. A request that is
 * refused as a whole is halved until the stream that the exchange refuses is found.
 */
export interface Subscribing {
  /** The requested streams by channel, for the decoder. */
  readonly byChannel: ReadonlyMap<string, MarketStream>
  /** Whether a channel was unsubscribed on this connection: what still arrives for it is ignored. */
  readonly isFormer: (channel: string) => boolean
  /** Subscribes to streams. Those among `guests` are kept by another connection. */
  readonly add: (streams: ReadonlyArray<TrackedStream>, guests: ReadonlySet<TrackedStream>) => void
  readonly remove: (streams: ReadonlyArray<TrackedStream>) => void
  /** Subscribes to streams once more. Messages that arrive in the meantime count. */
  readonly askAgain: (streams: ReadonlyArray<MarketStream>) => void
  /** Records that the exchange accepted the stream, or that a frame shows that it did. */
  readonly settle: (subscription: Subscription, now: number) => void
  /** Whether a request is still unanswered for some of its streams. */
  readonly isWaiting: () => boolean
  readonly onAcknowledged: (frame: Extract<Frame, { readonly _tag: "Acknowledged" }>, now: number) => void
  readonly onRefused: (frame: Extract<Frame, { readonly _tag: "Refused" }>, now: number) => void
  /** Called when the connection has ended: where that is how the exchange refuses a stream, it finds out which one. */
  readonly onClosed: (code: number | undefined) => void
  /** To be called once a second. Returns why the connection is useless, if it is. */
  readonly tick: (now: number) => ConnectionLost | undefined
  /** Returns when every requested stream has been accepted or refused. */
  readonly ready: Effect.Effect<void>
  /** Sends requests as they come up. */
  readonly run: (
    send: (frame: string) => Effect.Effect<void, ConnectionLost>
  ) => Effect.Effect<never, ConnectionLost>
}

/** A request that is unanswered for some of its streams. */
interface PendingRequest {
  readonly streams: Set<MarketStream>
  readonly indivisible: boolean
  /** Seconds since it was sent. */
  seconds: number
}

export const makeSubscribing = (options: {
  readonly context: Pick<ConnectionContext, "clock" | "emit" | "exchange">
  readonly subscriptions: Subscriptions
  /** Whether the connection has taken over from the previous one. */
  readonly isPrimary: () => boolean
  readonly hadData: () => boolean
  /** Called when the stream ends here. */
  readonly onEnd: (subscription: Subscription, end: ConnectionLost, now: number) => void
  /** Called when the connection is useless. */
  readonly fail: (error: ConnectionLost) => void
  /** Records something that was skipped, for the log. */
  readonly note: (what: string) => void
}): Effect.Effect<Subscribing> =>
  Effect.gen(function* () {
    const { fail, hadData, isPrimary, note, onEnd, subscriptions } = options
    const { clock, emit, exchange } = options.context
    const ready = yield* Deferred.make<void>()
    const outbox = yield* Mailbox.make<SubscriptionChange>()
    const byChannel = new Map<string, MarketStream>()
    const former = new Set<string>()
    const pending = new Map<string, PendingRequest>()
    /** When streams were last unsubscribed, by the clock that is never set. */
    let endedAt = Number.NEGATIVE_INFINITY
    let isAnswered = false
    let requests = 0

    // ---- requests

    const change = (
      subscribe: ReadonlyArray<MarketStream>,
      unsubscribe: ReadonlyArray<MarketStream>
    ): void => {
      const all = Array.from(subscriptions.values())
        .filter(({ answer }) => answer !== "refused")
        .map(({ stream }) => stream.id)
      outbox.unsafeOffer({ subscribe, unsubscribe, all })
    }

    const channelsOf = ({ channel, id }: TrackedStream): ReadonlyArray<string> => {
      const other = exchange.otherChannelOf?.(id)
      return other === undefined ? [channel] : [channel, other]
    }

    const add: Subscribing["add"] = (streams, guests) => {
      clock.unsafeNow()
      const elapsed = clock.unsafeElapsed()
      const isDue = (stream: TrackedStream) => stream.state !== "refused" || stream.retryAt <= elapsed
      for (const stream of streams) {
        const counts = isPrimary() && !guests.has(stream)
        byChannel.set(stream.channel, stream.id)
        for (const channel of channelsOf(stream)) former.delete(channel)
        subscriptions.set(
          stream.id,
          makeSubscription(stream, { answer: isDue(stream) ? "asked" : "refused", counts })
        )
        if (counts) restart(stream.watch)
      }
      change(
        streams.filter(isDue).map((stream) => stream.id),
        []
      )
    }

    const remove: Subscribing["remove"] = (streams) => {
      for (const stream of streams) {
        for (const channel of channelsOf(stream)) former.add(channel)
        byChannel.delete(stream.channel)
        subscriptions.delete(stream.id)
        unpend(stream.id)
      }
      change(
        [],
        streams.map((stream) => stream.id)
      )
      becomeReady()
    }

    const askAgain: Subscribing["askAgain"] = (streams) => {
      if (streams.length > 0) change(streams, [])
    }

    const askAnew = (streams: ReadonlyArray<MarketStream>): void => {
      for (const stream of streams) unpend(stream)
      askAgain(streams)
    }

    const unpend = (stream: MarketStream): void => {
      for (const [request, entry] of pending) {
        if (entry.streams.delete(stream) && entry.streams.size === 0) pending.delete(request)
      }
    }

    const becomeReady = (): void => {
      for (const { answer } of subscriptions.values()) if (answer === "asked") return
      Deferred.unsafeDone(ready, Effect.void)
    }

    // ---- answers

    const settle: Subscribing["settle"] = (subscription, now) => {
      const { stream } = subscription
      unpend(stream.id)
      if (subscription.answer === "taken") return
      subscription.answer = "taken"
      subscription.takenAt = now
      subscription.isTold = false
      if (stream.state === "connecting" || stream.state === "refused") stream.state = "subscribed"
      stream.refusals = 0
      stream.closes = 0
      becomeReady()
    }

    const onAcknowledged: Subscribing["onAcknowledged"] = (frame, now) => {
      isAnswered = true
      const request = frame.request === null ? undefined : pending.get(frame.request)
      const taken =
        request === undefined
          ? (frame.streams ?? [])
          : [...request.streams].filter((stream) => frame.streams?.includes(stream) ?? true)
      for (const stream of taken) {
        const subscription = subscriptions.get(stream)
        if (subscription !== undefined) settle(subscription, now)
      }
      if (request === undefined) return
      if (frame.others === "dropped") askAnew([...request.streams])
      if (frame.others !== "refused") return
      for (const stream of [...request.streams]) {
        refuseStream(stream, "the exchange leaves it out of its answer", now)
      }
    }

    const onRefused: Subscribing["onRefused"] = ({ others, reason, request, streams }, now) => {
      isAnswered = true
      if (request === null && streams.length === 0 && pending.size !== 1) {
        // It is unknown which request this answers.
        if (pending.size === 0 && clock.unsafeElapsed() - endedAt < answerSeconds * 1_000_000) {
          note(`a request was refused: ${reason}`)
        } else {
          fail(new ConnectionLost({ kind: "error", reason }))
        }
        return
      }
      const entry =
        request === null
          ? Array.from(pending.values()).find(
              (entry) => streams.length === 0 || streams.some((stream) => entry.streams.has(stream))
            )
          : pending.get(request)
      const named = request === null ? streams : streams.filter((stream) => entry?.streams.has(stream))
      for (const stream of named) refuseStream(stream, reason, now)
      if (entry === undefined) {
        // It answers a request to unsubscribe, or nothing that is pending.
        if (named.length === 0) note(`a request was refused: ${reason}`)
        return
      }
      if (others !== "dropped") return
      const rest = [...entry.streams]
      if (named.length > 0) askAnew(rest)
      else if (rest.length === 1 || entry.indivisible) {
        for (const stream of rest) refuseStream(stream, reason, now)
      } else {
        // It does not say which stream: halving the request finds out.
        askAnew(rest.slice(0, rest.length / 2))
        askAnew(rest.slice(rest.length / 2))
      }
    }

    /**
     * A close right after a request can have another cause. Only one after each of two requests for the stream in a row means
     * that the stream is refused. Requests wait for each other's answers, so that no other stream comes into question.
     */
    const onClosed: Subscribing["onClosed"] = (code) => {
      if (exchange.closesOnUnknown !== true || code !== 1006) return
      for (const { seconds, streams } of pending.values()) {
        for (const id of seconds >= 0 && seconds <= 1 ? streams : []) {
          const stream = subscriptions.get(id)?.stream
          if (stream === undefined) continue
          stream.closes++
          if (stream.closes < 2) continue
          stream.closes = 0
          refuseStream(id, "the exchange closes the connection when it is requested", clock.unsafeNow())
        }
      }
    }

    const refuseStream = (streamId: MarketStream, reason: string, now: number): void => {
      const subscription = subscriptions.get(streamId)
      if (subscription === undefined) return
      const { counts, stream } = subscription
      unpend(streamId)
      onEnd(subscription, new ConnectionLost({ kind: "closed", reason }), now)
      subscription.answer = "refused"
      // The connection that keeps it still has it.
      if (isPrimary() && !counts) return
      const retryAt = now + refuse(stream, clock.unsafeElapsed())
      emit({ _tag: "SubscriptionRefused", at: now, stream: streamId, reason, retryAt })
      becomeReady()
      if (Array.from(subscriptions.values()).every(({ answer }) => answer === "refused")) {
        fail(new ConnectionLost({ kind: "empty", reason: "every subscription was refused" }))
      }
    }

    /**
     * Handles a stream without an answer or data. If it was accepted or had messages before, it is watched for silence instead.
     */
    const stopWaiting = (streamId: MarketStream, now: number): void => {
      const subscription = subscriptions.get(streamId)
      if (subscription?.answer === "asked") {
        const { stream } = subscription
        if (exchange.acknowledges || stream.messages === 0) {
          refuseStream(streamId, `neither an answer nor data within ${answerSeconds} s`, now)
          return
        }
        subscription.answer = "assumed"
        stream.state = "subscribed"
        becomeReady()
      }
      unpend(streamId)
    }

    const tick: Subscribing["tick"] = (now) => {
      for (const entry of pending.values()) {
        if (++entry.seconds < answerSeconds) continue
        if (exchange.acknowledges && !isAnswered && !hadData()) {
          return new ConnectionLost({ kind: "unanswered", reason: "no subscription was answered" })
        }
        for (const stream of [...entry.streams]) stopWaiting(stream, now)
      }
      return undefined
    }

    // ---- sending

    /** Expects the state that the exchange may send once more because of a request, so that it is not a discontinuity. */
    const expectRepeats = ({ repeated = [], streams }: Request): void => {
      const now = clock.unsafeNow()
      for (const stream of new Set([...streams, ...repeated])) {
        const subscription = subscriptions.get(stream)
        if (subscription === undefined) continue
        // The first state of a stream that is requested for the first time is not a repetition.
        if (!repeated.includes(stream) && !subscription.live) continue
        reask(subscription.reasked, now)
      }
    }

    const run: Subscribing["run"] = (send) =>
      Effect.gen(function* () {
        for (const frame of exchange.opening) yield* send(frame)
        while (true) {
          const next = yield* Effect.orDie(outbox.take)
          // Leaves out streams that were ended in the meantime.
          const wanted = next.subscribe.filter((stream) => subscriptions.has(stream))
          if (wanted.length === 0 && next.unsubscribe.length === 0) continue
          for (const request of exchange.requests({ ...next, subscribe: wanted }, () => String(++requests))) {
            if (request.streams.length > 0) {
              pending.set(request.id, {
                streams: new Set(request.streams),
                indivisible: request.indivisible ?? false,
                seconds: Number.NEGATIVE_INFINITY
              })
            }
            expectRepeats(request)
            yield* send(request.frame)
            if (request.streams.length === 0) endedAt = clock.unsafeElapsed()
            const entry = pending.get(request.id)
            if (entry === undefined) continue
            entry.seconds = 0
            if (exchange.asksOneByOne === true || exchange.closesOnUnknown === true) {
              yield* Effect.repeat(Effect.sleep("20 millis"), { while: () => pending.has(request.id) })
            }
          }
        }
      })

    return {
      byChannel,
      isFormer: (channel) => former.has(channel),
      add,
      remove,
      askAgain,
      settle,
      isWaiting: () => pending.size > 0,
      onAcknowledged,
      onRefused,
      onClosed,
      tick,
      ready: Deferred.await(ready),
      run
    }
  })
