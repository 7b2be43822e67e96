import { Cause, Duration, Effect, ExecutionStrategy, Exit, Schedule, Scope } from "effect"
import { reconnecting } from "../cadences.ts"
import { monotonicMillis } from "../monotonicMillis.ts"
import { type AllowanceLimits, makeAllowance } from "./Allowance.ts"
import type { ConnectionContext } from "./Connection/ConnectionContext.ts"
import { type Connection, openConnection } from "./Connection.ts"
import { afterCut, afterHandover, noPause } from "./handoverPause.ts"
import { makeSilenceWatch } from "./SilenceWatch.ts"
import type { TrackedStream } from "./TrackedStream.ts"
import { ConnectionLost } from "./WebSocket.ts"

/** Streams that are kept alive together, on one connection after another. */
export interface StreamGroup {
  readonly streams: ReadonlySet<TrackedStream>
  /** Adds more streams, on the current connection or with the next one. */
  readonly add: (streams: ReadonlyArray<TrackedStream>) => void
  /** Adds streams that another group keeps until `adopt`. */
  readonly addGuests: (streams: ReadonlyArray<TrackedStream>) => void
  /** Takes over the guests that the exchange sends here. Returns them, so that the other group can let them go. */
  readonly adopt: () => ReadonlyArray<TrackedStream>
  readonly guests: ReadonlySet<TrackedStream>
  /** Ends streams, giving this reason. The group ends when it has none left. */
  readonly remove: (streams: ReadonlyArray<TrackedStream>, end: ConnectionLost) => void
  /** The open connections: two while one takes over from the other. */
  readonly connections: () => ReadonlyArray<Connection>
  /** Keeps the streams alive. Returns when the last stream has been removed. */
  readonly run: Effect.Effect<void>
}

/**
 * Opens a connection, and the next one when it ends. When the exchange is about to end it, the next one is opened first and
 * takes over once it has caught up; if the end of the new one is announced soon as well, it is kept for a while first.
 * Receiving data resets the waiting time between attempts. `onMove` is called with streams that stay silent in this group, and
 * returns whether another one takes them. `guests` are kept by another group until they are adopted.
 */
