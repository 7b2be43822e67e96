import { Clock, Context, Effect, Fiber, Layer, Schedule } from "effect"
import { MessagesDropped, type ReceivingEvent } from "../domain/JournalEvent.ts"
import { type StreamId, streamKey } from "../domain/StreamId.ts"
import { Storage } from "../thread/Storage.ts"
import { Batcher } from "./Batcher.ts"
import { type Drop, SnapshotQueue } from "./SnapshotQueue.ts"

/**
 * Takes what receiving has to tell the journal, and hands it to storage once a second; what storage does not take is kept
 * and tried again. With it go signs of life, as long as nothing that was received waits to be committed: what the journal
 * says about a time is only said once the messages of that time are safe.
 */
export class EventRecorder extends Context.Tag("collector/EventRecorder")<
  EventRecorder,
  {
    /** Never waits and never fails; made for the call stack of a socket. */
    readonly unsafeRecord: (event: ReceivingEvent) => void
    /** Messages that gave way in the queue. */
    readonly unsafeRecordDrops: (drops: ReadonlyArray<Drop>) => void
  }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const storage = yield* Storage
  const batcher = yield* Batcher
  const queue = yield* SnapshotQueue
  let waiting: Array<ReceivingEvent> = []
  /** While they wait there is at most one for each stream. */
  let drops = new Map<string, Drop>()
  let forgotten = 0
  let aliveAt = 0

  const isIdle = Effect.gen(function* () {
    const { depth } = yield* queue.counts
    const { failing } = yield* batcher.state
    return depth === 0 && failing === null
  })

  const flush = Effect.gen(function* () {
    const now = (yield* Clock.currentTimeMillis) * 1000
    const isAlive = now - aliveAt >= microsPerBeat && (yield* isIdle)
    const events = waiting
    const dropped = drops
    if (events.length === 0 && dropped.size === 0 && !isAlive) return
    waiting = []
    drops = new Map()
    yield* storage.record([...events, ...Array.from(dropped.values(), asEvent)], isAlive ? now : null).pipe(
      Effect.tapError(() =>
        Effect.sync(() => {
          waiting = events.concat(waiting)
          const later = drops
          drops = dropped
          for (const drop of later.values()) addDrop(drop)
        })
      )
    )
    if (isAlive) aliveAt = now
    if (forgotten > 0) {
      yield* Effect.logError(
        "events were lost, there were too many while the journal could not be written"
      ).pipe(Effect.annotateLogs({ events: forgotten }))
      forgotten = 0
    }
  }).pipe(
    Effect.tapError((error) =>
      Effect.logDebug("events could not be journalled, they are kept and tried again").pipe(
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

  const fiber = yield* Effect.forkScoped(
    Effect.interruptible(Effect.schedule(Effect.ignore(flush), Schedule.spaced("1 second")))
  )
  yield* Effect.addFinalizer(() =>
    Fiber.interrupt(fiber).pipe(
      Effect.zipRight(Effect.retry(flush, Schedule.spaced("250 millis"))),
      Effect.ignore,
      Effect.interruptible,
      Effect.timeoutOption("2 seconds")
    )
  )

  return EventRecorder.of({
    unsafeRecord: (event) => {
      if (waiting.length >= maxWaiting) forgotten++
      else waiting.push(event)
    },
    unsafeRecordDrops: (taken) => {
      for (const drop of taken) addDrop(drop)
    }
  })
})

const asEvent = ({ count, first, last, stream }: Drop): ReceivingEvent =>
  MessagesDropped.make({ stream: plain(stream), count, first, last })

const plain = ({ dataType, exchange, symbol }: StreamId): StreamId => ({ exchange, symbol, dataType })

const maxWaiting = 100_000
const microsPerBeat = 5_000_000
