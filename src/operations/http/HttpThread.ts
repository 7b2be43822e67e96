import { Worker as WorkerThread } from "node:worker_threads"
import { Worker, type WorkerError } from "@effect/platform"
import { NodeWorker } from "@effect/platform-node"
import { Context, Deferred, Effect, Layer, Option, Schema } from "effect"
import { ResourceUnavailable, StartupError } from "../../domain/StartupError.ts"
import { threadEnvironment } from "../../thread/environment.ts"
import type { Report } from "../Report.ts"
import { GetAddress, type HttpRequest, Publish, Start } from "./HttpRequest.ts"
import { HttpSettings } from "./HttpSettings.ts"

/** The status page, as receiving sees it. */
export class StatusPage extends Context.Tag("collector/StatusPage")<
  StatusPage,
  {
    /** Where it is, as `http://127.0.0.1:9090`. */
    readonly url: string
    /** Hands it a report, whose columns are gone then. Whatever is wrong with the page is no concern of the caller's. */
    readonly publish: (report: Report) => Effect.Effect<void>
  }
>() {}

/** Bounds what hostile clients can make it use, MiB: it ends then, and begins anew. */
const resourceLimits = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 8 }

/**
 * The status page on a thread of its own: its work and its clients cannot make receiving wait. The first start fails with
 * what is wrong; a thread that dies later is started again.
 */
export const layer = (
  settings: HttpSettings,
  entry: URL = new URL("./worker.js", import.meta.url)
): Layer.Layer<StatusPage, StartupError> =>
  Layer.scoped(
    StatusPage,
    Effect.gen(function* () {
      const workerData: unknown = yield* Effect.orDie(Schema.encode(HttpSettings)(settings))
      const address = yield* Deferred.make<string, StartupError>()
      let current: Worker.SerializedWorker<HttpRequest> | undefined

      /** One thread from its start to its death. */
      const life = Effect.gen(function* () {
        const died = yield* Deferred.make<never, ResourceUnavailable>()
        let spawned: WorkerThread | undefined
        const spawn = () => {
          const thread = new WorkerThread(entry, { workerData, resourceLimits, env: threadEnvironment })
          spawned = thread
          thread.once("exit", (code) =>
            Deferred.unsafeDone(died, new ResourceUnavailable({ reason: `it ended with code ${code}` }))
          )
          return thread
        }
        const work = Effect.gen(function* () {
          const worker = yield* Worker.makeSerialized<HttpRequest>({
            initialMessage: () => new Start()
          }).pipe(Effect.provide(NodeWorker.layer(spawn)), Effect.mapError(startFailure))
          yield* Deferred.succeed(address, yield* worker.executeEffect(new GetAddress()))
          current = worker
          return yield* Effect.never
        })
        return yield* Effect.raceFirst(Effect.mapError(work, asStartupError), Deferred.await(died)).pipe(
          // A thread that did not start has nothing to close: left to itself it may take seconds to end.
          Effect.onError(() =>
            current === undefined ? Effect.promise(async () => spawned?.terminate()) : Effect.void
          )
        )
      }).pipe(
        Effect.scoped,
        Effect.onExit(() =>
          Effect.sync(() => {
            current = undefined
          })
        )
      )

      const lives = Effect.gen(function* () {
        while (true) {
          const error = yield* Effect.flip(life)
          if (yield* Deferred.fail(address, error)) return
          yield* Effect.logWarning("the status page ended and is started again").pipe(
            Effect.annotateLogs({ module: "operations", reason: error.message })
          )
          yield* Effect.sleep("1 second")
        }
      })
      yield* Effect.forkScoped(Effect.interruptible(lives))
      return {
        url: yield* Deferred.await(address),
        publish: (report) =>
          Effect.suspend(() =>
            current === undefined
              ? Effect.void
              : Effect.ignore(current.executeEffect(new Publish({ report })))
          )
      }
    })
  )

const isStartupError = Schema.is(StartupError)
const decodeStartupError = Schema.decodeUnknownOption(StartupError)

/** A first request that fails comes wrapped and encoded. */
const startFailure = (error: WorkerError.WorkerError) =>
  Option.getOrElse(decodeStartupError(error.cause), () => asStartupError(error))

const asStartupError = (cause: unknown): StartupError =>
  isStartupError(cause)
    ? cause
    : new ResourceUnavailable({ reason: cause instanceof Error ? cause.message : String(cause) })
