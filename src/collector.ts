import type { FileSystem, Path } from "@effect/platform"
import { Clock, Context, Duration, Effect, Fiber, Layer, Mailbox, Option, Schedule, Scope } from "effect"
import { readText, settingsPath } from "./Config/settingsFile.ts"
import { loadGiven, type Settings } from "./Config.ts"
import { ClockStepped, RecordingStarted } from "./domain/JournalEvent.ts"
import type { StartupError } from "./domain/StartupError.ts"
import { ExchangeStream } from "./exchange/ExchangeStream.ts"
import { type ClockStep, ReceiveClock } from "./exchange/ReceiveClock.ts"
import { exchanges } from "./exchange/registry.ts"
import type { Hangup } from "./hangup.ts"
import { Batcher } from "./ingest/Batcher.ts"
import { EventRecorder } from "./ingest/EventRecorder.ts"
import { SnapshotQueue } from "./ingest/SnapshotQueue.ts"
import { watchClock } from "./operations/ClockWatch.ts"
import { holdLogsUntil } from "./operations/Logging/holdLogs.ts"
import * as Logging from "./operations/Logging.ts"
import { LogJanitor } from "./operations/LogJanitor.ts"
import { watchStops } from "./operations/StopWatch.ts"
import * as Tracing from "./operations/Tracing.ts"
import { noReloading, type Reloading, reloadForever } from "./reloading.ts"
import { StatusPage } from "./status/http/HttpThread.ts"
import { checkAddress } from "./status/http/listen.ts"
import { logLiveness } from "./status/logLiveness.ts"
import { publishReports, sayWhereStatusPageIs } from "./status/publishReports.ts"
import { Reporter } from "./status/Reporter.ts"
import { Storage } from "./storage/Storage.ts"
import { supervise } from "./supervise.ts"
import * as StorageThread from "./thread/StorageThread.ts"
import type { EarlyThread } from "./thread/startThread.ts"

/**
 * The whole collector, on three threads:
 *
 * ```
 * receiving (this thread)              storing (thread/storing.ts)          status page (status/http)
 * ───────────────────────              ───────────────────────────          ─────────────────────────
 * ExchangeStream                       SnapshotRepo, EventJournal           health, metrics, API, page
 *    │ snapshots     │ events             one transaction for rows and
 * SnapshotQueue   EventRecorder           entries (SQLite, WAL)
 *    │               │                 Archiver
 * Batcher ──── batches, events ──────▶    ParquetWriter, ArchiveStore
 * Reporter ─── state, each second ────────────────────────────────────────▶ StatusPage
 * LogJanitor
 * ```
 *
 * Building it can fail with a StartupError; after that nothing in it fails except `StorageLife.failure` (`StorageGaveUp`), when
 * the storage thread keeps dying. When closed, it stops receiving, commits what is queued, and then releases the database.
 */
export const layer = (
  settings: Settings,
  storage: StorageThread.Begun,
  reloading: Reloading = noReloading
): Layer.Layer<
  Batcher | EventRecorder | StatusPage | SnapshotQueue | Storage | StorageThread.StorageLife,
  StartupError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.merge(Layer.provide(actor("liveness log", logLiveness), opened), statusPage).pipe(
    Layer.provide(receiving(reloading)),
    Layer.provide(Reporter.layer(settings)),
    Layer.provideMerge(Batcher.layer({ interval: settings.batchInterval, drainTimeout })),
    Layer.provideMerge(eventRecorder),
    Layer.provideMerge(
      Layer.mergeAll(
        SnapshotQueue.layer({ capacity: settings.queueCapacity }),
        exchangeStream(settings),
        Layer.provideMerge(StatusPage.layer(settings), StorageThread.layer(storage)),
        Layer.effectDiscard(checkAddress(settings.httpHost, settings.httpPort))
      )
    ),
    Layer.provide(LogJanitor.layer({ directory: settings.logDirectory, retention: settings.logRetention })),
    Layer.provide(Tracing.layer(settings)),
    Layer.provide(Logging.layer({ directives: settings.logDirectives, directory: settings.logDirectory }))
  )

/**
 * Runs the collector with its settings until it is interrupted or cannot go on. `storageThread` is a storage thread that is
 * already starting, if there is one; `hangup` is what SIGHUP means.
 */
export const run = ({
  hangup = "ends",
  storageThread
}: {
  readonly storageThread?: EarlyThread
  readonly hangup?: Hangup
}) =>
  Effect.gen(function* () {
    const path = yield* settingsPath
    // Before it is loaded: whatever changes meanwhile is noticed.
    const text = Option.isSome(path) ? yield* readText(path.value) : Option.none()
    const given = yield* loadGiven(exchanges)
    const storage = yield* StorageThread.begin(given.settings, storageThread)
    const reloading = Option.match(path, {
      onNone: () => noReloading,
      onSome: (path) => reloadForever({ path, text, given, hangup })
    })
    return yield* runUntilInterrupted(layer(given.settings, storage, reloading))
  })

