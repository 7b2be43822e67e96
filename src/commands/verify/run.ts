import { Console, Data, Effect } from "effect"
import { logsToStderr } from "../options.ts"
import { loadReading } from "../reading.ts"
import { type Finding, type Findings, findFaults } from "./findFaults.ts"

/** The archive is not as the journal says. */
export class ArchiveIsOff extends Data.TaggedError("ArchiveIsOff")<{ readonly faults: number }> {
  override get message() {
    return `the archive is not as the journal says: ${this.faults} ${this.faults === 1 ? "object is" : "objects are"} off`
  }
}

export const run = ({ deep, json }: { readonly deep: boolean; readonly json: boolean }) =>
  Effect.gen(function* () {
    const print = (finding: Finding) => (json ? Effect.void : Console.log(lineOf(finding)))
    const findings = yield* findFaults(yield* loadReading, { deep, onFinding: print })
    yield* Console.log(json ? JSON.stringify(findings, null, 2) : summaryOf(findings, deep))
    if (findings.faults > 0) return yield* new ArchiveIsOff({ faults: findings.faults })
  }).pipe(Effect.scoped, Effect.provide(logsToStderr))

const lineOf = ({ key, kind, reason }: Finding): string =>
  `${kind.padEnd(8)} ${key}${reason === "" ? "" : `: ${reason}`}`

const summaryOf = (findings: Findings, deep: boolean): string =>
  [
    `${findings.archives} archives with ${findings.rows} rows (${findings.bytes} bytes) and ${findings.segments} parts of the journal ${deep ? "were read and " : ""}are as they should be.`,
    ...(findings.pending > 0 ? [`${findings.pending} archives are not finished yet.`] : []),
    ...(findings.newer > 0
      ? [
          `${findings.newer} objects are newer than what is known of their server's journal: they are listed above, and nothing is said about them.`
        ]
      : []),
    findings.faults === 0 ? "Nothing is off." : `${findings.faults} objects are off.`
  ].join("\n")
