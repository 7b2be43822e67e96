import { FileSystem } from "@effect/platform"
import { Context, Deferred, Duration, Effect, Fiber, Layer, Schema } from "effect"
import { ResourceUnavailable, type StartupError } from "../../domain/StartupError.ts"
import { makeThread } from "../../thread/Thread.ts"
import type { Report } from "../Report.ts"
import { GetAddress, type HttpRequest, Publish, Start } from "./HttpRequest.ts"
import { HttpSettings } from "./HttpSettings.ts"
import { unfinishedPastFile } from "./pastFile.ts"

/** The status page, as receiving sees it. */
export class StatusPage extends Context.Tag("collector/StatusPage")<
  StatusPage,
  {
    /** Where it is, as `http://127.0.0.1:9090`, once its thread has started. Fails with what is wrong if it does not. */
    readonly url: Effect.Effect<string, StartupError>
    /** Hands it a report, whose columns are gone then. Whatever is wrong with the page is no concern of the caller's. */
    readonly publish: (report: Report) => Effect.Effect<void>
    /** Begins to end it, and does not wait for that: the layer's end does. */
    readonly end: Effect.Effect<void>
  }
>() {}

/** Bounds what hostile clients can make it use, MiB: it ends then, and begins anew. */
const resourceLimits = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 3 }

/** The first connections to exchanges are made before it takes a processor. */
const startsAfter = Duration.millis(300)

/**
 * The status page on a thread of its own: neither its start nor its work nor its clients can make receiving wait. A thread
 * that dies after it had started is started again, on the same port. In the end it is waited for, so that the database, which
 * it reads, is closed last by who can put its log into it; a file that it was writing is removed.
 */
export const layer = (
  settings: HttpSettings,
  entry: URL = new URL("./statusPageThread.js", import.meta.url)
): Layer.Layer<StatusPage, never, FileSystem.FileSystem> =>
  Layer.scoped(
    StatusPage,
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
      return {
        url: Deferred.await(address),
        end: Fiber.interruptFork(fiber),
        publish: (report) =>
          Effect.suspend(() => thread.current()?.executeEffect(new Publish({ report })) ?? Effect.void).pipe(
            // A thread that ends interrupts what it was asked.
            Effect.catchAllCause(() => Effect.void)
          )
      }
    })
  )
