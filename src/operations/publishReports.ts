import { Effect, Schedule } from "effect"
import { StatusPage } from "./http/HttpThread.ts"
import { Reporter } from "./Reporter.ts"

/** Hands the status page a report every second. */
export const publishReports = Effect.gen(function* () {
  const page = yield* StatusPage
  const reporter = yield* Reporter
  return yield* Effect.repeat(Effect.flatMap(reporter.report, page.publish), Schedule.spaced("1 second"))
}).pipe(Effect.annotateLogs({ module: "operations" }))

/** Waits until the status page has started, and says where it is. Fails if it does not start. */
export const sayWhereStatusPageIs = Effect.flatMap(StatusPage, (page) => page.url).pipe(
  Effect.flatMap((url) => Effect.annotateLogs(Effect.logInfo("status page"), { url })),
  Effect.annotateLogs({ module: "operations" })
)
