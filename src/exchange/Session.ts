import { Deferred, Duration, Effect, Mailbox, type Metric, Random, type Scope } from "effect"
import type { ExchangeEvent } from "../domain/ExchangeEvent.ts"
import type { Snapshot } from "../domain/Snapshot.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import { advance, type Continuity, judge, nothingSeen, numbersAround, type Verdict } from "./Continuity.ts"
import type { Exchange, Frame, Part, Signer, SubscriptionChange } from "./Exchange.ts"
import { makePacer, type Pacer } from "./Pacer.ts"
import type { ReceiveClock } from "./ReceiveClock.ts"
import { attempted, isSilent, restart, tick } from "./StreamWatch.ts"
import { refuse, type TrackedStream, timeOf } from "./TrackedStream.ts"
import { ConnectionEnded, connect } from "./WebSocket.ts"

/** What all connections to an exchange share. */
export interface SessionContext {
  readonly exchange: Exchange
  readonly url: string
  /** How long a lively stream may say nothing. */
  readonly silenceTimeout: Duration.Duration
  readonly clock: ReceiveClock["Type"]
  /** Takes every message, on the socket's call stack. */
  readonly offer: (snapshot: Snapshot) => void
  /** Takes every event, on the same stack. */
  readonly emit: (event: ExchangeEvent) => void
  readonly latency: Metric.Metric.Histogram<number>
  readonly signer: Signer | undefined
  /** Spaces attempts to connect. */
  readonly attempts: Pacer
  /** Spaces messages of all connections together, where the exchange counts them so. */
  readonly messages: Pacer | undefined
  /** A name that no other connection has or had. */
  readonly nextConnection: () => string
}

/** One connection, from its opening to its end. */
export interface Session {
  readonly id: string
  /** How it ended, once it did. */
  readonly ended: Effect.Effect<ConnectionEnded>
  /** Returns when another connection should take over, with the reason. */
  readonly handover: Effect.Effect<string>
  /** Returns when every stream that it was opened for was taken or refused. */
  readonly ready: Effect.Effect<void>
  /** Whether all that is live here is live there. */
  readonly isCaughtUpBy: (other: Session) => boolean
  readonly isLive: (stream: TrackedStream) => boolean
  /** Asks for streams, and ends others. */
  readonly subscribe: (streams: ReadonlyArray<TrackedStream>) => void
  readonly unsubscribe: (streams: ReadonlyArray<TrackedStream>) => void
  /** Takes over from the connection before: what comes here is what counts from now on. */
  readonly promote: () => void
  /** The streams that the exchange took here. */
  readonly carried: () => ReadonlyArray<TrackedStream>
  /** Whether any message came. */
  readonly hadData: () => boolean
  readonly status: () => SessionStatus
}

export interface SessionStatus {
  readonly exchange: string
  readonly connection: string
  readonly streams: number
  /** Microseconds since the epoch. */
  readonly openedAt: number
  /** Frames received, of whatever kind. */
  readonly frames: number
  /** Pings sent by us, and their answers. */
  readonly pings: number
  readonly pongs: number
  /** Pings of the exchange, all answered. */
  readonly pingsAnswered: number
}

export interface SessionOptions {
  readonly id: string
  readonly streams: ReadonlyArray<TrackedStream>
  /** Whether its messages count at once, or only after `promote`. */
  readonly primary: boolean
  /** Streams that were asked for again in vain: they should get another connection. */
  readonly onMove: (streams: ReadonlyArray<TrackedStream>) => void
}

/** A stream on this connection. */
interface Subscription {
  readonly stream: TrackedStream
  /** Whether the exchange took or refused it. */
  settled: boolean
  /** Whether a message came. */
  live: boolean
  /** Before the connection takes over: what it saw, the number before its first message, and the receive times. */
  readonly lane: { continuity: Continuity; start: number; firstAt: number; lastAt: number }
}

/** A request without an answer for all of its streams. */
interface Pending {
  readonly streams: Set<StreamId>
  readonly indivisible: boolean
  seconds: number
}

/** How long an exchange may take to answer a subscription, by acknowledgement or by data. */
const answerSeconds = 10

