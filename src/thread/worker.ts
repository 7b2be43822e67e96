import { setPriority } from "node:os"
import { workerData } from "node:worker_threads"
import { WorkerRunner } from "@effect/platform"
import { NodeContext, NodeRuntime, NodeWorkerRunner } from "@effect/platform-node"
import { Effect, Layer, Schema } from "effect"
import { StorageSettings } from "../domain/StorageSettings.ts"
import * as Logging from "../operations/Logging.ts"
import { Storage } from "./Storage.ts"
import { StorageRequest } from "./StorageRequest.ts"
import * as services from "./services.ts"

/** On Linux this is of the calling thread alone: receiving goes before storing when the processor is short. */
const giveWay = Effect.ignore(Effect.try(() => setPriority(10)))

/** The storage thread: serves requests until it is told to end, then closes the database. */
const main = Effect.gen(function* () {
  const settings = yield* Schema.decodeUnknown(StorageSettings)(workerData)
  yield* giveWay
  return yield* WorkerRunner.launch(
    WorkerRunner.layerSerialized(StorageRequest, {
      InitialMessage: () => services.layer(settings),
      Append: ({ batch }) => Effect.flatMap(Storage, (storage) => storage.append(batch)),
      RunCycle: () => Effect.flatMap(Storage, (storage) => storage.runCycle),
      GetArchiverCounts: () => Effect.flatMap(Storage, (storage) => storage.archiverCounts)
    }).pipe(Layer.provide(NodeWorkerRunner.layer))
  ).pipe(
    Effect.provide(Logging.layer({ directives: settings.logDirectives, directory: settings.logDirectory }))
  )
})

main.pipe(
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)
