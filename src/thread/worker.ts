import { exit } from "node:process"
import { workerData } from "node:worker_threads"
import { WorkerRunner } from "@effect/platform"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import { Effect, Fiber, Layer, Schema } from "effect"
import * as Logging from "../operations/Logging.ts"
import * as Tracing from "../operations/Tracing.ts"
import { Storage } from "../storage/Storage.ts"
import { giveBackMemory } from "./giveBackMemory.ts"
import { StorageRequest, WorkerData } from "./StorageRequest.ts"
import * as services from "./storing.ts"
import { threadInput } from "./ThreadInput.ts"

/** The storage thread: serves requests until it is told to end, then closes the database. */
const main = Effect.gen(function* () {
  const input = threadInput(workerData)
  const { process, settings } = yield* Effect.flatMap(input.data, Schema.decodeUnknown(WorkerData))
  return yield* Effect.gen(function* () {
    const opening = yield* Effect.forkScoped(Layer.build(services.layer(settings, process, endThread)))
    yield* Effect.forkScoped(giveBackMemory)
    yield* input.heard
    return yield* WorkerRunner.launch(
      WorkerRunner.layerSerialized(StorageRequest, {
        InitialMessage: () => Layer.effectContext(Fiber.join(opening)),
        Append: ({ batch, heard }) => Effect.flatMap(Storage, (storage) => storage.append(batch, heard)),
        Record: ({ aliveAt, events, heard }) =>
          Effect.flatMap(Storage, (storage) => storage.record(events, aliveAt, heard)),
        GetLastMessages: () => Effect.flatMap(Storage, (storage) => storage.lastMessages),
        RunCycle: () => Effect.flatMap(Storage, (storage) => storage.runCycle),
        GetArchiverCounts: () => Effect.flatMap(Storage, (storage) => storage.archiverCounts),
        GetView: () => Effect.flatMap(Storage, (storage) => storage.view)
      }).pipe(Layer.provide(NodeWorkerRunner.layer))
    )
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Tracing.layer(settings).pipe(
        Layer.provideMerge(
          Logging.layer({ directives: settings.logDirectives, directory: settings.logDirectory })
        )
      )
    )
  )
})

/** Ends the thread as a crash would: the thread that started it starts another. */
const endThread = Effect.async<never>(() => {
  exit(1)
})

main.pipe(
  Effect.provide([NodeFileSystem.layer, NodePath.layer]),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)
