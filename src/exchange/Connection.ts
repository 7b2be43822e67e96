import { Deferred, Duration, Effect, type RateLimiter, Schedule, type Scope } from "effect"
import type { Snapshot } from "../domain/Snapshot.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import type { Exchange, Frame, SubscribeRequest } from "./Exchange.ts"
import type { ReceiveClock } from "./ReceiveClock.ts"
import { isSilent, makeStreamWatch, restart, type StreamWatch, tick } from "./StreamWatch.ts"
import { ConnectionEnded, connect, type WebSocketConnection } from "./WebSocket.ts"

export interface ConnectionOptions {
  readonly exchange: Exchange
  readonly url: string
  readonly streams: ReadonlyArray<StreamId>
  /** How long a lively stream may say nothing. */
  readonly silenceTimeout: Duration.Duration
  readonly clock: ReceiveClock["Type"]
  /** Spaces the connection attempts of all connections to this exchange. */
  readonly limitAttempts: RateLimiter.RateLimiter
  /** Takes every message, on the socket's call stack. */
  readonly offer: (snapshot: Snapshot) => void
}

/**
 * Keeps one connection to an exchange alive for ever: connects, subscribes, watches every stream on it, and connects anew
 * when it ends, falls silent, or sends mostly what cannot be read. Data reset the waiting time between attempts.
 */
export const runConnection = (options: ConnectionOptions): Effect.Effect<never> =>
  Effect.gen(function* () {
    const { exchange, limitAttempts, streams, url } = options
    const watches = new Map(streams.map((stream) => [stream, makeStreamWatch()]))
    const backoff = yield* Schedule.driver(reconnectDelays)

    const attempt = Effect.gen(function* () {
      for (const watch of watches.values()) restart(watch)
      const ended = yield* Effect.flip(Effect.scoped(limitAttempts(session(options, watches))))
      yield* Effect.logWarning("connection ended").pipe(Effect.annotateLogs({ reason: ended.reason }))
      if (Array.from(watches.values()).some((watch) => watch.messages > 0)) yield* backoff.reset
      yield* Effect.ignore(backoff.next(ended))
    })

    return yield* Effect.forever(attempt).pipe(
      Effect.annotateLogs({ module: "exchange", exchange: exchange.name, url: withoutQuery(url) })
    )
  })

/** 1 s, doubling up to 60 s, each between 80 and 120 %. */
export const reconnectDelays = Schedule.exponential("1 second").pipe(
  Schedule.either(Schedule.spaced("60 seconds")),
  Schedule.jittered
)

/** How long an exchange may take to answer a subscription. */
const acknowledgeTimeout = Duration.seconds(10)

/** What was received on a connection within the current window. */
interface FrameCounts {
  total: number
  malformed: number
}

const windowSeconds = 60
const minFramesToJudge = 100

