import { MessagePort, workerData } from "node:worker_threads"
import { WorkerRunner } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import { Effect, Layer, Schema } from "effect"
import * as Logging from "../operations/Logging.ts"
import * as Tracing from "../operations/Tracing.ts"
import { Storage } from "./Storage.ts"
import { StorageRequest, WorkerData } from "./StorageRequest.ts"
import * as services from "./services.ts"

/** A thread that was started early is told later, by a port. */
const given: Effect.Effect<unknown> =
  workerData instanceof MessagePort
    ? Effect.async(
        (resume) => void workerData.once("message", (data: unknown) => resume(Effect.succeed(data)))
      )
    : Effect.succeed(workerData)

/** The storage thread: serves requests until it is told to end, then closes the database. */
const main = Effect.gen(function* () {
  const { process, settings } = yield* Effect.flatMap(given, Schema.decodeUnknown(WorkerData))
  return yield* WorkerRunner.launch(
    WorkerRunner.layerSerialized(StorageRequest, {
      InitialMessage: () => services.layer(settings, process),
      Append: ({ batch }) => Effect.flatMap(Storage, (storage) => storage.append(batch)),
      Record: ({ aliveAt, events }) => Effect.flatMap(Storage, (storage) => storage.record(events, aliveAt)),
      RunCycle: () => Effect.flatMap(Storage, (storage) => storage.runCycle),
      GetArchiverCounts: () => Effect.flatMap(Storage, (storage) => storage.archiverCounts),
      GetView: () => Effect.flatMap(Storage, (storage) => storage.view)
    }).pipe(Layer.provide(NodeWorkerRunner.layer))
  ).pipe(
    Effect.provide(
      Tracing.layer(settings).pipe(
        Layer.provideMerge(
          Logging.layer({ directives: settings.logDirectives, directory: settings.logDirectory })
        )
      )
    )
  )
})

main.pipe(
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)
