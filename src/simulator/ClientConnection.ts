import type { Duplex } from "node:stream"
import { Duration } from "effect"
import { WebSocket } from "ws"
import type { Feed, Listener } from "./Feed.ts"
import { makeFrameBuffer } from "./FrameBuffer.ts"
import { type MangleKind, mangle } from "./mangle.ts"
import type { ClientSession, ExchangeSays, GarbageKind, Peer, Protocol } from "./Protocol.ts"

/** A client's connection. */
export interface ClientConnection {
  readonly status: () => ClientConnectionStatus
  readonly isOpen: () => boolean
  /** Starts the closing handshake; everything sent before it arrives first. */
  readonly close: (code: number, reason: string) => void
  /** Cuts the connection without a closing handshake. */
  readonly terminate: () => void
  /** Sends nothing and ignores what it receives for the given time, or forever (Infinity milliseconds). */
  readonly silence: (milliseconds: number) => void
  /** Silences one subscription; with `sticky` also after it is subscribed again. False if there is no such subscription. */
  readonly silenceStream: (stream: string, milliseconds: number, sticky: boolean) => boolean
  /** Sends messages in another format for the given time. False if the client is not subscribed to the stream. */
  readonly mangle: (mangling: Mangling, milliseconds: number) => boolean
  /** Ends all silence and mangling. */
  readonly heal: () => void
  /** Sets its frame numbers back, if it has any. */
  readonly rewind: (count: number) => void
  readonly sendGarbage: (kind: GarbageKind) => void
  readonly sendClosingNotice: (now: number) => void
  /** Sends the current status of the exchange. */
  readonly sendStatus: () => void
}

/** Which messages are sent in another format: one in `every`, of one stream or of all. */
export interface Mangling {
  readonly kind: MangleKind
  readonly stream: string | undefined
  readonly every: number
}

export interface ClientConnectionStatus {
  /** Counts from 1. */
  readonly id: number
  /** Path and query that the client requested. */
  readonly target: string
  readonly subscriptions: ReadonlyArray<string>
  /** How many data frames were sent. */
  readonly frames: number
  /** How many messages were received, pings and pongs included. */
  readonly received: number
  readonly silent: boolean
}

