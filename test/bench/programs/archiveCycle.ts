import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Schema } from "effect"
import { Storage } from "../../../src/storage/Storage.ts"
import { endWithParent, readArgument, tell } from "./channel.ts"
import { storageLayer } from "./storage.ts"

/** The collector's storage services, as on their thread, for one archive cycle: begins when it is told to. */
const Options = Schema.Struct({ folder: Schema.String, database: Schema.String })

const { database, folder } = Schema.decodeUnknownSync(Options)(readArgument())
endWithParent()

const told = Effect.async<void>((resume) => {
  process.once("message", () => resume(Effect.void))
})

/** The longest time for which the event loop did not go round, milliseconds. */
const watchStalls = () => {
  let last = performance.now()
  let longest = 0
  const timer = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last - 1)
    last = now
  }, 1)
  return () => {
    clearInterval(timer)
    return longest
  }
}

/** The layer begins with a cycle of its own accord; the one that is asked for comes after it. */
const cycle = Effect.gen(function* () {
  yield* (yield* Storage).runCycle
  return yield* (yield* Storage).archiverCounts
}).pipe(Effect.provide(storageLayer(database, folder)))

const main = Effect.gen(function* () {
  tell({ idle: true })
  yield* told
  const begin = Date.now()
  const stalls = watchStalls()
  const { archives, bytes, rows } = yield* cycle
  tell({ begin, end: Date.now(), archives, bytes, rows, stall: stalls() })
  yield* told
  process.disconnect()
})

main.pipe(NodeRuntime.runMain)
