import { Deferred, Effect, type Scope } from "effect"
import type { Allowance } from "./Allowance.ts"
import type { ConnectionContext } from "./Connection/ConnectionContext.ts"
import { makeDelivery } from "./Connection/delivery.ts"
import { missingOnBoth } from "./Connection/handover.ts"
import { makeLiveness } from "./Connection/liveness.ts"
import { endStandby, type Subscriptions } from "./Connection/Subscription.ts"
import { makeStreamChecks } from "./Connection/silence.ts"
import { makeSkippedFrames } from "./Connection/skippedFrames.ts"
import { tellDisconnected } from "./Connection/streamEvents.ts"
import { makeSubscribing } from "./Connection/subscribing.ts"
import type { Frame } from "./Exchange.ts"
import { makePacer } from "./Pacer.ts"
import type { SilenceWatch } from "./SilenceWatch.ts"
import type { TrackedStream } from "./TrackedStream.ts"
import { makeUnreadable } from "./Unreadable.ts"
import { ConnectionLost } from "./WebSocket.ts"

/** One connection, from opening to end. */
export interface Connection {
  readonly id: string
  /** How the connection ended, once it has. */
  readonly ended: Effect.Effect<ConnectionLost>
  /** Returns, with the reason, when another connection should take over. */
  readonly handover: Effect.Effect<Handover>
  /** Returns when every stream that the connection was opened for has been accepted or refused. */
  readonly ready: Effect.Effect<void>
  /** Whether every stream that is live here continues on the other connection. */
  readonly isCaughtUpBy: (other: Connection) => boolean
  /** Whether messages arrive here, and the previous connection has none left to deliver that were sent before them. */
  readonly continues: (stream: TrackedStream) => boolean
  /** Subscribes to streams. */
  readonly subscribe: (streams: ReadonlyArray<TrackedStream>) => void
  /** Unsubscribes from streams, giving this reason. */
  readonly unsubscribe: (streams: ReadonlyArray<TrackedStream>, end: ConnectionLost) => void
  /** Takes over from the previous connection: from now on the messages of this one count. */
  readonly promote: () => void
  /** Subscribes to streams that another connection keeps: their messages count after `adopt`. */
  readonly subscribeGuests: (streams: ReadonlyArray<TrackedStream>) => void
  readonly adopt: (streams: ReadonlyArray<TrackedStream>) => void
  /** Whether, to our knowledge, the exchange sends the stream here. */
  readonly carries: (stream: TrackedStream) => boolean
  /** The streams that the exchange accepted here. */
  readonly carried: () => ReadonlyArray<TrackedStream>
  /** Reports the end of every stream that was reported as connected here. */
  readonly reportEnds: (end: ConnectionLost, at: number) => void
  /** Whether any message arrived. */
  readonly hadData: () => boolean
  readonly status: () => ConnectionStatus
}

/** Why another connection should take over. */
export interface Handover {
  readonly kind: "replaced" | "silent"
  readonly reason: string
}

export interface ConnectionStatus {
  readonly exchange: string
  readonly connection: string
  readonly streams: number
  /** Microseconds since the epoch. */
  readonly openedAt: number
  /** When anything was last received, pings and pongs included, microseconds since the epoch. */
  readonly heardAt: number
  /** Frames received, of any kind. */
  readonly frames: number
  /** Pings that we sent, and the answers to them. */
  readonly pings: number
  readonly pongs: number
  /** Pings from the exchange, all of them answered. */
  readonly pingsAnswered: number
}

export interface ConnectionOptions {
  readonly id: string
  readonly streams: ReadonlyArray<TrackedStream>
  /** Whether its messages count immediately, or only after `promote`. */
  readonly primary: boolean
  /** The `streams` that another connection keeps until they are adopted. */
  readonly guests: ReadonlySet<TrackedStream>
  /** Limits how many unreadable frames are kept. */
  readonly allowance: Allowance
  readonly silence: SilenceWatch
  /** Called with streams that stayed silent after resubscribing and need another connection. Returns whether they get one. */
  readonly onMove: (streams: ReadonlyArray<TrackedStream>) => boolean
}

/**
 * Opens a connection, subscribes to the streams, and keeps the connection alive in the scope until something ends it.
 *
 * Frames are stamped and decoded here, on the call stack of the socket, and handled in `Connection/`: data are delivered and
 * judged (`delivery`), answers settle requests (`subscribing`), unusable frames are counted and kept (`skippedFrames`). The
 * connection (`liveness`) and its streams (`silence`) are checked once a second. While a successor is being prepared, two
 * connections bring the same streams; `handover` compares them.
 */