/** One connection from its opening to its end. */
const session = (
  { clock, exchange, offer, silenceTimeout, streams, url }: ConnectionOptions,
  watches: ReadonlyMap<StreamId, StreamWatch>
): Effect.Effect<never, ConnectionEnded, Scope.Scope> =>
  Effect.gen(function* () {
    const decode = exchange.makeDecoder(streams)
    const requests = exchange.subscribe(streams)
    const closing = yield* Deferred.make<never, ConnectionEnded>()
    const answers = new Map(
      yield* Effect.forEach(requests, (request) =>
        Effect.map(Deferred.make<string | undefined>(), (answer) => [request.request, answer] as const)
      )
    )
    const counts: FrameCounts = { total: 0, malformed: 0 }
    const reasons = new Map<string, number>()
    let heard = false

    const onControl = (frame: Exclude<Frame, { readonly _tag: "Data" }>) => {
      switch (frame._tag) {
        case "Acknowledged": {
          const answer = answers.get(frame.request)
          if (answer !== undefined) Deferred.unsafeDone(answer, Effect.succeed(undefined))
          return
        }
        case "Refused": {
          for (const [request, answer] of answers) {
            if (frame.request === null || frame.request === request) {
              Deferred.unsafeDone(answer, Effect.succeed(frame.reason))
            }
          }
          return
        }
        case "Closing":
          return Deferred.unsafeDone(
            closing,
            Effect.fail(new ConnectionEnded({ reason: `the exchange is closing: ${frame.reason}` }))
          )
        case "Malformed": {
          counts.malformed++
          reasons.set(frame.reason, (reasons.get(frame.reason) ?? 0) + 1)
          return
        }
        case "Heartbeat":
          return
      }
    }

    const onMessage = (bytes: Buffer) => {
      const timestamp = clock.unsafeNow()
      heard = true
      counts.total++
      const frame = decode(bytes)
      if (frame._tag !== "Data") return onControl(frame)
      const watch = watches.get(frame.stream)
      if (watch !== undefined) watch.messages++
      offer({
        stream: frame.stream,
        exchangeSequenceId: frame.exchangeSequenceId,
        timestamp,
        exchangeTimestamp: frame.exchangeTimestamp,
        data: bytes.subarray(frame.start, frame.end)
      })
    }

    const connection = yield* connect(url, {
      onMessage,
      onPing: () => {
        heard = true
      }
    })
    yield* Effect.logInfo("connected").pipe(Effect.annotateLogs({ streams: streams.length }))

    const watch = Effect.gen(function* () {
      let quietFor = 0
      let second = 0
      const warnedSilent = new Set<StreamId>()
      while (true) {
        yield* Effect.sleep("1 second")
        for (const watch of watches.values()) tick(watch)
        yield* reportMalformed(reasons)
        quietFor = heard ? 0 : quietFor + 1
        heard = false
        if (quietFor >= Duration.toSeconds(exchange.idleTimeout)) {
          return yield* new ConnectionEnded({ reason: `nothing was heard for ${quietFor} s` })
        }
        for (const [stream, of] of watches) {
          if (isSilent(of, Duration.toSeconds(silenceTimeout))) {
            return yield* new ConnectionEnded({
              reason: `${streamKey(stream)} fell silent for ${of.quietFor} s`
            })
          }
          if (
            of.messages === 0 &&
            !warnedSilent.has(stream) &&
            of.quietFor >= Duration.toSeconds(silenceTimeout)
          ) {
            warnedSilent.add(stream)
            yield* Effect.logWarning("a stream was subscribed and says nothing: does the symbol exist?").pipe(
              Effect.annotateLogs({ stream: streamKey(stream), seconds: of.quietFor })
            )
          }
        }
        if (counts.total >= minFramesToJudge && counts.malformed > counts.total / 2) {
          return yield* new ConnectionEnded({
            reason: `${counts.malformed} of ${counts.total} frames could not be read`
          })
        }
        second++
        if (second % windowSeconds === 0) {
          counts.total = 0
          counts.malformed = 0
        }
      }
    })

    const subscribe = Effect.gen(function* () {
      yield* sendPaced(connection, requests, exchange.limits.messagesPerSecond)
      for (const request of requests) {
        const answer = answers.get(request.request)
        if (answer === undefined) continue
        const refusal = yield* Deferred.await(answer).pipe(
          Effect.timeoutFail({
            duration: acknowledgeTimeout,
            onTimeout: () => new ConnectionEnded({ reason: "a subscription was not answered" })
          })
        )
        if (refusal === undefined) continue
        yield* Effect.logError("the exchange refused a subscription").pipe(
          Effect.annotateLogs({ reason: refusal, streams: request.streams.map(streamKey).join(" ") })
        )
      }
      yield* Effect.logInfo("subscribed").pipe(Effect.annotateLogs({ streams: streams.length }))
    })

    return yield* Effect.zipRight(
      Effect.all([connection.ended, Deferred.await(closing), watch, subscribe], {
        concurrency: "unbounded",
        discard: true
      }),
      Effect.never
    )
  })

/** One message after the other, a little below the limit: answers to pings count too. */
const sendPaced = (
  connection: WebSocketConnection,
  requests: ReadonlyArray<SubscribeRequest>,
  messagesPerSecond: number
) =>
  Effect.forEach(
    requests,
    ({ frame }, index) =>
      Effect.delay(
        connection.send(frame),
        index === 0 ? Duration.zero : Duration.seconds(1 / Math.max(1, messagesPerSecond - 1))
      ),
    { discard: true }
  )

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

const withoutQuery = (url: string): string => url.split("?")[0] ?? url