export const makeClientConnection = (options: {
  readonly id: number
  readonly target: string
  readonly socket: WebSocket
  /** The transport below `socket`. */
  readonly transport: Duplex
  readonly session: ClientSession
  readonly feed: Feed
  readonly protocol: Pick<Protocol, "binary" | "keepalive" | "idle" | "firstMessageWithin" | "heartbeatEvery">
  /** Milliseconds since the epoch. */
  readonly clock: () => number
  /** Whether a message received at this time (monotonic) is within the limits. */
  readonly admits: (now: number, isPing: boolean) => boolean
  /** Whether pings are currently answered. */
  readonly answersPings: () => boolean
  /** The current status of the exchange. */
  readonly says: () => ExchangeSays
  readonly onClosed: (connection: ClientConnection) => void
}): ClientConnection => {
  const { feed, protocol, session, socket } = options
  const frames = makeFrameBuffer(options.transport, feed.wake, protocol.binary)
  const subscriptions = new Map<string, Subscription>()
  const stickySilence = new Map<string, number>()
  const silentUntil = { time: 0 }
  let mangling: Mangling | undefined
  let mangledUntil = 0
  let mangledOf = 0
  const isSilent = (now: number) => now < silentUntil.time
  const isOpen = () => socket.readyState === WebSocket.OPEN
  let sent = 0
  let received = 0

  const sendNow = (frame: string | Uint8Array): void => {
    if (!isOpen() || isSilent(performance.now())) return
    frames.flush()
    socket.send(frame, { binary: protocol.binary || typeof frame !== "string" }, ignoreError)
  }
  const manglingOf = (stream: string): MangleKind | undefined => {
    if (mangling === undefined || performance.now() >= mangledUntil) return undefined
    if (mangling.stream !== undefined && mangling.stream !== stream) return undefined
    return ++mangledOf % mangling.every === 0 ? mangling.kind : undefined
  }
  const close = (code: number, reason: string): void => {
    if (isOpen()) frames.flush()
    socket.close(code, reason)
  }

  const subscribe = (stream: string): void => {
    const known = subscriptions.get(stream)
    const silentUntil = stickySilence.get(stream) ?? 0
    if (known !== undefined) {
      known.silentUntil = silentUntil
      feed.greet(stream, known.listener)
      return
    }
    const subscription: Subscription = { silentUntil, listener: listenerOf(stream, () => subscription) }
    subscriptions.set(stream, subscription)
    feed.join(stream, subscription.listener)
  }
  const listenerOf = (stream: string, subscription: () => Subscription): Listener => ({
    isSilent: (now) => isSilent(now) || now < subscription().silentUntil || !isOpen(),
    backlog: frames.backlog,
    send: (bytes, length) => {
      const { after, before } = session.envelope(stream)
      sent++
      const kind = manglingOf(stream)
      if (kind === undefined) frames.append(before, bytes, length, after)
      else sendNow(mangle(kind, Buffer.concat([before, bytes.subarray(0, length), after])))
    },
    flush: () => (isOpen() ? frames.flush() : frames.clear()),
    // A silent subscription was forgotten by the exchange; a silent connection lost what was sent.
    missed: (why) => {
      if (why === "skipped" || isSilent(performance.now())) session.missed?.()
    }
  })
  const unsubscribe = (stream: string): void => {
    const subscription = subscriptions.get(stream)
    if (subscription === undefined) return
    subscriptions.delete(stream)
    feed.leave(stream, subscription.listener)
  }
  const peer: Peer = { subscribe, unsubscribe, subscriptions: () => [...subscriptions.keys()] }

  const patience = makePatience(protocol, () => close(1001, "Idle"))
  /** Whether to answer a message from the client. */
  const admit = (isPing: boolean): boolean => {
    received++
    patience.heard()
    if (!isOpen() || isSilent(performance.now())) return false
    if (!options.admits(performance.now(), isPing)) {
      close(1008, "Too many requests")
      return false
    }
    return true
  }
  const pings = keepAlive(protocol.keepalive, {
    ping: (payload) => {
      if (isOpen() && !isSilent(performance.now())) socket.ping(payload, undefined, ignoreError)
    },
    late: () => {
      if (!isSilent(performance.now())) close(1008, "Pong timeout")
    }
  })

  socket.on("message", (data, isBinary) => {
    const text = isBinary || !Buffer.isBuffer(data) ? "" : data.toString()
    if (!admit(isPing(text))) return
    if (isPing(text) && !options.answersPings()) return
    for (const answer of session.receive(text, peer, options.says())) sendNow(answer)
  })
  socket.on("ping", (payload) => {
    if (admit(true) && options.answersPings()) socket.pong(payload, undefined, ignoreError)
  })
  socket.on("pong", (payload) => {
    if (admit(true)) pings.answered(payload.toString())
  })
  socket.on("error", ignoreError)
  socket.on("close", () => {
    pings.stop()
    patience.stop()
    clearInterval(heartbeats)
    for (const stream of [...subscriptions.keys()]) unsubscribe(stream)
    options.onClosed(connection)
    feed.wake()
  })

  const connection: ClientConnection = {
    status: () => ({
      id: options.id,
      target: options.target,
      subscriptions: peer.subscriptions(),
      frames: sent,
      received,
      silent: isSilent(performance.now())
    }),
    isOpen,
    close,
    terminate: () => socket.terminate(),
    silence: (milliseconds) => {
      silentUntil.time = performance.now() + milliseconds
    },
    silenceStream: (stream, milliseconds, sticky) => {
      const subscription = subscriptions.get(stream)
      if (subscription === undefined) return false
      subscription.silentUntil = performance.now() + milliseconds
      if (sticky) stickySilence.set(stream, subscription.silentUntil)
      return true
    },
    mangle: (what, milliseconds) => {
      if (what.stream !== undefined && !subscriptions.has(what.stream)) return false
      mangling = what
      mangledUntil = performance.now() + milliseconds
      return true
    },
    heal: () => {
      silentUntil.time = 0
      mangledUntil = 0
      stickySilence.clear()
      for (const subscription of subscriptions.values()) subscription.silentUntil = 0
    },
    rewind: (count) => session.rewind?.(count),
    sendGarbage: (kind) => {
      const [stream = ""] = subscriptions.keys()
      sendNow(session.garbage(kind, stream))
    },
    sendClosingNotice: (now) => sendNow(session.closingNotice(now)),
    sendStatus: () => {
      const frame = session.says?.(options.says())
      if (frame !== undefined) sendNow(frame)
    }
  }
  const heartbeats =
    protocol.heartbeatEvery === null
      ? undefined
      : setInterval(() => {
          if (!isOpen() || isSilent(performance.now())) return
          const frame = session.heartbeat?.(options.clock())
          if (frame !== undefined) sendNow(frame)
        }, Duration.toMillis(protocol.heartbeatEvery))
  if (session.greeting !== undefined) sendNow(session.greeting(options.says()))
  for (const stream of session.streams) subscribe(stream)
  return connection
}

interface Subscription {
  /** Monotonic milliseconds. */
  silentUntil: number
  readonly listener: Listener
}

/** `ws` reports a failed write to its callback and as the end of the connection; the latter is enough. */
const ignoreError = (): void => {}

/** Whether a text message is a ping, in any of the forms that exchanges use. */
const isPing = (text: string): boolean => text === "ping" || /"(op|method)":"ping"/.test(text)

/** Calls `onIdle` when a client has sent nothing for too long. */
const makePatience = (
  { firstMessageWithin, idle }: Pick<Protocol, "idle" | "firstMessageWithin">,
  onIdle: () => void
) => {
  const after = (time: Duration.Duration | null) =>
    time === null ? undefined : setTimeout(onIdle, Duration.toMillis(time))
  let timer = after(firstMessageWithin ?? idle)
  return {
    heard: (): void => {
      clearTimeout(timer)
      timer = after(idle)
    },
    stop: (): void => clearTimeout(timer)
  }
}

/** Sends pings regularly. A pong counts if it has the payload of an open ping; a ping left unanswered calls `late`. */
const keepAlive = (
  times: Protocol["keepalive"],
  on: { readonly ping: (payload: string) => void; readonly late: () => void }
) => {
  if (times === null) return { answered: ignoreError, stop: ignoreError }
  const { pingEvery, pongWithin } = times
  const open = new Set<string>()
  let deadline: NodeJS.Timeout | undefined
  let count = 0
  const timer = setInterval(() => {
    const payload = String(++count)
    open.add(payload)
    deadline ??= setTimeout(on.late, Duration.toMillis(pongWithin))
    on.ping(payload)
  }, Duration.toMillis(pingEvery))
  return {
    answered: (payload: string): void => {
      if (!open.has(payload)) return
      open.clear()
      clearTimeout(deadline)
      deadline = undefined
    },
    stop: (): void => {
      clearInterval(timer)
      clearTimeout(deadline)
    }
  }
}
