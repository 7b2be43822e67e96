import { Duration, Effect, FiberMap } from "effect"
import { streamKey } from "../../domain/StreamId.ts"
import { monotonicMillis } from "../../monotonicMillis.ts"
import type { Polled } from "../Exchange.ts"
import type { TrackedStream } from "../TrackedStream.ts"
import type { PolledStreams } from "./polledStreams.ts"
import type { RestClient } from "./RestClient.ts"

/** Streams that are requested over REST, each at its own pace. */
export interface Polling {
  readonly add: (streams: ReadonlyArray<TrackedStream>) => void
  /** Ends streams, giving this reason. */
  readonly remove: (streams: ReadonlyArray<TrackedStream>, reason: string) => void
  readonly run: Effect.Effect<never>
}

/**
 * Polls streams. A missed poll disconnects the stream as of its last answer, until there is another one. Missed polls are logged
 * together, every ten seconds.
 */
export const makePolling = (
  polledBy: (stream: TrackedStream) => Polled | undefined,
  client: Effect.Effect<RestClient>,
  streams: PolledStreams
): Polling => {
  const wanted = new Map<string, TrackedStream>()
  let missed: Array<{ readonly stream: string; readonly reason: string }> = []
  let onChange: () => void = () => {}

  const poll = (stream: TrackedStream, polled: Polled) =>
    client.pipe(
      Effect.flatMap(({ get }) => get(polled.path(stream.id.symbol), polled.weight)),
      Effect.mapError(({ reason }) => reason),
      Effect.timeoutFail({ duration: polled.every, onTimeout: () => "held up until the next poll was due" }),
      Effect.flatMap((data) =>
        Effect.map(polled.read(data, stream.id.symbol), (answer) => streams.receive(stream, answer, data))
      ),
      Effect.catchAll((reason) =>
        Effect.sync(() => {
          streams.disconnect(stream, "error", reason)
          missed.push({ stream: streamKey(stream.id), reason })
        })
      )
    )

  const logMissed = Effect.suspend(() => {
    const [first] = missed
    const polls = missed.length
    missed = []
    return first === undefined
      ? Effect.void
      : Effect.annotateLogs(Effect.logWarning("polls failed, retrying"), { polls, ...first })
  })

  /** Polls at fixed times. Those that pass while the limits hold a poll up are skipped. */
  const pollForever = (stream: TrackedStream, polled: Polled) =>
    Effect.gen(function* () {
      const every = Duration.toMillis(polled.every)
      let due = yield* monotonicMillis
      while (true) {
        yield* poll(stream, polled)
        const now = yield* monotonicMillis
        due = Math.max(due + every, now)
        yield* Effect.sleep(due - now)
      }
    })

  return {
    add: (added) => {
      for (const stream of added) wanted.set(streamKey(stream.id), stream)
      onChange()
    },
    remove: (removed, reason) => {
      for (const stream of removed) {
        if (wanted.delete(streamKey(stream.id))) streams.disconnect(stream, "empty", reason)
      }
      onChange()
    },
    run: Effect.gen(function* () {
      const fibers = yield* FiberMap.make<string, never>()
      const changed = yield* Effect.makeLatch(true)
      onChange = () => changed.unsafeOpen()
      yield* Effect.forkScoped(Effect.forever(Effect.delay(logMissed, "10 seconds")))
      while (true) {
        yield* changed.await
        changed.unsafeClose()
        for (const [key] of fibers) if (!wanted.has(key)) yield* FiberMap.remove(fibers, key)
        for (const [key, stream] of wanted) {
          const polled = polledBy(stream)
          if (polled === undefined) continue
          yield* FiberMap.run(fibers, key, pollForever(stream, polled), { onlyIfMissing: true })
        }
      }
    }).pipe(Effect.scoped)
  }
}
