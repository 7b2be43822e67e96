import { Duration, Effect, Schedule } from "effect"
import { monotonicMillis } from "../monotonicMillis.ts"
import { chunk } from "./chunk.ts"
import type { Said } from "./StatusWatch.ts"
import type { Connect } from "./WebSocket.ts"

/**
 * Where an exchange tells of itself on a connection that has no data: nothing that becomes of it ends or doubts a stream. It is
 * pinged every 20 s, and made anew when nothing was heard for a minute.
 */
export interface StatusFeed {
  /** Its URL, by that of the data; undefined where that endpoint has none. */
  readonly urlOf: (url: string) => string | undefined
  /** How long the data have the exchange to themselves first. After an attempt in vain twice as long, up to an hour. */
  readonly after: Duration.Duration
  /** Messages to send as soon as it is open. */
  readonly opening: ReadonlyArray<string>
  /** The message that asks for some symbols, where it tells of each by itself. */
  readonly ask?: (symbols: ReadonlyArray<string>) => string
  /** A ping of the exchange's own; without, the exchange sends heartbeats. */
  readonly ping?: string
  /** What a frame says; nothing if it is none that does, or cannot be read. Never throws. */
  readonly read: (frame: Buffer) => ReadonlyArray<Said>
  /** Where the frames have only what changes: the path at which REST has what is so now. `read` takes its answer. */
  readonly current?: string
}

/** Listens for ever. `hear` is called on the socket's call stack; `symbols` are those that are recorded now. */
export const listen = (
  feed: StatusFeed,
  options: {
    readonly connect: Connect
    /** Of the data. */
    readonly url: string
    /** The REST interface, if it is known. */
    readonly restUrl: string | undefined
    readonly symbols: () => ReadonlySet<string>
    /** Waits until another connection may be made. */
    readonly admit: <A, E, R>(attempt: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Milliseconds until another message may be sent. */
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