export const openConnection = (
  context: ConnectionContext,
  options: ConnectionOptions
): Effect.Effect<Connection, ConnectionLost, Scope.Scope> =>
  Effect.gen(function* () {
    const { clock, emit, exchange } = context
    const { id } = options
    const ended = yield* Deferred.make<ConnectionLost>()
    const handover = yield* Deferred.make<Handover>()
    const failure = yield* Deferred.make<never, ConnectionLost>()
    const pacer = context.messages ?? makePacer(exchange.limits.messages)
    const effectClock = yield* Effect.clock
    const monotonicMillis = () => Number(effectClock.unsafeCurrentTimeNanos() / 1_000_000n)
    const subscriptions: Subscriptions = new Map()
    let isPrimary = options.primary
    let lastFrameAt = Number.NaN

    const askForSuccessor = (kind: Handover["kind"], reason: string) =>
      Deferred.unsafeDone(handover, Effect.succeed({ kind, reason }))

    const liveness = yield* makeLiveness(context, pacer, monotonicMillis)
    const unreadable = makeUnreadable({
      context,
      connection: id,
      allowance: options.allowance,
      monotonicMillis,
      streams: function* () {
        for (const { answer, stream } of subscriptions.values()) {
          if (answer === "taken" || answer === "assumed") yield stream
        }
      }
    })
    const skipped = makeSkippedFrames({
      context,
      subscriptions,
      subscribing: () => subscribing,
      unreadable
    })
    const subscribing = yield* makeSubscribing({
      context,
      subscriptions,
      isPrimary: () => isPrimary,
      hadData: () => delivery.hadData(),
      onEnd: (subscription, end, at) =>
        tellDisconnected(emit, id, subscription, end, { at, heard: liveness.heardAt() }),
      fail: (error) => Deferred.unsafeDone(failure, Effect.fail(error)),
      note: skipped.note
    })
    const delivery = makeDelivery({ context, connection: id, subscriptions, subscribing, unreadable })
    const checkStreams = makeStreamChecks({
      context,
      subscriptions,
      silence: options.silence,
      monotonicMillis,
      askAgain: subscribing.askAgain,
      onMove: options.onMove,
      onSilent: (reason) => askForSuccessor("silent", reason)
    })
    const decode = exchange.makeDecoder(subscribing.byChannel, id)

    const onMessage = (bytes: Buffer): void => {
      const now = clock.unsafeNow()
      skipped.onFrame()
      liveness.onFrame()
      const frame = decode(bytes)
      if (frame._tag === "Data") {
        unreadable.onRead(now)
        delivery.deliver(frame, bytes.subarray(frame.start, frame.end), now)
      } else {
        if (frame.counter !== undefined) delivery.count(frame.counter, frame.sent, now)
        if (frame._tag === "Malformed") skipped.skip(frame, bytes, now, lastFrameAt)
        else onControl(frame, now)
      }
      lastFrameAt = now
      liveness.afterFrame(now)
    }

    const onControl = (frame: Exclude<Frame, { readonly _tag: "Data" | "Malformed" }>, now: number): void => {
      switch (frame._tag) {
        case "Acknowledged":
          subscribing.onAcknowledged(frame, now)
          return
        case "Refused":
          subscribing.onRefused(frame, now)
          return
        case "Pong":
          liveness.onPongFrame()
          return
        case "Failed":
          Deferred.unsafeDone(
            failure,
            Effect.fail(new ConnectionLost({ kind: "error", reason: frame.reason }))
          )
          return
        case "Closing":
          context.statuses.hear({ status: frame.status, text: frame.reason, isPassing: true }, now)
          askForSuccessor("replaced", `the exchange is closing: ${frame.reason}`)
          return
        case "Status":
          for (const said of frame.said) context.statuses.hear(said, now)
          return
        case "Listing":
          context.onListing(frame.instruments)
          return
        case "Ping":
          liveness.answer(frame.answer)
          return
        case "Heartbeat":
          return
      }
    }

    const onTick = (): ConnectionLost | undefined => {
      const now = clock.unsafeNow()
      const dead = liveness.tick() ?? skipped.tick()
      if (dead !== undefined) return dead
      if (liveness.isOld()) askForSuccessor("replaced", "the lifetime of a connection is nearly over")
      unreadable.tick()
      const end = subscribing.tick(now)
      if (end === undefined && isPrimary) checkStreams(now)
      return end
    }

    const ticker = Effect.gen(function* () {
      while (true) {
        yield* Effect.sleep("1 second")
        const end = onTick()
        yield* skipped.report
        if (end !== undefined) return yield* end
      }
    })

    /** Detaches a stream: no other connection is compared with it any more. */
    const leave = (subscription: Parameters<typeof endStandby>[0]): void => {
      unreadable.leave(subscription.stream)
      endStandby(subscription)
    }

    const socket = yield* context.connect(context.url, {
      onMessage,
      onPing: liveness.onPing,
      onPong: liveness.onPong
    })
    liveness.start(socket)
    emit({
      _tag: "ConnectionOpened",
      at: liveness.openedAt(),
      exchange: exchange.name,
      connection: id,
      streams: options.streams.length
    })
    subscribing.add(options.streams, options.guests)
    yield* Effect.addFinalizer(() => Effect.sync(() => subscriptions.forEach(leave)))

    const send = (frame: string) =>
      Effect.suspend(() => Effect.sleep(pacer.reserve(monotonicMillis()))).pipe(
        Effect.zipRight(context.signer === undefined ? Effect.succeed(frame) : context.signer(frame)),
        Effect.flatMap(socket.send)
      )
    const later = Effect.delay(Effect.forEach(exchange.later ?? [], send), "1 minute")
    yield* Effect.all([socket.ended, Deferred.await(failure), subscribing.run(send), later, ticker], {
      concurrency: "unbounded",
      discard: true
    }).pipe(
      Effect.catchAllCause((cause) => Deferred.failCause(failure, cause)),
      Effect.interruptible,
      Effect.forkScoped
    )
    yield* Deferred.await(failure).pipe(
      Effect.catchAllDefect((defect) =>
        Effect.fail(new ConnectionLost({ kind: "closed", reason: `a defect: ${String(defect)}` }))
      ),
      Effect.flip,
      Effect.tap((end) => Effect.sync(() => subscribing.onClosed(end.code))),
      Effect.flatMap((end) => Deferred.succeed(ended, end)),
      Effect.interruptible,
      Effect.forkScoped
    )

    const connection: Connection = {
      id,
      ended: Deferred.await(ended),
      handover: Deferred.await(handover),
      ready: subscribing.ready,
      isCaughtUpBy: (other) =>
        Array.from(subscriptions.values()).every(({ live, stream }) => !live || other.continues(stream)),
      continues: (stream) => {
        const subscription = subscriptions.get(stream.id)
        return subscription?.live === true && missingOnBoth(subscription.standby, stream).length === 0
      },
      subscribe: (streams) => subscribing.add(streams, noGuests),
      subscribeGuests: (streams) => subscribing.add(streams, new Set(streams)),
      unsubscribe: (streams, end) => {
        const at = clock.unsafeNow()
        for (const { id: streamId } of streams) {
          const subscription = subscriptions.get(streamId)
          if (subscription === undefined) continue
          tellDisconnected(emit, id, subscription, end, { at, heard: liveness.heardAt() })
          leave(subscription)
        }
        subscribing.remove(streams)
      },
      promote: () => {
        isPrimary = true
        const now = clock.unsafeNow()
        for (const subscription of subscriptions.values()) delivery.takeOver(subscription, now)
      },
      adopt: (streams) => {
        const now = clock.unsafeNow()
        for (const stream of streams) {
          const subscription = subscriptions.get(stream.id)
          if (subscription !== undefined) delivery.takeOver(subscription, now)
        }
      },
      carries: (stream) => {
        const answer = subscriptions.get(stream.id)?.answer
        return answer === "taken" || answer === "assumed"
      },
      carried: () =>
        Array.from(subscriptions.values())
          .filter(({ answer, counts }) => answer === "taken" && (counts || !isPrimary))
          .map(({ stream }) => stream),
      reportEnds: (end, at) => {
        for (const subscription of subscriptions.values()) {
          tellDisconnected(emit, id, subscription, end, { at, heard: liveness.heardAt() })
        }
      },
      hadData: delivery.hadData,
      status: () => ({
        exchange: exchange.name,
        connection: id,
        streams: subscriptions.size,
        openedAt: liveness.openedAt(),
        heardAt: liveness.heardAt(),
        frames: skipped.frames(),
        ...liveness.counts()
      })
    }
    return connection
  })

const noGuests: ReadonlySet<TrackedStream> = new Set()
