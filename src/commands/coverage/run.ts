import { Console, Effect } from "effect"
import { daysOf } from "../../domain/CoverageReport.ts"
import { isProvable } from "../../exchange/registry.ts"
import { asColoured, logsToStderr } from "../options.ts"
import { loadReading } from "../reading.ts"
import { type SelectionOptions, selection } from "../selection.ts"
import { faultOf, readCoverage } from "./read.ts"
import { asJson, asText } from "./render.ts"

export const run = (options: SelectionOptions & { readonly json: boolean }) =>
  Effect.gen(function* () {
    const select = yield* selection(options)
    const reading = yield* loadReading
    const read = yield* readCoverage(reading, select)
    const reports = read.servers.map(({ clock, server, streams }) => ({
      server,
      clock,
      days: streams.flatMap((of) => daysOf(of, select.range, isProvable(of.stream)))
    }))
    yield* Console.log(options.json ? asJson(reports) : asText(reports, yield* asColoured))
    const fault = faultOf(read)
    if (fault !== undefined) return yield* fault
  }).pipe(Effect.scoped, Effect.provide(logsToStderr))
