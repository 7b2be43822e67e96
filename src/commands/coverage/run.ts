import { Clock, Effect } from "effect"
import { daysOf } from "../../domain/CoverageReport.ts"
import { microsPerDay } from "../../domain/micros.ts"
import { isProvable } from "../../exchange/registry.ts"
import { showsColours } from "../../showsColours.ts"
import { logsToStderr } from "../options.ts"
import { print, untilGone } from "../print.ts"
import { loadReading } from "../reading.ts"
import { type SelectionOptions, selection } from "../selection.ts"
import { endWithFaults, faultsOf, readCoverage } from "./read.ts"
import { asJson, asText } from "./render.ts"

export const run = (options: SelectionOptions & { readonly json: boolean }) =>
  Effect.gen(function* () {
    const select = selection(options)
    const reading = yield* loadReading
    const read = yield* readCoverage(reading, select)
    // A server's clock can be ahead of ours, but not by so much.
    const latest = (yield* Clock.currentTimeMillis) * 1000 + microsPerDay
    const streams = read.servers.flatMap(({ clock, server, statuses, streams }) =>
      streams.map((coverage) => ({
        server,
        clock,
        statuses,
        days: () => daysOf(coverage, select.range, isProvable(coverage.stream), latest)
      }))
    )
    const pieces = options.json ? asJson(streams) : asText(streams, yield* showsColours(process.stdout))
    yield* untilGone(Effect.forEach(pieces, print, { discard: true }))
    yield* endWithFaults(faultsOf(read))
  }).pipe(Effect.scoped, Effect.provide(logsToStderr))
