import { Command } from "@effect/cli"
import { Console, Effect } from "effect"
import { daysOf } from "../domain/CoverageReport.ts"
import { isProvable } from "../exchange/registry.ts"
import { readCoverage } from "./coverage/read.ts"
import { asJson, asText } from "./coverage/render.ts"
import { asColoured, jsonOption, logsToStderr } from "./options.ts"
import { loadReading } from "./reading.ts"
import { selection, selectionOptions } from "./selection.ts"

/** `coverage`: what was recorded, and where the holes are. */
export const coverage = Command.make("coverage", { ...selectionOptions, json: jsonOption }, (options) =>
  Effect.gen(function* () {
    const select = yield* selection(options)
    const reading = yield* loadReading
    const { damaged, servers } = yield* readCoverage(reading, select)
    const reports = servers.map(({ server, streams }) => ({
      server,
      days: streams.flatMap((of) => daysOf(of, select.range, isProvable(of.stream)))
    }))
    yield* Console.log(options.json ? asJson(reports) : asText(reports, yield* asColoured))
    if (damaged[0] !== undefined) return yield* damaged[0]
  }).pipe(Effect.scoped, Effect.provide(logsToStderr))
).pipe(
  Command.withDescription(
    "Shows for each stream and day what was recorded: messages, time connected, gaps, drops, what is verified, and which times to leave out of a study. Reads the database, also while the collector runs, and the journal in the archive: either is enough."
  )
)
