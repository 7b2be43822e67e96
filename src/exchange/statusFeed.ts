import { Duration, Effect, Schedule } from "effect"
import { monotonicMillis } from "../monotonicMillis.ts"
import { chunk } from "./chunk.ts"
import type { Said } from "./StatusWatch.ts"
import type { Connect } from "./WebSocket.ts"

/**
 * A feed of an exchange's status messages on a connection without data: whatever happens to it never ends a stream or puts one
 * in doubt. It is pinged every 20 s, and reopened when nothing was heard for a minute.
 */
export interface StatusFeed {
  /** Returns its URL, given that of the data; undefined if that endpoint has none. */
  readonly urlOf: (url: string) => string | undefined
  /** How long the data connections have the exchange to themselves first. Doubled after every failed attempt, up to an hour. */
  readonly after: Duration.Duration
  /** Messages to send as soon as it is open. */
  readonly opening: ReadonlyArray<string>
  /** Makes the message that subscribes to symbols, if the feed reports each by itself. */
  readonly ask?: (symbols: ReadonlyArray<string>) => string
  /** The exchange's own ping message; if undefined, the exchange sends heartbeats. */
  readonly ping?: string
  /** Returns the status messages in a frame; none if it is another kind of frame, or unreadable. Never throws. */
  readonly read: (frame: Buffer) => ReadonlyArray<Said>
  /** For feeds that only send changes: the REST path of the current state. `read` takes its answer. */
  readonly current?: string
}

/** Listens forever. `hear` is called on the socket's call stack; `symbols` returns the symbols being recorded. */
export const listen = (
  feed: StatusFeed,
  options: {
    readonly connect: Connect
    /** The URL of the data. */
    readonly url: string
    /** The REST interface, if known. */
    readonly restUrl: string | undefined
    readonly symbols: () => ReadonlySet<string>
    /** Waits until another connection can be made. */
    readonly admit: <A, E, R>(attempt: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Reserves a slot, and returns the milliseconds until another message can be sent. */
    readonly reserve: (now: number) => number
    readonly hear: (said: Said) => void
  }
): Effect.Effect<void> => {
  let pause = feed.after
  const url = feed.urlOf(options.url)
  if (url === undefined) return Effect.void
  const once = Effect.gen(function* () {
    let isHeard = false
    const asked = new Set<string>()
    const isAsked = ({ subject }: Said) =>
      feed.ask === undefined || subject === undefined || asked.has(subject)
    const heard = () => {
      isHeard = true
      pause = feed.after
    }
    const hearAll = (text: Buffer) => {
      for (const said of feed.read(text)) if (isAsked(said)) options.hear(said)
    }
    const connection = yield* options.admit(
      options.connect(url, {
        onMessage: (frame) => {
          heard()
          hearAll(frame)
        },
        onPing: heard,
        onPong: heard
      })
    )
    const send = (text: string) =>
      Effect.flatMap(monotonicMillis, (now) =>
        Effect.delay(connection.send(text), Duration.millis(options.reserve(now)))
      )
    const askForNew = Effect.suspend(() => {
      const fresh = Array.from(options.symbols()).filter((symbol) => !asked.has(symbol))
      for (const symbol of fresh) asked.add(symbol)
      const { ask } = feed
      return ask === undefined
        ? Effect.void
        : Effect.forEach(chunk(fresh, symbolsPerMessage), (symbols) => send(ask(symbols)), { discard: true })
    })
    const { current } = feed
    const { restUrl } = options
    const askForCurrent =
      current === undefined || restUrl === undefined
        ? Effect.void
        : Effect.promise(() => import("./fetchBytes.ts")).pipe(
            Effect.flatMap(({ fetchBytes }) => fetchBytes(restUrl, current)),
            Effect.matchEffect({
              onFailure: tellReason,
              onSuccess: (bytes) => Effect.sync(() => hearAll(bytes))
            })
          )
    const upkeep = Effect.gen(function* () {
      yield* Effect.forEach(feed.opening, send, { discard: true })
      yield* askForCurrent
      for (let missed = 0; missed < pingsPerSilence; missed = isHeard ? 0 : missed + 1) {
        isHeard = false
        yield* askForNew
        if (feed.ping !== undefined) yield* send(feed.ping)
        yield* Effect.sleep(pingEvery)
      }
    })
    yield* Effect.raceFirst(connection.ended, upkeep)
  }).pipe(
    Effect.scoped,
    Effect.catchAll(({ reason }) => tellReason(reason)),
    Effect.catchAllDefect((defect) => tellReason(String(defect)))
  )
  return Effect.suspend(() => {
    const delay = pause
    pause = Duration.min(Duration.times(pause, 2), longestPause)
    return Effect.delay(once, delay)
  }).pipe(Effect.repeat(Schedule.forever), Effect.asVoid)
}

const tellReason = (reason: string) =>
  Effect.logDebug("could not read the exchange's status feed, retrying").pipe(Effect.annotateLogs({ reason }))

const longestPause = Duration.hours(1)

const pingEvery = Duration.seconds(20)
const pingsPerSilence = 3

const symbolsPerMessage = 100
