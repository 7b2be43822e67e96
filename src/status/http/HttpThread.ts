import { FileSystem } from "@effect/platform"
import { Context, Deferred, Duration, Effect, Fiber, Layer, Schema } from "effect"
import { ResourceUnavailable, type StartupError } from "../../domain/StartupError.ts"
import { Start } from "../../thread/Start.ts"
import { makeThread } from "../../thread/Thread.ts"
import type { Report } from "../Report.ts"
import { GetAddress, type HttpRequest, Publish } from "./HttpRequest.ts"
import { HttpSettings } from "./HttpSettings.ts"
import { unfinishedPastFile } from "./pastFile.ts"

/** The status page, as seen by receiving. */
export class StatusPage extends Context.Tag("collector/StatusPage")<
  StatusPage,
  {
    /**
     * The address of the page, such as `http://127.0.0.1:9090`, once its thread has started. Fails with the reason if it
     * cannot.
     */
    readonly url: Effect.Effect<string, StartupError>
    /** Hands over a report, whose columns are moved away. Problems of the page never reach the caller. */
    readonly publish: (report: Report) => Effect.Effect<void>
    /** Starts to end the page without waiting for it: the layer's end waits. */
    readonly end: Effect.Effect<void>
  }
>() {
  /**
   * Runs the status page on a thread of its own: neither its start nor its work nor its clients can make receiving wait. A thread
   * that dies after it has started is restarted on the same port. The layer's end waits for the thread, so that the database,
   * which the thread reads, is closed last by the side that can merge its log into it; a file it was writing is removed.
   */
  static readonly layer = (
    settings: HttpSettings,
    entry: URL = new URL("./statusPageThread.js", import.meta.url)
  ): Layer.Layer<StatusPage, never, FileSystem.FileSystem> => Layer.scoped(this, make(settings, entry))
}

/** Limits what hostile clients can make it use, MiB: beyond that the thread ends and is restarted. */
const resourceLimits = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 3 }

/** The first connections to exchanges are made before it takes up a processor. */
const startsAfter = Duration.millis(300)

const make = (settings: HttpSettings, entry: URL) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const given = yield* Effect.orDie(Schema.encode(HttpSettings)(settings))
    let httpPort = settings.httpPort
    const address = yield* Deferred.make<string, StartupError>()
    const thread = makeThread<HttpRequest>({
      entry,
      workerData: () => ({ ...given, httpPort }),
      resourceLimits,
      atEnd: "terminate",
      start: { initialMessage: () => new Start() },
      onStarted: (worker) =>
        Effect.flatMap(worker.executeEffect(new GetAddress()), (url) => {
          httpPort = Number(new URL(url).port)
          return Deferred.succeed(address, url)
        })
    })

    const lives = Effect.gen(function* () {
      while (true) {
        const error = yield* Effect.flip(thread.life)
        const failure = error._tag === "ThreadDied" ? new ResourceUnavailable(error) : error
        if (yield* Deferred.fail(address, failure)) return
        yield* Effect.logWarning("status page died, restarting it").pipe(
          Effect.annotateLogs({ module: "operations", reason: error.message })
        )
        yield* Effect.sleep("1 second")
      }
    })
    const fiber = yield* Effect.forkDaemon(Effect.interruptible(Effect.delay(lives, startsAfter)))
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        Fiber.interrupt(fiber),
        Effect.ignore(fs.remove(unfinishedPastFile(settings.databasePath), { force: true }))
      )
    )
    return StatusPage.of({
      url: Deferred.await(address),
      end: Fiber.interruptFork(fiber),
      publish: (report: Report) =>
        Effect.suspend(() => thread.current()?.executeEffect(new Publish({ report })) ?? Effect.void).pipe(
          // A thread that ends interrupts its pending requests.
          Effect.catchAllCause(() => Effect.void)
        )
    })
  })
