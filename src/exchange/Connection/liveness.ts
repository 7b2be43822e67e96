import { Duration, Effect, Random } from "effect"
import type { Pacer } from "../Pacer.ts"
import { ConnectionLost, type WebSocketConnection } from "../WebSocket.ts"
import type { ConnectionContext } from "./ConnectionContext.ts"

/**
 * Keeps a connection alive with pings, and notices when it is dead or old. Intervals are measured by the clock that is never
 * set.
 */
export interface Liveness {
  /** Called when the connection is open: pings are sent from now on. */
  readonly start: (socket: Pick<WebSocketConnection, "unsafePing" | "unsafeSend">) => void
  /** Called when a frame arrives. */
  readonly onFrame: () => void
  /** Called when a frame with this stamp, in microseconds, was handled. */
  readonly afterFrame: (now: number) => void
  /** Called when the exchange answered a ping with a frame of its own. */
  readonly onPongFrame: () => void
  /** Answers a ping that came in a frame of the exchange's own. */
  readonly answer: (text: string) => void
  /** Called for control frames of the protocol. */
  readonly onPing: () => void
  readonly onPong: () => void
  /** To be called once a second. Returns why the connection is dead, if it is. */
  readonly tick: () => ConnectionLost | undefined
  /** Whether the exchange will soon end it because of its age. */
  readonly isOld: () => boolean
  /** When it was opened, and when anything was last received, pings and pongs included; microseconds since the epoch. */
  readonly openedAt: () => number
  readonly heardAt: () => number
  readonly counts: () => { readonly pings: number; readonly pongs: number; readonly pingsAnswered: number }
}

export const makeLiveness = (
  { clock, exchange }: Pick<ConnectionContext, "clock" | "exchange">,
  pacer: Pacer,
  monotonicMillis: () => number
): Effect.Effect<Liveness> =>
  Effect.gen(function* () {
    const every = Duration.toMillis(exchange.keepalive.every) * 1000
    const lifetime =
      exchange.lifetime === undefined
        ? Number.POSITIVE_INFINITY
        : Duration.toMillis(exchange.lifetime) * 1000 * (yield* Random.nextRange(0.85, 0.97))
    let socket: Parameters<Liveness["start"]>[0] | undefined
    let pingDue = Number.POSITIVE_INFINITY
    let began = Number.NaN
    let openedAt = 0
    let heardAt = 0
    let isHeard = false
    let quietSeconds = 0
    let pings = 0
    let pongs = 0
    let pingsAnswered = 0
    /** Seconds since the first ping that is still unanswered. */
    let pongSeconds: number | undefined

    const pingIfDue = (): void => {
      if (socket === undefined || clock.unsafeElapsed() < pingDue) return
      pingDue = clock.unsafeElapsed() + every
      const { ping } = exchange.keepalive
      if (ping._tag === "None") return
      // A ping does not wait for its turn: quotas leave room for it.
      pacer.ping(monotonicMillis())
      if (ping._tag === "Text") socket.unsafeSend(ping.text)
      else socket.unsafePing()
      pings++
      pongSeconds ??= 0
    }

    const hearControl = (): void => {
      isHeard = true
      heardAt = clock.unsafeNow()
    }

    const onPongFrame = (): void => {
      pongs++
      pongSeconds = undefined
    }

    return {
      start: (opened) => {
        socket = opened
        openedAt = clock.unsafeNow()
        heardAt = openedAt
        began = clock.unsafeElapsed()
        pingDue = began + every
      },
      onFrame: () => {
        isHeard = true
        pingIfDue()
      },
      afterFrame: (now) => {
        heardAt = now
      },
      onPongFrame,
      answer: (text) => {
        pingsAnswered++
        pacer.ping(monotonicMillis())
        socket?.unsafeSend(text)
      },
      onPing: () => {
        hearControl()
        pingsAnswered++
      },
      onPong: () => {
        hearControl()
        onPongFrame()
      },
      tick: () => {
        pingIfDue()
        if (pongSeconds !== undefined && ++pongSeconds > Duration.toSeconds(exchange.keepalive.pongWithin)) {
          return new ConnectionLost({ kind: "pong", reason: "a ping was not answered" })
        }
        quietSeconds = isHeard ? 0 : quietSeconds + 1
        isHeard = false
        return quietSeconds >= Duration.toSeconds(exchange.idleTimeout)
          ? new ConnectionLost({ kind: "idle", reason: `nothing was heard for ${quietSeconds} s` })
          : undefined
      },
      isOld: () => clock.unsafeElapsed() - began >= lifetime,
      openedAt: () => openedAt,
      heardAt: () => heardAt,
      counts: () => ({ pings, pongs, pingsAnswered })
    }
  })
