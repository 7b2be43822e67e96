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
 * Takes the events of the receiving side, and the messages dropped from the queue, and hands them to storage for the journal once
 * a second; what storage does not accept is kept and retried. Consecutive gaps and discontinuities, as can occur with every
 * frame, are merged into one. A sign of life goes along whenever everything received is committed: what the journal says about a
 * time is only said once the messages of that time are safe. A commit is a sign of life, too: it waits until earlier events are
 * journalled, or a process that is killed just after it would leave holes that are not journalled.
 *
 * Whatever stops when it is closed must be built on it: its last events are journalled at the very end, within 2 s at most.
 */
export class EventRecorder extends Context.Tag("collector/EventRecorder")<
  EventRecorder,
  {
    /** Never waits and never fails; made for the call stack of a socket. */
    readonly unsafeRecord: (event: ReceivingEvent) => void
    /** Marks the end of receiving: later signs of life carry this moment. */
    readonly endReceiving: Effect.Effect<void>
    /** Journals earlier events and drops at once. Returns when each open connection was last heard. */
    readonly flush: Effect.Effect<Heard, StorageError>
  }
>() {
  /**
   * `heard` returns when each open connection was last heard. `maxWaiting` is the maximum number of events that are kept; of
   * further ones only what they leave in doubt is kept.
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
    /** Drops that wait to be journalled, at most one for each stream. */
    let drops = new Map<string, Drop>()
    let heard = heardNow
    let endedAt: number | undefined
    /** When the last sign of life was given, milliseconds of the monotonic clock. */
    let aliveAt = Number.MIN_SAFE_INTEGER

    const oneByOne = Effect.unsafeMakeSemaphore(1)

    /** Committed batches are released. */
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

    /** Includes a sign of life if the last one was at least this many milliseconds ago. */
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
