import { Clock, Context, Effect, Fiber, Layer, Schedule } from "effect"
import { makeEventRuns } from "../domain/eventRuns.ts"
import { type Heard, MessagesDropped, type ReceivingEvent } from "../domain/JournalEvent.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import { monotonicMillis } from "../monotonicMillis.ts"
import { Storage, type StorageError } from "../storage/Storage.ts"
import { supervise } from "../supervise.ts"
import { makeForgottenEvents } from "./ForgottenEvents.ts"
import { type Drop, SnapshotQueue } from "./SnapshotQueue.ts"
import { takeDrops } from "./takeDrops.ts"

/**
 * Takes what receiving has to tell the journal, and what gave way in the queue, and hands it to storage once a second; what
 * storage does not take is kept and tried again. Gaps and discontinuities that come in a row, as with every frame, are told as
 * one. With it go signs of life, as long as all that was received is committed:
 * what the journal says about a time is only said once the messages of that time are safe. A commit is a sign of life, too:
 * it waits until what was told before is journalled, or a process that is killed just after it would leave holes untold.
 *
 * Whatever stops when it is closed has to be built on it: its last words come at the very end, for 2 s at most.
 */
export class EventRecorder extends Context.Tag("collector/EventRecorder")<
  EventRecorder,
  {
    /** Never waits and never fails; made for the call stack of a socket. */
    readonly unsafeRecord: (event: ReceivingEvent) => void
    /** Nothing is received from now on: signs of life that are given later are of this moment. */
    readonly endReceiving: Effect.Effect<void>
    /** Journals at once what was told, and what gave way, before. Returns when each open connection was last heard. */
    readonly flush: Effect.Effect<Heard, StorageError>
  }
>() {
  /**
   * `heard` says when each open connection was last heard. `maxWaiting` is how many events it keeps; of further ones it only
   * keeps what they leave in doubt.
   */
  static readonly layer = (options: { readonly heard: Effect.Effect<Heard>; readonly maxWaiting?: number }) =>
    Layer.scoped(this, make(options.heard, options.maxWaiting ?? defaultMaxWaiting))
}

const make = (heardNow: Effect.Effect<Heard>, maxWaiting: number) =>
  Effect.gen(function* () {
    const storage = yield* Storage
    const queue = yield* SnapshotQueue
    const forgotten = makeForgottenEvents()
    let waiting: Array<ReceivingEvent> = []
    const runs = makeEventRuns((event) => {
      if (forgotten.count > 0 || waiting.length >= maxWaiting) forgotten.add(event)
      else waiting.push(event)
    })
    /** While they wait there is at most one for each stream. */
    let drops = new Map<string, Drop>()
    let heard = heardNow
    let endedAt: number | undefined
    /** When the last sign of life was given, milliseconds of the monotonic clock. */
    let aliveAt = Number.MIN_SAFE_INTEGER

    const oneByOne = Effect.unsafeMakeSemaphore(1)

    /** What is committed is released. */
    const isAllCommitted = Effect.map(
      queue.counts,
      ({ depth, unreleased }) => depth === 0 && unreleased === 0
    )

    const tell = (every: number): Effect.Effect<void, StorageError, SnapshotQueue> =>
      Effect.gen(function* () {
        const now = yield* monotonicMillis
        const at = endedAt ?? (yield* Clock.currentTimeMillis) * 1000
        const isAlive = now - aliveAt >= every && forgotten.count === 0 && (yield* isAllCommitted)
        for (const drop of yield* takeDrops) addDrop(drop)
        runs.take()
        const events = waiting
        const dropped = drops
        if (events.length === 0 && dropped.size === 0 && !isAlive) return
        waiting = []
        drops = new Map()
        yield* storage
          .record(
            [...events, ...Array.from(dropped.values(), asEvent)],
            isAlive ? at : null,
            isAlive ? yield* heard : undefined
          )
          .pipe(
            Effect.onError(() =>
              Effect.sync(() => {
                waiting = events.concat(waiting)
                const later = drops
                drops = dropped
                for (const drop of later.values()) addDrop(drop)
              })
            )
          )
        if (isAlive) aliveAt = now
        if (forgotten.count > 0) {
          yield* Effect.logError(
            "too many events while the journal could not be written, dropped the rest"
          ).pipe(Effect.annotateLogs({ events: forgotten.count }))
          waiting = waiting.concat(forgotten.take())
          yield* tell(every)
        }
      })

    /** With a sign of life, if the last one was so many milliseconds ago. */
    const flush = (every: number) =>
      tell(every).pipe(
        oneByOne.withPermits(1),
        Effect.provideService(SnapshotQueue, queue),
        Effect.tapError((error) =>
          Effect.logDebug("could not journal events, keeping them and retrying").pipe(
            Effect.annotateLogs({ events: waiting.length, reason: error.message })
          )
        ),
        Effect.uninterruptible,
        Effect.annotateLogs({ module: "ingest" })
      )

    const addDrop = (drop: Drop) => {
      const key = streamKey(drop.stream)
      const known = drops.get(key)
      drops.set(
        key,
        known === undefined
          ? drop
          : {
              stream: drop.stream,
              count: known.count + drop.count,
              first: Math.min(known.first, drop.first),
              last: Math.max(known.last, drop.last)
            }
      )
    }

    const loop = Effect.schedule(Effect.ignore(flush(millisPerBeat)), Schedule.spaced("1 second"))
    const fiber = yield* Effect.forkScoped(Effect.interruptible(supervise("journalling")(loop)))

    const finalFlush = flush(0).pipe(
      Effect.retry(Schedule.spaced("250 millis")),
      Effect.repeat({ until: () => waiting.length === 0 }),
      Effect.ignore
    )
    yield* Effect.addFinalizer(() =>
      Fiber.interrupt(fiber).pipe(
        Effect.zipRight(finalFlush),
        Effect.disconnect,
        Effect.interruptible,
        Effect.timeoutOption("2 seconds"),
        Effect.exit
      )
    )

    return EventRecorder.of({
      unsafeRecord: runs.pass,
      endReceiving: Effect.gen(function* () {
        endedAt = (yield* Clock.currentTimeMillis) * 1000
        heard = Effect.succeed(yield* heard)
      }),
      // The commit will be the sign of life.
      flush: Effect.zipRight(
        flush(Number.POSITIVE_INFINITY),
        Effect.suspend(() => heard)
      )
    })
  })

const asEvent = ({ count, first, last, stream }: Drop): ReceivingEvent =>
  MessagesDropped.make({ stream: plain(stream), count, first, last })

const plain = ({ dataType, exchange, symbol }: StreamId): StreamId => ({ exchange, symbol, dataType })

const defaultMaxWaiting = 100_000
const millisPerBeat = 5000
