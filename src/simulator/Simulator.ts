import { createServer, type IncomingMessage, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import { Deferred, Duration, Effect, Either, type Scope } from "effect"
import { WebSocketServer } from "ws"
import { ResourceUnavailable } from "../domain/StartupError.ts"
import { type ClientConnection, makeClientConnection } from "./ClientConnection.ts"
import { type Controls, controlHandler } from "./control.ts"
import type { Fault } from "./Fault.ts"
import { makeFeed } from "./Feed.ts"
import { applyFault, type FaultReport } from "./faults.ts"
import { makeLimiter } from "./limiter.ts"
import { makeListing } from "./listing.ts"
import type { MarketOptions, Protocol } from "./Protocol.ts"
import { protocols } from "./protocols.ts"
import { makeRecording, noRecording, RecordFailed } from "./Recording.ts"
import { makeRestServer } from "./restServer.ts"
import type { SimulatorStatus } from "./SimulatorStatus.ts"

export interface SimulatorOptions {
  /** The name of the exchange to simulate, one of `protocols`; Binance spot by default. */
  readonly exchange?: string
  /** Replaces the exchange's protocol. */
  readonly protocol?: (market: MarketOptions) => Protocol
  /** 127.0.0.1 by default. */
  readonly host?: string
  /** 0, the default, picks any free port. */
  readonly port?: number
  /** Messages per second of each stream, 10 by default; "max" or 0 for as fast as its slowest listener can take them. */
  readonly rate?: number | "max"
  /** The exchange's symbols in `protocols` by default. */
  readonly symbols?: ReadonlyArray<string>
  /** 1 by default. The same seed, rate and subscriptions give the same payloads, except for times. */
  readonly seed?: number
  /**
   * What a stream's market does while nobody listens to it: `advance` (default) continues at the rate, so that ids are missing
   * after an absence, as on a real exchange; `wait` stands still. At full speed it always waits.
   */
  readonly idle?: "advance" | "wait"
  /** Minimum size of a whole-book message in bytes; by default its natural size, about 1.3 kB with 20 levels. */
  readonly bookBytes?: number
  /** How many messages of each stream are kept for the fault `duplicates`; 1000 by default. */
  readonly history?: number
  /** A file to which every message sent is written; none by default. See `Recording`. */
  readonly record?: string
  /** How often to ping and how long to wait for the pong; the protocol's own times by default. */
  readonly pingEvery?: Duration.DurationInput
  readonly pongWithin?: Duration.DurationInput
  /** How long a client may send nothing; the protocol's own time by default. */
  readonly clientSilence?: Duration.DurationInput
  /** A fault to repeat every `faultEvery`, 10 seconds by default. */
  readonly fault?: Fault
  readonly faultEvery?: Duration.DurationInput
}

/** A running simulated exchange. */
export interface Simulator {
  /** The name of the exchange whose protocol it speaks. */
  readonly exchange: string
  readonly port: number
  /** The `ws://..` URL with this path, by default the protocol's own. */
  readonly url: (path?: string) => string
  /** The `http://..` URL with this path, for control requests; see `controlHandler`. */
  readonly httpUrl: (path: string) => string
  /** Injects a fault; see `Fault`. A parameter outside its limits is a defect. */
  readonly inject: (fault: Fault) => Effect.Effect<FaultReport>
  /** Ends silence and refusal, restores the list of instruments, and cancels pending faults. */
  readonly heal: Effect.Effect<void>
  readonly status: Effect.Effect<SimulatorStatus>
  /** Completes the record: once it succeeds, everything sent before is in it. Does nothing without a record. */
  readonly flush: Effect.Effect<void, RecordFailed>
}

/**
 * Starts a simulated exchange, with one market shared by all connections. It stops within a second when the scope closes.
 * Fails if the port is taken or the record cannot be written.
 */
export const make = (
  options: SimulatorOptions = {}
): Effect.Effect<Simulator, ResourceUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const host = options.host ?? "127.0.0.1"
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const exchange = protocols.get(options.exchange ?? "binance")
    const make = options.protocol ?? exchange?.make
    if (make === undefined) {
      return yield* new ResourceUnavailable({
        reason: `there is no simulated exchange "${options.exchange}", but ${Array.from(protocols.keys()).join(", ")}`
      })
    }
    const symbols = new Set(options.symbols ?? exchange?.symbols)
    const listing = makeListing(symbols)
    const protocol = make({ seed: options.seed ?? 1, symbols, bookBytes: options.bookBytes ?? 0, clock: now })
    const record =
      options.record === undefined ? noRecording : yield* makeRecording(options.record, () => feed.wake())
    const feed = makeFeed(protocol.source, {
      rate: options.rate === "max" || options.rate === 0 ? Number.POSITIVE_INFINITY : (options.rate ?? 10),
      idle: options.idle ?? "advance",
      history: options.history ?? 1000,
      record,
      clock: now
    })
    yield* Effect.addFinalizer(() => Effect.sync(feed.stop))

    const connections = new Set<ClientConnection>()
    const refusal = { until: 0, status: 503 }
    const draining = { until: 0 }
    const says = { status: "online", text: "" }
    const violations = new Map<string, number>()
    const violated = (rule: string) => violations.set(rule, (violations.get(rule) ?? 0) + 1)
    const rest = makeRestServer({ protocol, listing, violated, clock: now })
    const muted = { from: Number.POSITIVE_INFINITY }
    const messageLimit = (): ((now: number, isPing: boolean) => boolean) => {
      const limiters = protocol.messages.map((quota) => ({ ...quota, admits: makeLimiter(quota) }))
      return (now, isPing) => {
        const admitted = limiters
          .filter(({ requestsOnly = false }) => !(isPing && requestsOnly))
          .map(({ admits }) => admits(now))
          .every((admits) => admits)
        if (!admitted) violated("messages")
        return admitted
      }
    }
    const messagesOfAll = messageLimit()
    const connectionLimit = makeLimiter(protocol.connections)
    let accepted = 0
    let refused = 0

    const controls: Controls = {
      inject: (fault) =>
        applyFault(fault, {
          feed,
          connections: () => [...connections].filter((connection) => connection.isOpen()),
          refuse: (milliseconds, status) => {
            refusal.until = performance.now() + milliseconds
            refusal.status = status
          },
          drain: (milliseconds) => {
            draining.until = performance.now() + milliseconds
          },
          announce: (status, text) => {
            says.status = status
            says.text = text
          },
          muteIn: (milliseconds) => {
            muted.from = performance.now() + milliseconds
          },
          misbehave: rest.misbehave,
          symbols,
          listing,
          clock: now
        }),
      heal: () => {
        refusal.until = 0
        draining.until = 0
        muted.from = Number.POSITIVE_INFINITY
        for (const connection of connections) connection.heal()
        feed.heal()
        listing.heal()
        rest.heal()
      },
      status: () => ({
        connections: Array.from(connections, (connection) => connection.status()),
        accepted,
        refused,
        violations: Object.fromEntries(violations),
        requests: rest.requests(),
        streams: feed.status()
      }),
      flush: record.flush
    }

    const upgrader = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      autoPong: false,
      maxPayload: 1024 * 1024
    })
    const keepalive =
      protocol.keepalive === null
        ? null
        : {
            pingEvery: Duration.decode(options.pingEvery ?? protocol.keepalive.pingEvery),
            pongWithin: Duration.decode(options.pongWithin ?? protocol.keepalive.pongWithin)
          }
    const idle = options.clientSilence === undefined ? protocol.idle : Duration.decode(options.clientSilence)
    const upgrade = (request: IncomingMessage, transport: Duplex, head: Buffer): void => {
      transport.on("error", () => {})
      const target = request.url ?? "/"
      const admitted = connectionLimit(performance.now())
      if (!admitted) violated("connections")
      const session = !admitted
        ? Either.left({ status: 429, reason: "too many connections" })
        : performance.now() < refusal.until
          ? Either.left({ status: refusal.status, reason: "refused on demand" })
          : Either.flatMap(readUrl(target), protocol.connect)
      if (Either.isLeft(session)) {
        refused++
        refuse(transport, session.left)
        return
      }
      upgrader.handleUpgrade(request, transport, head, (socket) => {
        const connection = makeClientConnection({
          id: ++accepted,
          target,
          socket,
          transport,
          session: session.right,
          feed,
          protocol: { ...protocol, keepalive, idle },
          clock: now,
          admits: protocol.messagesOf === "address" ? messagesOfAll : messageLimit(),
          answersPings: () => performance.now() < muted.from,
          says: () => says,
          onClosed: (closed) => void connections.delete(closed)
        })
        connections.add(connection)
        if (performance.now() < draining.until) connection.sendClosingNotice(now())
      })
    }

    const control = controlHandler(controls)
    const server = createServer((request, response) => {
      response.on("error", () => {})
      request.on("error", () => {})
      if (!rest.handle(request, response)) control(request, response)
    })
    server.on("upgrade", upgrade)
    server.on("clientError", (_, transport) => transport.destroy())
    const port = yield* Effect.acquireRelease(listen(server, host, options.port ?? 0), () =>
      stop(server, connections)
    )

    if (options.fault !== undefined) {
      const fault = options.fault
      const every = Duration.decode(options.faultEvery ?? "10 seconds")
      yield* Effect.sync(() => controls.inject(fault)).pipe(
        Effect.delay(every),
        Effect.forever,
        Effect.interruptible,
        Effect.forkScoped
      )
    }

    const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`
    return {
      exchange: protocol.name,
      port,
      url: (path) => `ws://${authority}${path ?? protocol.path}`,
      httpUrl: (path) => `http://${authority}${path}`,
      inject: (fault) => Effect.sync(() => controls.inject(fault)),
      heal: Effect.sync(controls.heal),
      status: Effect.sync(controls.status),
      flush: Effect.async<void, RecordFailed>((resume) =>
        controls.flush((reason) =>
          resume(reason === null ? Effect.void : Effect.fail(new RecordFailed({ reason })))
        )
      )
    }
  })

