import { constants, setPriority } from "node:os"
import { workerData } from "node:worker_threads"
import { WorkerRunner } from "@effect/platform"
import { NodeContext, NodeRuntime, NodeWorkerRunner } from "@effect/platform-node"
import { Effect, Layer, Schema } from "effect"
import * as Logging from "../Logging.ts"
import { Board } from "./Board.ts"
import { Holes } from "./Holes.ts"
import { HttpRequest } from "./HttpRequest.ts"
import * as HttpServer from "./HttpServer.ts"
import { HttpAddress } from "./HttpServer.ts"
import { HttpSettings } from "./HttpSettings.ts"

/** On Linux this is of the calling thread alone: whoever asks, recording goes first. */
const giveWay = Effect.ignore(Effect.try(() => setPriority(constants.priority.PRIORITY_LOW)))

/** The thread of the status page: serves it until it is told to end. */
const main = Effect.gen(function* () {
  const settings = yield* Schema.decodeUnknown(HttpSettings)(workerData)
  yield* giveWay
  return yield* WorkerRunner.launch(
    WorkerRunner.layerSerialized(HttpRequest, {
      InitialMessage: () =>
        HttpServer.layer(settings).pipe(
          Layer.provide(Holes.layer(settings)),
          Layer.provideMerge(Board.layer(settings))
        ),
      GetAddress: () => Effect.map(HttpAddress, ({ url }) => url),
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
