import { Effect } from "effect"
import { daysOf } from "../../domain/CoverageReport.ts"
import { isProvable } from "../../exchange/registry.ts"
import { showsColours } from "../../showsColours.ts"
import { logsToStderr } from "../options.ts"
import { loadReading } from "../reading.ts"
import { type SelectionOptions, selection } from "../selection.ts"
import { endWithFaults, faultsOf, readCoverage } from "./read.ts"
import { asJson, asText } from "./render.ts"

export const run = (options: SelectionOptions & { readonly json: boolean }) =>
  Effect.gen(function* () {
    const select = selection(options)
    const reading = yield* loadReading
    const read = yield* readCoverage(reading, select)
    const streams = read.servers.flatMap(({ clock, server, statuses, streams }) =>
      streams.map((coverage) => ({
        server,
        clock,
        statuses,
        days: () => daysOf(coverage, select.range, isProvable(coverage.stream))
      }))
    )
    const pieces = options.json ? asJson(streams) : asText(streams, yield* showsColours(process.stdout))
    yield* Effect.sync(() => process.stdout.on("error", () => {}))
    yield* Effect.ignore(Effect.forEach(pieces, print, { discard: true }))
    yield* endWithFaults(faultsOf(read))
  }).pipe(Effect.scoped, Effect.provide(logsToStderr))

/** Completes once the text is accepted: what is printed need not fit into memory. Fails once the reader is gone. */
const print = (text: string) =>
  Effect.async<void, Error>((resume) => {
    process.stdout.write(text, (error) => resume(error == null ? Effect.void : Effect.fail(error)))
  })