/**
 * Runs until it is interrupted or cannot go on. It ends within `stopWithin` after that: what is still closing by then, because
 * the database is locked or storage hangs, ends with the process, as if that had been killed.
 */
const runUntilInterrupted = (collector: ReturnType<typeof layer>) =>
  Effect.acquireUseRelease(
    Effect.flatMap(Scope.make(), (scope) =>
      Effect.map(
        Effect.forkDaemon(Effect.interruptible(Scope.extend(Layer.build(collector), scope))),
        (building) => ({ building, scope })
      )
    ),
    ({ building }) =>
      Effect.flatMap(
        Fiber.join(building),
        (services) => Context.get(services, StorageThread.StorageLife).failure
      ),
    // Interrupting a start also closes what it had begun, which counts as stopping.
    ({ building, scope }, exit) =>
      Effect.zipRight(Fiber.interrupt(building), Scope.close(scope, exit)).pipe(
        Effect.uninterruptible,
        Effect.disconnect,
        Effect.interruptible,
        Effect.timeoutOption(stopWithin)
      )
  )

/** How long the queue can take to be committed at the end; an attempt that has started by then continues for 2 s at most. */
const drainTimeout = Duration.seconds(4)

/**
 * A statement that is under way can hold up the end of the process for 2 s more, and on a busy machine its threads take a second
 * or two to end: 10 s after the signal it may be killed.
 */
const stopWithin = Duration.millis(6250)

/** A loop that runs as long as the collector does. */
const actor = <R>(name: string, loop: Effect.Effect<unknown, never, R>) =>
  Layer.scopedDiscard(Effect.forkScoped(supervise(name)(loop)))

/** Fails with the cause if storage cannot be opened; receiving does not wait for it. */
const opened = Layer.effectDiscard(Effect.flatMap(StorageThread.StorageLife, (life) => life.opened))

/**
 * Requires the Batcher, so that it stops before the last batch is committed. It logs nothing before the database is open: a
 * failed start is a single line.
 */
const receiving = (reloading: Reloading) =>
  actor(
    "receiving",
    Effect.gen(function* () {
      yield* Batcher
      const queue = yield* SnapshotQueue
      const stream = yield* ExchangeStream
      const recorder = yield* EventRecorder
      const reporter = yield* Reporter
      const clock = yield* ReceiveClock
      const storing = yield* Storage
      const storage = yield* StorageThread.StorageLife
      const at = (yield* Clock.currentTimeMillis) * 1000
      const { streams } = yield* stream.markets
      recorder.unsafeRecord(RecordingStarted.make({ at, streams }))
      const steps = yield* Mailbox.make<ClockStep>({ capacity: 100, strategy: "sliding" })
      clock.onStep((step) => {
        recorder.unsafeRecord(ClockStepped.make({ at: step.to, ...step }))
        steps.unsafeOffer(step)
      })
      const receive = stream.runForEach(
        queue.unsafeOffer,
        (event) => {
          recorder.unsafeRecord(event)
          reporter.unsafeCount(event)
        },
        Effect.orDie(Effect.retry(storing.lastMessages, Schedule.spaced("1 second")))
      )
      // Sockets take a moment to close: what counts is when closing began.
      const untilTheEnd = Effect.onInterrupt(Effect.never, () => recorder.endReceiving)
      return yield* holdLogsUntil(storage.opened)(
        Effect.all(
          [
            untilTheEnd,
            logSteps(steps),
            watchClock(recorder.unsafeRecord),
            watchStops(recorder.unsafeRecord),
            receive,
            supervise("reloading settings")(reloading)
          ],
          {
            concurrency: "unbounded",
            discard: true
          }
        )
      )
    })
  )

const logSteps = (steps: Mailbox.ReadonlyMailbox<ClockStep>) =>
  Effect.flatMap(Effect.orDie(steps.take), ({ from, to }) =>
    Effect.logWarning("system clock was changed, or the machine slept").pipe(
      Effect.annotateLogs({ module: "exchange", seconds: (to - from) / 1e6 })
    )
  ).pipe(Effect.forever)

const eventRecorder = Layer.unwrapEffect(
  Effect.map(ExchangeStream, ({ heard }) => EventRecorder.layer({ heard }))
)

/** Starts to close when the collector stops: if it waits for a locked database, that takes as long as the last commit. */
const statusPage = Layer.mergeAll(
  actor("status page report", publishReports),
  Layer.effectDiscard(sayWhereStatusPageIs),
  Layer.scopedDiscard(Effect.flatMap(StatusPage, ({ end }) => Effect.addFinalizer(() => end)))
)

const exchangeStream = (settings: Settings) =>
  Layer.provideMerge(ExchangeStream.layer({ exchanges, ...settings }), ReceiveClock.layer)
