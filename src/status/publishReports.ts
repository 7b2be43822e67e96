import { Effect, Schedule } from "effect"
import { StorageLife } from "../thread/StorageThread.ts"
import { StatusPage } from "./http/HttpThread.ts"
import { Reporter } from "./Reporter.ts"

/** Hands the status page a report every second. */
export const publishReports = Effect.gen(function* () {
  const page = yield* StatusPage
  const reporter = yield* Reporter
  return yield* Effect.repeat(Effect.flatMap(reporter.report, page.publish), Schedule.spaced("1 second"))
}).pipe(Effect.annotateLogs({ module: "operations" }))

/** Waits until the status page has started and storage is open, and reports the page's address. Fails if one of them fails. */
export const sayWhereStatusPageIs = Effect.gen(function* () {
  const page = yield* StatusPage
  const storage = yield* StorageLife
  yield* storage.opened
  const url = yield* page.url
  yield* Effect.annotateLogs(Effect.logInfo("status page"), { module: "operations", url })
})
