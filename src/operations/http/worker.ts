import { constants, setPriority } from "node:os"
import { workerData } from "node:worker_threads"
import { WorkerRunner } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import { Effect, Layer, Schema } from "effect"
import * as Logging from "../Logging.ts"
import { Board } from "./Board.ts"
import { Holes } from "./Holes.ts"
import { HttpRequest } from "./HttpRequest.ts"
import * as HttpServer from "./HttpServer.ts"
import { HttpAddress } from "./HttpServer.ts"
import { HttpSettings } from "./HttpSettings.ts"

/** Whoever asks, recording goes first. Only on Linux is this of the calling thread alone. */
const giveWay = Effect.when(
  Effect.sync(() => setPriority(constants.priority.PRIORITY_LOW)),
  () => process.platform === "linux"
)

/** The thread of the status page: serves it until it is told to end. */
const main = Effect.gen(function* () {
  const settings = yield* Schema.decodeUnknown(HttpSettings)(workerData)
  return yield* WorkerRunner.launch(
    WorkerRunner.layerSerialized(HttpRequest, {
      InitialMessage: () =>
        HttpServer.layer(settings).pipe(
          Layer.provide(Holes.layer(settings)),
          Layer.provideMerge(Board.layer(settings))
        ),
      GetAddress: () =>
        Effect.zipRight(
          giveWay,
          Effect.map(HttpAddress, ({ url }) => url)
        ),
      Publish: ({ report }) => Effect.flatMap(Board, (board) => board.publish(report))
    }).pipe(Layer.provide(NodeWorkerRunner.layer))
  ).pipe(
    Effect.annotateLogs({ module: "operations" }),
    Effect.provide(Logging.layer({ directives: settings.logDirectives, directory: settings.logDirectory }))
  )
})

main.pipe(
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)