const listen = (server: Server, host: string, port: number): Effect.Effect<number, ResourceUnavailable> =>
  Effect.async((resume) => {
    server.once("error", (error) => {
      server.on("error", () => {})
      resume(
        new ResourceUnavailable({
          reason: `the simulator cannot listen on ${host}:${port}: ${error.message}`
        })
      )
    })
    server.listen(port, host, () => resume(Effect.succeed(portOf(server.address(), port))))
  })

const portOf = (address: AddressInfo | string | null, port: number): number =>
  address === null || typeof address === "string" ? port : address.port

/** Stops listening, closes all connections, and cuts off clients that do not answer in time. */
const stop = (server: Server, connections: ReadonlySet<ClientConnection>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const closed = yield* Deferred.make<void>()
    server.close(() => Deferred.unsafeDone(closed, Effect.void))
    server.closeIdleConnections()
    for (const connection of connections) connection.close(1001, "simulator stops")
    yield* Effect.sleep("10 millis").pipe(
      Effect.repeat({ until: () => connections.size === 0 }),
      Effect.interruptible,
      Effect.timeoutOption("400 millis")
    )
    for (const connection of connections) connection.terminate()
    server.closeAllConnections()
    yield* Deferred.await(closed).pipe(Effect.interruptible, Effect.timeoutOption("300 millis"))
  })

const readUrl = (target: string) =>
  Either.try({
    try: () => new URL(target, "ws://simulator"),
    catch: () => ({ status: 400, reason: "not a URL" })
  })

const refuse = (
  transport: Duplex,
  { reason, status }: { readonly status: number; readonly reason: string }
) => {
  transport.end(
    `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${Buffer.byteLength(reason)}\r\n\r\n${reason}`
  )
}
