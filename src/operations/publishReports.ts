import { Effect, Schedule } from "effect"
import { StatusPage } from "./http/HttpThread.ts"
import { Reporter } from "./Reporter.ts"

/** Hands the status page a report every second, and says once where it is. */
export const publishReports = Effect.gen(function* () {
  const page = yield* StatusPage
  const reporter = yield* Reporter
  yield* Effect.logInfo("status page").pipe(Effect.annotateLogs({ url: page.url }))
  return yield* Effect.repeat(Effect.flatMap(reporter.report, page.publish), Schedule.spaced("1 second"))
}).pipe(Effect.annotateLogs({ module: "operations" }))
