import { spawnSync } from "node:child_process"
import * as NodeFs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../src/simulator/Simulator.ts"
import { environment, program, workspace } from "../support/collector.ts"
import { eventually, startNode } from "../support/process.ts"
import { filesBelow } from "../support/stored.ts"

/** Why no terminal can be had here; undefined where one can. */
const noTerminal =
  spawnSync("script", ["--version"], { stdio: "pipe" }).status === 0 ? undefined : "there is no script(1)"

const outputs: ReadonlyArray<readonly [name: string, start: string, missing: string | undefined]> = [
  ["a pipe", "sh collector.sh", undefined],
  ["a terminal", "script --quiet --command 'sh collector.sh' /dev/null", noTerminal]
]

/** Whether a process with the id in a file runs. */
const runs = (file: string): boolean => {
  const pid = NodeFs.existsSync(file) ? NodeFs.readFileSync(file, "utf8").trim() : ""
  return pid !== "" && NodeFs.existsSync(`/proc/${pid}`)
}

const signal = (file: string, name: NodeJS.Signals) => {
  if (runs(file)) process.kill(Number(NodeFs.readFileSync(file, "utf8")), name)
}

describe.skipIf(process.platform !== "linux").concurrent("a blocked stdout (on Linux)", () => {
  for (const [name, start, missing] of outputs) {
    it.scopedLive.skipIf(missing !== undefined)(
      `stops neither recording nor the end: ${name}${missing === undefined ? "" : ` (skipped: ${missing})`}`,
      () =>
        Effect.gen(function* () {
          const where = yield* workspace
          const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 50 })
          const [collector, reader] = [`${where.folder}/collector`, `${where.folder}/reader`]
          NodeFs.writeFileSync(
            `${collector}.sh`,
            `echo $$ > collector; exec '${process.execPath}' '${program}'`
          )
          NodeFs.writeFileSync(`${reader}.sh`, "echo $$ > reader; exec sleep 600")
          // 64 kB wait in a pipe until its writer waits.
          const shell = `(head -c 65000 /dev/zero; ${start}) | sh reader.sh`
          yield* startNode([], {
            cwd: where.folder,
            env: environment(where, {
              MARKETS: "binance:btcusdt",
              BINANCE_WS_URL: simulator.url(),
              LOG_LEVEL: "debug",
              BATCH_INTERVAL: "0.05"
            }),
            command: ["sh", "-c", shell]
          })
          // The shell has not ended before these have.
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => {
              for (const file of [collector, reader]) signal(file, "SIGKILL")
            })
          )
          const logged = Effect.sync(() =>
            filesBelow(where.logs)
              .map((file) => NodeFs.readFileSync(`${where.logs}/${file}`, "utf8"))
              .join("")
          )
          // Each is a line of 100 bytes and more: these are five times what a terminal holds.
          yield* eventually(
            "200 batches",
            Effect.map(logged, (text) => text.split('"batch committed"').length > 200)
          )
          expect(runs(reader)).toBe(true)
          signal(collector, "SIGTERM")
          yield* eventually(
            "the end",
            Effect.sync(() => !runs(collector))
          )
        })
    )
  }
})