const windowSeconds = 60
const minFramesToJudge = 100
const reportSeconds = 10

/** Opens a connection, asks for the streams, and keeps it alive in the scope until something ends it. */
export const openSession = (
  context: SessionContext,
  options: SessionOptions
): Effect.Effect<Session, ConnectionEnded, Scope.Scope> =>
  Effect.gen(function* () {
    const { clock, emit, exchange, offer } = context
    const { id } = options
    const ended = yield* Deferred.make<ConnectionEnded>()
    const handover = yield* Deferred.make<string>()
    const ready = yield* Deferred.make<void>()
    const failure = yield* Deferred.make<never, ConnectionEnded>()
    const outbox = yield* Mailbox.make<SubscriptionChange>()
    const pacer = context.messages ?? makePacer(exchange.limits.messages)
    const effectClock = yield* Effect.clock

    const byChannel = new Map<string, StreamId>()
    const subscriptions = new Map<StreamId, Subscription>()
    const pending = new Map<string, Pending>()
    const malformed = new Map<string, number>()
    const decode = exchange.makeDecoder(byChannel, id)
    let primary = options.primary
    let counter: Continuity = nothingSeen
    let openedAt = 0
    let lastFrameAt = Number.NaN
    let heard = false
    let answered = false
    let hadData = false
    let requests = 0
    let frames = 0
    let windowFrames = 0
    let windowMalformed = 0
    let pings = 0
    let pongs = 0
    let pingsAnswered = 0
    let pingDue = Number.POSITIVE_INFINITY
    let pongSeconds = -1

    const fail = (error: ConnectionEnded) => Deferred.unsafeDone(failure, Effect.fail(error))

    // ---- messages

    const onMessage = (bytes: Buffer): void => {
      const now = clock.unsafeNow()
      heard = true
      frames++
      windowFrames++
      if (now >= pingDue) ping(now)
      const frame = decode(bytes)
      if (frame._tag === "Data") {
        const data = bytes.subarray(frame.start, frame.end)
        receive(frame, now, data)
        for (const part of frame.also) receive(part, now, data)
        if (counts) count(frame, now)
      } else {
        if (frame.counter !== undefined) count({ previous: frame.counter - 1, last: frame.counter }, now)
        onControl(frame, now)
      }
      lastFrameAt = now
    }

    const receive = (part: Part, now: number, data: Buffer): void => {
      const { exchangeTimestamp, stream: streamId } = part
      offer({
        stream: streamId,
        exchangeSequenceId: part.exchangeSequenceId,
        timestamp: now,
        exchangeTimestamp,
        data
      })
      if (exchangeTimestamp !== null && !part.snapshot) {
        context.latency.unsafeUpdate((now - exchangeTimestamp) / 1000, noTags)
      }
      const subscription = subscriptions.get(streamId)
      if (subscription === undefined) return
      const { stream } = subscription
      stream.messages++
      const resumed = subscription.live ? false : begin(subscription, now)
      if (!primary) {
        follow(subscription, part, now)
        return
      }
      if (!part.snapshot) stream.watch.messages++
      if (stream.state !== "live") stream.state = "live"
      if (stream.rule.kind !== "none" && stream.rule.scope === "stream") {
        const verdict = judge(stream.rule.kind, stream.continuity, part)
        stream.continuity = advance(stream.continuity, part, verdict)
        if (verdict._tag !== "Continues") report(stream, verdict, now, resumed)
      }
      stream.lastMessageAt = now
    }

    /** The first message of a stream here. Answers whether it had messages on an earlier connection. */
    const begin = (subscription: Subscription, now: number): boolean => {
      const { stream } = subscription
      subscription.live = true
      hadData = true
      settle(subscription, now)
      if (!primary) return false
      return takeOver(stream, now)
    }

    /** The stream's messages come from here now. */
    const takeOver = (stream: TrackedStream, now: number): boolean => {
      const before = stream.connection
      stream.connection = id
      stream.watch.live = true
      if (before === null || before === id || Number.isNaN(stream.lastMessageAt)) return false
      if (!stream.rule.spansConnections) stream.continuity = nothingSeen
      emit({ _tag: "Discontinuity", at: now, stream: stream.id, reason: "reconnect", ...around(stream, now) })
      return true
    }

    /** A message of a connection that is still to take over: the other one counts, here it is only noted. */
    const follow = ({ lane, stream }: Subscription, part: Part, now: number): void => {
      if (Number.isNaN(lane.firstAt)) {
        lane.firstAt = now
        lane.start = part.snapshot ? part.last : part.previous
      }
      lane.lastAt = now
      lane.continuity = advance(lane.continuity, part, judge(stream.rule.kind, lane.continuity, part))
    }

    const report = (stream: TrackedStream, verdict: Verdict, now: number, resumed: boolean): void => {
      switch (verdict._tag) {
        case "Gap":
          stream.gaps++
          emit({
            _tag: "GapDetected",
            at: now,
            stream: stream.id,
            rule: stream.rule.kind === "none" ? "counter" : stream.rule.kind,
            scope: "stream",
            ...numbersAround(stream.rule.kind, verdict.hole),
            size: verdict.size,
            ...around(stream, now)
          })
          return
        case "OutOfOrder":
          stream.outOfOrder++
          return
        case "Repeated":
          stream.repeated++
          return
        case "Restarted":
        case "SetBack":
          if (resumed) return
          emit({
            _tag: "Discontinuity",
            at: now,
            stream: stream.id,
            reason: verdict._tag === "Restarted" ? "snapshot" : "set back",
            ...around(stream, now)
          })
          return
        case "Continues":
          return
      }
    }

    /** A frame of a connection that numbers all of its frames: whose message is missing cannot be known. */
    const count = (place: { readonly previous: number; readonly last: number }, now: number): void => {
      const counted = { ...place, snapshot: false }
      const verdict = judge("counter", counter, counted)
      counter = advance(counter, counted, verdict)
      if (verdict._tag !== "Gap") return
      for (const { stream } of subscriptions.values()) {
        if (stream.rule.scope !== "connection" || stream.state === "refused") continue
        stream.gaps++
        emit({
          _tag: "GapDetected",
          at: now,
          stream: stream.id,
          rule: "counter",
          scope: "connection",
          ...numbersAround("counter", verdict.hole),
          size: verdict.size,
          after: timeOf(lastFrameAt),
          before: now
        })
      }
    }

    // ---- answers

    const onControl = (frame: Exclude<Frame, { readonly _tag: "Data" }>, now: number): void => {
      switch (frame._tag) {
        case "Acknowledged": {
          answered = true
          const request = frame.request === null ? undefined : pending.get(frame.request)
          const taken = frame.streams ?? (request === undefined ? [] : [...request.streams])
          for (const stream of taken) {
            const subscription = subscriptions.get(stream)
            if (subscription !== undefined) settle(subscription, now)
          }
          if (frame.others === "dropped" && request !== undefined) askAgain([...request.streams])
          return
        }
        case "Refused": {
          answered = true
          onRefused(frame.request, frame.streams, frame.reason, frame.others === "dropped", now)
          return
        }
        case "Pong":
          pongs++
          pongSeconds = -1
          return
        case "Closing":
          Deferred.unsafeDone(handover, Effect.succeed(`the exchange is closing: ${frame.reason}`))
          return
        case "Malformed":
          windowMalformed++
          malformed.set(frame.reason, (malformed.get(frame.reason) ?? 0) + 1)
          return
        case "Heartbeat":
          return
      }
    }

    /** The exchange took the stream, or its first message shows that it did. */
    const settle = (subscription: Subscription, now: number): void => {
      const { stream } = subscription
      if (subscription.settled && stream.state !== "refused" && stream.state !== "connecting") return
      subscription.settled = true
      unpend(stream.id)
      if (stream.state === "connecting" || stream.state === "refused") stream.state = "subscribed"
      stream.refusals = 0
      emit({ _tag: "StreamConnected", at: now, stream: stream.id, connection: id })
      becomeReady()
    }

    const onRefused = (
      request: string | null,
      streams: ReadonlyArray<StreamId>,
      reason: string,
      othersDropped: boolean,
      now: number
    ): void => {
      const known = request === null ? undefined : pending.get(request)
      const holding = Array.from(pending.values()).find((entry) =>
        streams.length === 0 ? true : streams.some((stream) => entry.streams.has(stream))
      )
      const entry = known ?? holding
      const named = known === undefined ? streams : streams.filter((stream) => known.streams.has(stream))
      for (const stream of named) refuseStream(stream, reason, now)
      if (entry === undefined) {
        if (named.length === 0) malformed.set(`a request was refused: ${reason}`, 1)
        return
      }
      if (!othersDropped) return
      const rest = [...entry.streams]
      if (named.length > 0) askAgain(rest)
      else if (rest.length === 1 || entry.indivisible) {
        for (const stream of rest) refuseStream(stream, reason, now)
      } else {
        // It does not say which: halves find out.
        askAgain(rest.slice(0, rest.length / 2))
        askAgain(rest.slice(rest.length / 2))
      }
    }

    const refuseStream = (streamId: StreamId, reason: string, now: number): void => {
      const subscription = subscriptions.get(streamId)
      if (subscription === undefined) return
      const { stream } = subscription
      unpend(streamId)
      subscription.settled = true
      refuse(stream, now)
      emit({ _tag: "SubscriptionRefused", at: now, stream: streamId, reason, retryAt: stream.retryAt })
      becomeReady()
      if (Array.from(subscriptions.values()).every(({ stream }) => stream.state === "refused")) {
        fail(new ConnectionEnded({ kind: "empty", reason: "every subscription was refused" }))
      }
    }

    const unpend = (stream: StreamId): void => {
      for (const [request, entry] of pending) {
        if (entry.streams.delete(stream) && entry.streams.size === 0) pending.delete(request)
      }
    }

    const askAgain = (streams: ReadonlyArray<StreamId>): void => {
      for (const stream of streams) unpend(stream)
      if (streams.length > 0) change(streams, [])
    }

    const becomeReady = (): void => {
      for (const { settled } of subscriptions.values()) if (!settled) return
      Deferred.unsafeDone(ready, Effect.void)
    }

    // ---- what we send

    const change = (subscribe: ReadonlyArray<StreamId>, unsubscribe: ReadonlyArray<StreamId>): void => {
      const all = Array.from(subscriptions.values())
        .filter(({ stream }) => stream.state !== "refused" || subscribe.includes(stream.id))
        .map(({ stream }) => stream.id)
      outbox.unsafeOffer({ subscribe, unsubscribe, all })
    }

    const add = (streams: ReadonlyArray<TrackedStream>): void => {
      const now = clock.unsafeNow()
      const isDue = (stream: TrackedStream) => stream.state !== "refused" || stream.retryAt <= now
      for (const stream of streams) {
        byChannel.set(stream.channel, stream.id)
        subscriptions.set(stream.id, {
          stream,
          settled: !isDue(stream),
          live: false,
          lane: {
            continuity: nothingSeen,
            start: Number.NaN,
            firstAt: Number.NaN,
            lastAt: Number.NaN
          }
        })
        if (primary) restart(stream.watch)
      }
      change(
        streams.filter(isDue).map((stream) => stream.id),
        []
      )
    }

    const unsubscribe = (streams: ReadonlyArray<TrackedStream>): void => {
      for (const stream of streams) {
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

    const ping = (now: number): void => {
      const { every, ping } = exchange.keepalive
      pingDue = now + Duration.toMillis(every) * 1000
      if (ping._tag === "None") return
      // It does not wait for its turn: quotas leave room for it.
      pacer.reserve(effectClock.unsafeCurrentTimeMillis())
      if (ping._tag === "Text") connection.unsafeSend(ping.text)
      else connection.unsafePing()
      pings++
      if (pongSeconds < 0) pongSeconds = 0
    }

    const connection = yield* connect(context.url, {
      onMessage,
      onPing: () => {
        heard = true
        pingsAnswered++
      },
      onPong: () => {
        heard = true
        pongs++
        pongSeconds = -1
      }
    })
    openedAt = clock.unsafeNow()
    const counts = options.streams.some((stream) => stream.rule.scope === "connection")

    const send = (frame: string) =>
      Effect.suspend(() => Effect.sleep(pacer.reserve(effectClock.unsafeCurrentTimeMillis()))).pipe(
        Effect.zipRight(context.signer === undefined ? Effect.succeed(frame) : context.signer(frame)),
        Effect.flatMap(connection.send)
      )

    const sender = Effect.gen(function* () {
      for (const frame of exchange.opening) yield* send(frame)
      while (true) {
        const next = yield* Effect.orDie(outbox.take)
        // Those that were ended meanwhile are not asked for any more.
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
          yield* send(request.frame)
          const entry = pending.get(request.id)
          if (entry !== undefined) entry.seconds = 0
        }
      }
    })

    // ---- once a second

    const lifetime =
      exchange.lifetime === undefined
        ? Number.POSITIVE_INFINITY
        : Duration.toMillis(exchange.lifetime) * 1000 * (yield* Random.nextRange(0.85, 0.97))
    let quietFor = 0
    let seconds = 0

    const onTick = (): ConnectionEnded | undefined => {
      const now = clock.unsafeNow()
      seconds++
      if (now >= pingDue) ping(now)
      if (pongSeconds >= 0 && ++pongSeconds > Duration.toSeconds(exchange.keepalive.pongWithin)) {
        return new ConnectionEnded({ kind: "pong", reason: "a ping was not answered" })
      }
      quietFor = heard ? 0 : quietFor + 1
      heard = false
      if (quietFor >= Duration.toSeconds(exchange.idleTimeout)) {
        return new ConnectionEnded({ kind: "idle", reason: `nothing was heard for ${quietFor} s` })
      }
      if (windowFrames >= minFramesToJudge && windowMalformed > windowFrames / 2) {
        return new ConnectionEnded({
          kind: "unreadable",
          reason: `${windowMalformed} of ${windowFrames} frames could not be read`
        })
      }
      if (seconds % windowSeconds === 0) {
        windowFrames = 0
        windowMalformed = 0
      }
      if (now - openedAt >= lifetime) {
        Deferred.unsafeDone(handover, Effect.succeed("the lifetime of a connection is nearly over"))
      }
      return checkAnswers(now) ?? (primary ? checkStreams(now) : undefined)
    }

    const checkAnswers = (now: number): ConnectionEnded | undefined => {
      for (const entry of pending.values()) {
        if (++entry.seconds < answerSeconds) continue
        if (exchange.acknowledges && !answered && !hadData) {
          return new ConnectionEnded({ kind: "unanswered", reason: "no subscription was answered" })
        }
        for (const stream of [...entry.streams]) {
          refuseStream(stream, `neither an answer nor data within ${answerSeconds} s`, now)
        }
      }
      return undefined
    }

    const checkStreams = (now: number): ConnectionEnded | undefined => {
      const timeout = Duration.toSeconds(context.silenceTimeout)
      const again: Array<TrackedStream> = []
      const move: Array<TrackedStream> = []
      for (const { settled, stream } of subscriptions.values()) {
        const { watch } = stream
        if (seconds % reportSeconds === 0) reportCounts(stream, now)
        if (stream.state === "refused") {
          if (now >= stream.retryAt && settled) {
            stream.retryAt = Number.POSITIVE_INFINITY
            change([stream.id], [])
          }
          continue
        }
        if (!settled) continue
        tick(watch)
        if (!isSilent(watch, timeout)) continue
        const action = watch.attempts % 2 === 0 ? "resubscribed" : "moved"
        emit({ _tag: "StreamSilent", at: now, stream: stream.id, seconds: watch.quietFor, action })
        stream.state = "silent"
        attempted(watch)
        if (action === "moved") move.push(stream)
        else again.push(stream)
      }
      if (again.length > 0) {
        const streams = again.map((stream) => stream.id)
        change(streams, streams)
      }
      if (move.length === 0) return undefined
      if (move.length === subscriptions.size) {
        return new ConnectionEnded({ kind: "silent", reason: `${silentNames(move)} fell silent` })
      }
      options.onMove(move)
      return undefined
    }

    const reportCounts = (stream: TrackedStream, at: number): void => {
      if (stream.outOfOrder > 0) {
        emit({ _tag: "OutOfOrder", at, stream: stream.id, count: stream.outOfOrder })
        stream.outOfOrder = 0
      }
      if (stream.repeated > 0) {
        emit({ _tag: "Repeated", at, stream: stream.id, count: stream.repeated })
        stream.repeated = 0
      }
    }

    const ticker = Effect.gen(function* () {
      while (true) {
        yield* Effect.sleep("1 second")
        const end = onTick()
        yield* reportMalformed(malformed)
        if (end !== undefined) return yield* end
      }
    })

    pingDue = openedAt + Duration.toMillis(exchange.keepalive.every) * 1000
    emit({
      _tag: "ConnectionOpened",
      at: openedAt,
      exchange: exchange.name,
      connection: id,
      streams: options.streams.length
    })
    add(options.streams)
    yield* Effect.all([connection.ended, Deferred.await(failure), sender, ticker], {
      concurrency: "unbounded",
      discard: true
    }).pipe(
      Effect.catchAllCause((cause) => Deferred.failCause(failure, cause)),
      Effect.interruptible,
      Effect.forkScoped
    )
    yield* Deferred.await(failure).pipe(
      Effect.catchAllDefect((defect) =>
        Effect.fail(new ConnectionEnded({ kind: "closed", reason: `a defect: ${String(defect)}` }))
      ),
      Effect.flip,
      Effect.flatMap((end) => Deferred.succeed(ended, end)),
      Effect.interruptible,
      Effect.forkScoped
    )

    const session: Session = {
      id,
      ended: Deferred.await(ended),
      handover: Deferred.await(handover),
      ready: Deferred.await(ready),
      isCaughtUpBy: (other) =>
        Array.from(subscriptions.values()).every(({ live, stream }) => !live || other.isLive(stream)),
      isLive: (stream) => subscriptions.get(stream.id)?.live ?? false,
      subscribe: add,
      unsubscribe,
      promote: () => {
        primary = true
        for (const { lane, live, stream } of subscriptions.values()) {
          restart(stream.watch)
          if (!live) continue
          stream.watch.live = true
          stream.connection = id
          stream.state = "live"
          const { kind, scope, spansConnections } = stream.rule
          if (
            kind !== "none" &&
            scope === "stream" &&
            spansConnections &&
            lane.start > stream.continuity.last
          ) {
            const hole = { from: stream.continuity.last, to: lane.start }
            const verdict: Verdict = {
              _tag: "Gap",
              hole,
              size: kind === "chain" ? null : hole.to - hole.from
            }
            report(stream, verdict, lane.firstAt, true)
          }
          stream.continuity = lane.continuity
          stream.lastMessageAt = Math.max(lane.lastAt, stream.lastMessageAt || 0)
        }
      },
      carried: () =>
        Array.from(subscriptions.values())
          .filter(({ settled, stream }) => settled && stream.state !== "refused")
          .map(({ stream }) => stream),
      hadData: () => hadData,
      status: () => ({
        exchange: exchange.name,
        connection: id,
        streams: subscriptions.size,
        openedAt,
        frames,
        pings,
        pongs,
        pingsAnswered
      })
    }
    return session
  })

const noTags: ReadonlyArray<never> = []

const around = (stream: TrackedStream, now: number) => ({ after: timeOf(stream.lastMessageAt), before: now })

const silentNames = (streams: ReadonlyArray<TrackedStream>): string => {
  const names = streams.slice(0, 3).map((stream) => streamKey(stream.id))
  return streams.length > names.length
    ? `${names.join(", ")} and ${streams.length - names.length} more`
    : names.join(", ")
}

/** Once a second at most: how many frames were skipped, and why. */
const reportMalformed = (reasons: Map<string, number>) =>
  Effect.suspend(() => {
    if (reasons.size === 0) return Effect.void
    const skipped = Object.fromEntries(
      Array.from(reasons, ([reason, count]) => [reason.replaceAll(" ", "_"), count])
    )
    reasons.clear()
    return Effect.logWarning("frames were skipped").pipe(Effect.annotateLogs(skipped))
  })
