import { constants, setPriority } from "node:os"
import { workerData } from "node:worker_threads"
import { WorkerRunner } from "@effect/platform"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import { Effect, Layer, Schema } from "effect"
import * as Logging from "../../operations/Logging.ts"
import { giveBackMemory } from "../../thread/giveBackMemory.ts"
import { HttpRequest } from "./HttpRequest.ts"
import * as HttpServer from "./HttpServer.ts"
import { HttpAddress } from "./HttpServer.ts"
import { HttpSettings } from "./HttpSettings.ts"
import { RecentCoverage } from "./RecentCoverage.ts"
import { StatusBoard } from "./StatusBoard.ts"

/**
 * Recording goes first, whatever is requested. At the lowest priority, however, this thread would get a hundredth of a busy
 * processor and not answer in time. Only on Linux does the priority apply to the calling thread alone.
 */
const giveWay = Effect.when(
  Effect.sync(() => setPriority(constants.priority.PRIORITY_BELOW_NORMAL)),
  () => process.platform === "linux"
)

/** The thread of the status page: serves it until told to end. */
const main = Effect.gen(function* () {
  const settings = yield* Schema.decodeUnknown(HttpSettings)(workerData)
  yield* Effect.forkScoped(giveBackMemory)
  return yield* WorkerRunner.launch(
    WorkerRunner.layerSerialized(HttpRequest, {
      InitialMessage: () =>
        HttpServer.layer(settings).pipe(
          Layer.provide(RecentCoverage.layer(settings)),
          Layer.provideMerge(StatusBoard.layer(settings))
        ),
      GetAddress: () =>
        Effect.zipRight(
          giveWay,
          Effect.map(HttpAddress, ({ url }) => url)
        ),
      Publish: ({ report }) => Effect.flatMap(StatusBoard, (board) => board.publish(report))
    }).pipe(Layer.provide(NodeWorkerRunner.layer))
  ).pipe(
    Effect.annotateLogs({ module: "operations" }),
    Effect.provide(Logging.layer({ directives: settings.logDirectives, directory: settings.logDirectory }))
  )
})

main.pipe(
  Effect.scoped,
  Effect.provide([NodeFileSystem.layer, NodePath.layer]),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)
