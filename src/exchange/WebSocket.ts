import { Data, Deferred, Effect, type Scope } from "effect"
import { WebSocket as Ws } from "ws"
import "../addressAttempts.ts"
import type { EndKind } from "../domain/ExchangeEvent.ts"
import { proxyAgent } from "../proxies.ts"

/** A connection could not be made, or has ended. */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly kind: EndKind
  readonly reason: string
  /** The close code of the WebSocket protocol, if there was one. */
  readonly code?: number
  /** For how many milliseconds the server wants no further attempt, if it said so. */
  readonly retryAfter?: number
}> {
  override get message() {
    return this.reason
  }
}

export interface WebSocketHandlers {
  /** Called with every data frame, on the socket's call stack. The buffer is only valid during the call. */
  readonly onMessage: (frame: Buffer) => void
  /** Called for every ping of the server, which has already been answered. */
  readonly onPing: () => void
  /** Called for every answer to our pings. */
  readonly onPong: () => void
}

export interface WebSocketConnection {
  readonly send: (text: string) => Effect.Effect<void, ConnectionLost>
  /** Sends immediately, for use on the call stack of a socket; a failure appears as the end of the connection. */
  readonly unsafeSend: (text: string) => void
  /** The same for a protocol ping. */
  readonly unsafePing: () => void
  /** Fails when the connection ends, whichever side ended it. */
  readonly ended: Effect.Effect<never, ConnectionLost>
}

/** Opens a connection that is closed with the scope. */
export type Connect = (
  url: string,
  handlers: WebSocketHandlers
) => Effect.Effect<WebSocketConnection, ConnectionLost, Scope.Scope>

export const connect: Connect = (url, handlers) =>
  Effect.gen(function* () {
    const agent = yield* proxyAgent()
    const ended = yield* Deferred.make<never, ConnectionLost>()
    const opened = yield* Deferred.make<void, ConnectionLost>()
    const end = (error: ConnectionLost) => {
      Deferred.unsafeDone(opened, Effect.fail(error))
      Deferred.unsafeDone(ended, Effect.fail(error))
    }
    const socket = yield* Effect.acquireRelease(
      Effect.try({
        try: () => new Ws(url, agent === undefined ? socketOptions : { ...socketOptions, agent }),
        catch: (cause) => new ConnectionLost({ kind: "connect", reason: socketReason(cause) })
      }),
      (socket) => close(socket)
    )
    socket.on("message", (data) => {
      if (Buffer.isBuffer(data)) handlers.onMessage(data)
    })
    socket.on("ping", handlers.onPing)
    socket.on("pong", handlers.onPong)
    // Some networks drop connections that look idle to them, even with answered WebSocket pings.
    socket.on("upgrade", (response) => response.socket.setKeepAlive(true, tcpKeepAliveMillis))
    let kind: EndKind = "connect"
    let failure: string | undefined
    socket.on("open", () => {
      kind = "closed"
      Deferred.unsafeDone(opened, Effect.void)
    })
    socket.on("unexpected-response", (_request, response) => {
      const { headers, statusCode } = response
      response.on("error", ignoreError).resume()
      const reason = `the server answered with HTTP status ${statusCode}`
      const retryAfter = retryAfterOf(headers["retry-after"], headers.date)
      end(
        retryAfter === undefined
          ? new ConnectionLost({ kind: "connect", reason })
          : new ConnectionLost({
              kind: "connect",
              reason: `${reason}, and wants no attempt for ${Math.ceil(retryAfter / 1000)} s`,
              retryAfter
            })
      )
    })
    // `close` follows, with the code.
    socket.on("error", (cause) => {
      failure = socketReason(cause)
    })
    socket.on("close", (code, reason) =>
      end(
        kind === "connect"
          ? new ConnectionLost({ kind, reason: failure ?? "closed before it was open" })
          : new ConnectionLost({
              kind,
              reason: failure ?? `closed with code ${code} ${reason.toString()}`.trimEnd(),
              code
            })
      )
    )
    yield* Deferred.await(opened).pipe(
      // The handshake timeout starts only once a proxy has connected.
      Effect.timeoutFail({
        duration: "15 seconds",
        onTimeout: () => new ConnectionLost({ kind: "connect", reason: "not open within 15 s" })
      })
    )
    return {
      send: (text) =>
        Effect.async<void, ConnectionLost>((resume) =>
          socket.send(text, (error) =>
            resume(
              // The reason is reported by `close`, which follows.
              error ? Deferred.await(ended) : Effect.void
            )
          )
        ),
      unsafeSend: (text) => {
        if (socket.readyState === Ws.OPEN) socket.send(text, ignoreError)
      },
      unsafePing: () => {
        if (socket.readyState === Ws.OPEN) socket.ping(undefined, undefined, ignoreError)
      },
      ended: Deferred.await(ended)
    }
  })

/** Returns the milliseconds of a Retry-After, given in seconds or as a date by the server's clock; at most three days. */
export const retryAfterOf = (
  text: string | undefined,
  serverDate: string | undefined
): number | undefined => {
  if (text === undefined) return undefined
  const millis = /^\s*\d+\s*$/.test(text)
    ? Number(text) * 1000
    : Date.parse(text) - (serverDate === undefined ? Date.now() : Date.parse(serverDate))
  return millis > 0 ? Math.min(millis, maxRetryAfterMillis) : undefined
}

const maxRetryAfterMillis = 3 * 86_400_000

const ignoreError = (): void => {}

const tcpKeepAliveMillis = 15_000

const socketOptions = {
  handshakeTimeout: 10_000,
  /** For the answer to a close frame, also when we close because something is unreadable. */
  closeTimeout: 1000,
  perMessageDeflate: false,
  /** Limits the size of one frame; the largest known is a book of 5 MB. */
  maxPayload: 64 * 1024 * 1024,
  /** The decoders check it, so that one bad frame does not end the connection. */
  skipUTF8Validation: true
}

/** Sends a close frame, and does not wait long for the answer. */
const close = (socket: Ws) =>
  Effect.async<void>((resume) => {
    if (socket.readyState === Ws.CLOSED) return resume(Effect.void)
    socket.removeAllListeners("message")
    socket.once("close", () => resume(Effect.void))
    if (socket.readyState === Ws.OPEN) socket.close(1000)
    else socket.terminate()
  }).pipe(
    Effect.interruptible,
    Effect.timeoutOption("500 millis"),
    Effect.zipRight(Effect.sync(() => socket.terminate()))
  )

const socketReason = (cause: unknown): string =>
  cause instanceof AggregateError
    ? cause.errors.map(socketReason).join(", ")
    : cause instanceof Error
      ? cause.message
      : String(cause)
