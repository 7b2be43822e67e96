import {
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Layer,
  Option,
  PubSub,
  Ref,
  Schedule,
  Schema,
  Stream
} from "effect"
import { prometheusText } from "../../domain/MetricFamily.ts"
import { defaultMinFreeDisk } from "../../domain/StorageSettings.ts"
import { monotonicMillis } from "../../monotonicMillis.ts"
import { version } from "../../version.ts"
import type { Hello } from "../page/protocol.ts"
import { type Report, streamStates } from "../Report.ts"
import { type Disk, lookAtDisk } from "./Disk.ts"
import { familiesOf } from "./families.ts"
import { makeHistory } from "./History.ts"
import type { HttpSettings } from "./HttpSettings.ts"
import { type Health, healthOf, isReady } from "./health.ts"
import { pageUpdateOf } from "./pageUpdate.ts"
import { readProcess } from "./processFamilies.ts"
import { StatusReply, statusReplyOf } from "./statusReply.ts"

/** What the status page shows: the newest report and what is derived from it. Each answer is made once per report. */
export class StatusBoard extends Context.Tag("collector/StatusBoard")<
  StatusBoard,
  {
    readonly publish: (report: Report) => Effect.Effect<void>
    readonly health: Effect.Effect<Health>
    readonly isReady: Effect.Effect<boolean>
    /**
     * Metrics in the Prometheus format, with every combination of labels. Within the first seconds, waits for the first report
     * that has all of them; none if there is still no report then.
     */
    readonly metrics: Effect.Effect<Option.Option<Uint8Array>>
    /** A `Status` as JSON. */
    readonly status: Effect.Effect<Uint8Array>
    /** Server-sent events, see `Hello` and `PageUpdate`. A slow reader misses some. Fails if the limit on readers is reached. */
    readonly live: Effect.Effect<Stream.Stream<Uint8Array>, TooManyReaders>
  }
>() {
  static readonly layer = (settings: HttpSettings) => Layer.scoped(this, make(settings))
}

/** The maximum number of pages is already open. */
export class TooManyReaders extends Schema.TaggedError<TooManyReaders>()("TooManyReaders", {
  limit: Schema.Int
}) {}

/** Maximum number of pages open at the same time. */
const maxReaders = 16

/** Seconds that an archive can take beyond the time until it is retried. */
const archiveGraceSeconds = 120

/** A shorter stop may just be a busy machine. */
const stoppedMillis = 3000

/** How long after the start a request for metrics waits. */
const firstReportWithin = Duration.seconds(5)

const make = (settings: HttpSettings) =>
  Effect.gen(function* () {
    const startedAt = (yield* Clock.currentTimeMillis) * 1000
    const history = makeHistory()
    const ticks = yield* PubSub.sliding<Uint8Array>(2)
    const readers = yield* Ref.make(0)
    const complete = yield* Deferred.make<void>()
    let report: Report | null = null
    let disk: Disk | null = null

    let ranAt = yield* monotonicMillis
    let listeningSince = ranAt

    /** Notices that this thread did not run: its priority is low, and it may have much to read. */
    const noteThatItRuns = Effect.map(monotonicMillis, (now) => {
      if (now - ranAt > stoppedMillis) listeningSince = now
      ranAt = now
      return (now - listeningSince) / 1000
    })

    const health = Effect.zipWith(Clock.currentTimeMillis, noteThatItRuns, (now, listeningSeconds) =>
      healthOf({
        now: now * 1000,
        startedAt,
        listeningSeconds,
        report,
        disk,
        droppedAt: history.droppedAt(),
        silenceSeconds: Duration.toSeconds(settings.silenceTimeout),
        archiveSeconds: Duration.toSeconds(settings.archiveInterval) + archiveGraceSeconds,
        minFreeDisk: settings.minFreeDisk ?? defaultMinFreeDisk
      })
    )

    /** Keeps an answer for as long as the report it was made from. */
    const oncePerReport = <A>(make: Effect.Effect<A>): Effect.Effect<A> => {
      let made: { readonly source: Report | null; readonly answer: A } | undefined
      return Effect.suspend(() => {
        if (made?.source === report && made !== undefined) return Effect.succeed(made.answer)
        const source = report
        return Effect.tap(make, (answer) =>
          Effect.sync(() => {
            made = { source, answer }
          })
        )
      })
    }

    const metrics = oncePerReport(
      Effect.gen(function* () {
        const families = familiesOf({
          report,
          disk,
          health: yield* health,
          readers: yield* Ref.get(readers),
          server: settings.serverName,
          now: (yield* Clock.currentTimeMillis) * 1000
        })
        return utf8(prometheusText([...families, ...(yield* readProcess(report?.heapUsed ?? 0))]))
      })
    )

    const status = oncePerReport(
      Effect.gen(function* () {
        const { reasons, status } = yield* health
        return utf8(
          encodeStatus({
            server: settings.serverName,
            version,
            status,
            reasons,
            ...statusReplyOf(report, disk, history)
          })
        )
      })
    )

    const hello = oncePerReport(
      Effect.sync(() =>
        event("hello", {
          version: report?.streams.version ?? 0,
          server: settings.serverName,
          release: version,
          streams: (report?.streams.ids ?? []).map((id) => [id.exchange, id.symbol, id.dataType] as const),
          stateNames: streamStates,
          rates: history.rateLines(),
          totals: history.totals()
        } satisfies Hello)
      )
    )

    const tick = Effect.gen(function* () {
      if (report === null || (yield* Ref.get(readers)) === 0) return
      const now = yield* Clock.currentTimeMillis
      yield* PubSub.publish(
        ticks,
        event("tick", pageUpdateOf({ report, disk, history, health: yield* health, now }))
      )
    })

    const live = Effect.gen(function* () {
      const place = Effect.acquireRelease(
        Ref.modify(readers, (count): readonly [boolean, number] =>
          count < maxReaders ? [true, count + 1] : [false, count]
        ),
        (taken) => (taken ? Ref.update(readers, (count) => count - 1) : Effect.void)
      )
      if ((yield* Ref.get(readers)) >= maxReaders) return yield* new TooManyReaders({ limit: maxReaders })
      return Stream.unwrapScoped(
        Effect.gen(function* () {
          if (!(yield* place)) return Stream.empty
          const subscription = yield* PubSub.subscribe(ticks)
          return Stream.concat(Stream.fromEffect(hello), Stream.fromQueue(subscription))
        })
      )
    })

    yield* Effect.forkScoped(Effect.delay(Deferred.succeed(complete, undefined), firstReportWithin))
    yield* lookAtDisk(settings).pipe(
      Effect.map((found) => {
        disk = found
      }),
      Effect.repeat(Schedule.spaced("1 second")),
      Effect.forkScoped
    )
    yield* Effect.forkScoped(
      Effect.repeat(Effect.zipRight(noteThatItRuns, tick), Schedule.spaced("1 second"))
    )

    return StatusBoard.of({
      publish: (next) =>
        Effect.sync(() => {
          report = next
          history.add(next)
          if (next.storage !== null) Deferred.unsafeDone(complete, Effect.void)
        }),
      health,
      isReady: Effect.sync(() => isReady(report)),
      metrics: Deferred.await(complete).pipe(
        Effect.zipRight(metrics),
        Effect.map((text) => Option.liftPredicate(text, () => report !== null))
      ),
      status,
      live
    })
  })

const encodeStatus = Schema.encodeSync(Schema.parseJson(StatusReply))

const utf8 = (text: string): Uint8Array => Buffer.from(text)

const event = (name: string, data: unknown): Uint8Array =>
  utf8(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