export const makeStreamGroup = (
  context: ConnectionContext,
  streams: ReadonlyArray<TrackedStream>,
  onMove: (streams: ReadonlyArray<TrackedStream>) => boolean,
  guests = new Set<TrackedStream>()
): StreamGroup => {
  const { clock, emit, exchange } = context
  const wanted = new Set(streams)
  const opened = new Set<Opened>()
  const emptied = Effect.unsafeMakeLatch(false)
  const allowance = makeAllowance(unreadableLimits)
  const silence = makeSilenceWatch(Duration.toSeconds(context.silenceTimeout), context.habit)

  const reportEnd = (connection: string, end: ConnectionLost) =>
    emit({
      _tag: "ConnectionEnded",
      at: clock.unsafeNow(),
      exchange: exchange.name,
      connection,
      kind: end.kind,
      reason: end.reason,
      code: end.code ?? null
    })

  /** Reports the end of a connection, and closes it. */
  const close = (ending: Opened, end: ConnectionLost, isTakenOver = false) =>
    Effect.suspend(() => {
      opened.delete(ending)
      const at = clock.unsafeNow()
      const others = new Set(Array.from(opened).flatMap(({ connection }) => connection.carried()))
      for (const stream of ending.connection.carried()) {
        if (!isTakenOver) {
          // It was meant to take over: the stream lives on.
          if (others.has(stream)) continue
          stream.state = "connecting"
        }
        stream.reconnects.set(end.kind, (stream.reconnects.get(end.kind) ?? 0) + 1)
      }
      ending.connection.reportEnds(end, at)
      reportEnd(ending.connection.id, end)
      return Scope.close(ending.scope, Exit.void)
    })

  /** Makes one attempt to open a connection. What it opens is in `opened` before anything can interrupt it. */
  const attempt = (parent: Scope.Scope, primary: boolean) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const id = context.nextConnection()
        const scope = yield* Scope.fork(parent, ExecutionStrategy.sequential)
        let asked: ReadonlySet<TrackedStream> = new Set()
        const connection = yield* restore(
          Effect.suspend(() => {
            asked = new Set(wanted)
            return openConnection(context, {
              id,
              streams: [...asked],
              primary,
              guests,
              allowance,
              silence,
              onMove
            })
          }).pipe(
            Scope.extend(scope),
            Effect.withSpan("exchange.connect", { attributes: { exchange: exchange.name, connection: id } }),
            context.attempts.admit
          )
        ).pipe(
          Effect.onError(() => Scope.close(scope, Exit.void)),
          Effect.tapError((end) => Effect.sync(() => reportEnd(id, end)))
        )
        const opening: Opened = { connection, scope }
        opened.add(opening)
        // Streams that were added or removed while it was being opened.
        const late = [...wanted].filter((stream) => !asked.has(stream))
        connection.subscribe(late.filter((stream) => !guests.has(stream)))
        connection.subscribeGuests(late.filter((stream) => guests.has(stream)))
        connection.unsubscribe(
          [...asked].filter((stream) => !wanted.has(stream)),
          new ConnectionLost({ kind: "empty", reason: "it was ended while its connection was being opened" })
        )
        return opening
      })
    )

  /** Returns once there is a stream that can be requested from the exchange. */
  const awaitWanted = Effect.repeat(Effect.sleep("1 second"), {
    until: () => hasWanted()
  }).pipe(Effect.unless(() => hasWanted()))
  const hasWanted = () => {
    clock.unsafeNow()
    const elapsed = clock.unsafeElapsed()
    return Array.from(wanted).some((stream) => stream.state !== "refused" || stream.retryAt <= elapsed)
  }

  const closeAll = (end: ConnectionLost) =>
    Effect.suspend(() => Effect.forEach([...opened], (ending) => close(ending, end), { discard: true }))

  const run = Effect.gen(function* () {
    const parent = yield* Effect.scope
    const backoff = yield* Schedule.driver(reconnecting)

    /** Opens a connection, however long that takes. */
    const open = (primary: boolean) =>
      Effect.zipRight(awaitWanted, attempt(parent, primary)).pipe(
        Effect.tapError((end) => context.attempts.hold(end.retryAfter ?? 0)),
        Effect.tapError((end) => Effect.ignore(backoff.next(end))),
        Effect.eventually
      )

    /** Opens the connection that takes over from one that is about to end; returns undefined if that one ends first. */
    const successorOf = ({ connection }: Opened) =>
      Effect.gen(function* () {
        while (true) {
          const before = new Set(opened)
          yield* Effect.raceFirst(connection.ended, open(false))
          const next = Array.from(opened).find((opening) => !before.has(opening))
          if (next === undefined) return undefined
          const lost = yield* Effect.raceFirst(
            next.connection.ended,
            Effect.as(Effect.raceFirst(connection.ended, caughtUp(connection, next.connection)), undefined)
          )
          if (lost === undefined) return next
          yield* close(next, lost)
          yield* Effect.ignore(backoff.next(lost))
        }
      })

    /** Keeps a connection whose end is announced for this many milliseconds. Returns whether it ended in the meantime. */
    const isCutWithin = ({ connection }: Opened, millis: number) =>
      millis <= 0
        ? Effect.succeed(false)
        : Effect.logInfo("exchange announced the end of a new connection, keeping it for now").pipe(
            Effect.annotateLogs({ seconds: Math.round(millis / 1000) }),
            Effect.zipRight(
              Effect.raceFirst(
                Effect.as(connection.ended, true),
                Effect.as(Effect.sleep(Duration.millis(millis)), false)
              )
            )
          )

    let current = yield* open(true)
    let pause = noPause(exchange.notice === undefined ? undefined : Duration.toMillis(exchange.notice))
    while (true) {
      const began = yield* monotonicMillis
      const wish = yield* Effect.raceFirst(
        Effect.as(current.connection.ended, undefined),
        current.connection.handover
      )
      if (wish !== undefined) {
        if (current.connection.hadData()) yield* backoff.reset
        const { kind, reason } = wish
        const age = (yield* monotonicMillis) - began
        if (kind === "replaced" && (yield* isCutWithin(current, pause.millis - age))) {
          pause = afterCut(pause, (yield* monotonicMillis) - began)
        } else {
          yield* Effect.logInfo("handing over to a new connection").pipe(Effect.annotateLogs({ reason }))
          const next = yield* successorOf(current)
          if (next !== undefined) {
            next.connection.promote()
            yield* close(current, new ConnectionLost({ kind, reason }), true)
            current = next
            if (kind === "replaced") pause = afterHandover(pause, age)
            continue
          }
        }
      }
      const end = yield* current.connection.ended
      // Otherwise a connection that receives data before every error would be reopened without a pause.
      const isCalm = end.kind !== "error" || (yield* monotonicMillis) - began >= calmMillis
      if (isCalm && current.connection.hadData()) yield* backoff.reset
      yield* close(current, end)
      current = yield* Effect.zipRight(Effect.ignore(backoff.next(end)), open(true)).pipe(
        Effect.withSpan("exchange.reconnect", {
          root: true,
          attributes: { exchange: exchange.name, kind: end.kind, reason: end.reason }
        })
      )
    }
  })

  return {
    streams: wanted,
    add: (more) => {
      for (const stream of more) wanted.add(stream)
      for (const { connection } of opened) connection.subscribe(more)
    },
    addGuests: (more) => {
      for (const stream of more) {
        wanted.add(stream)
        guests.add(stream)
      }
      for (const { connection } of opened) connection.subscribeGuests(more)
    },
    adopt: () => {
      const taken = [...guests].filter((stream) =>
        Array.from(opened).some(({ connection }) => connection.carries(stream))
      )
      for (const stream of taken) guests.delete(stream)
      for (const { connection } of opened) connection.adopt(taken)
      return taken
    },
    guests,
    remove: (some, end) => {
      for (const stream of some) {
        wanted.delete(stream)
        guests.delete(stream)
      }
      for (const { connection } of opened) connection.unsubscribe(some, end)
      if (wanted.size === 0) emptied.unsafeOpen()
    },
    connections: () => Array.from(opened, ({ connection }) => connection),
    run: Effect.scoped(
      Effect.raceFirst(run, emptied.await).pipe(
        Effect.zipRight(
          closeAll(new ConnectionLost({ kind: "empty", reason: "it has no streams any more" }))
        ),
        // Connections that are open end with it.
        Effect.onError((cause) =>
          Cause.isInterruptedOnly(cause)
            ? Effect.void
            : closeAll(
                new ConnectionLost({ kind: "closed", reason: `a defect: ${String(Cause.squash(cause))}` })
              )
        )
      )
    )
  }
}

/**
 * Limits for unreadable frames, over all connections of a group: enough for a few streams that changed their format, and for
 * some whole books of 5 MB; at most 11 GB a day, however fast garbage arrives.
 */
const unreadableLimits: AllowanceLimits = {
  perSecond: 100,
  burst: 2000,
  bytesPerSecond: 128 * 1024,
  burstBytes: 32 * 1024 * 1024,
  maxBytes: 8 * 1024 * 1024
}

/** The age of a connection from which its error says nothing about the next one. */
const calmMillis = 60_000

/** A connection, and the scope that keeps it open. */
interface Opened {
  readonly connection: Connection
  readonly scope: Scope.CloseableScope
}

/** Waits until the next connection has all streams accepted, and those that are live here are live there too. */
const caughtUp = (connection: Connection, next: Connection) =>
  next.ready.pipe(
    Effect.timeoutOption("20 seconds"),
    Effect.zipRight(
      Effect.sleep("50 millis").pipe(
        Effect.repeat({ until: () => connection.isCaughtUpBy(next) }),
        Effect.timeoutOption("5 seconds")
      )
    )
  )
