import * as NodeFs from "node:fs"
import * as NodePath from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Simulator from "../../../src/simulator/Simulator.ts"
import { environment, program, workspace } from "../../support/collector.ts"
import { eventually, startNode } from "../../support/process.ts"

/** The built program, whose status page's thread ends while it is handed its third report. */
const dyingProgram = (folder: string) => {
  const built = NodePath.dirname(program)
  const dist = `${folder}/dist`
  NodeFs.cpSync(built, dist, { recursive: true })
  NodeFs.symlinkSync(NodePath.resolve(built, "../node_modules"), `${folder}/node_modules`)
  NodeFs.copyFileSync(NodePath.resolve(built, "../package.json"), `${folder}/package.json`)
  NodeFs.renameSync(`${dist}/statusPageThread.js`, `${dist}/realThread.js`)
  NodeFs.writeFileSync(
    `${dist}/statusPageThread.js`,
    `import { existsSync, writeFileSync } from "node:fs"
     import { parentPort } from "node:worker_threads"
     const mark = ${JSON.stringify(`${folder}/died`)}
     let reports = 0
     if (!existsSync(mark)) {
       parentPort.on("message", (message) => {
         if (message[1]?.[2]?._tag !== "Publish" || ++reports < 3) return
         writeFileSync(mark, "")
         process.exit(3)
       })
     }
     await import("./realThread.js")`
  )
  return `${dist}/main.js`
}

const get = (url: string) =>
  Effect.tryPromise(async () => {
    const answer = await fetch(url)
    return { status: answer.status, text: await answer.text() }
  }).pipe(Effect.orElseSucceed(() => ({ status: 0, text: "" })))

describe("the status page (needs the built program)", () => {
  it.scopedLive("returns on the same port after its thread died, and continues to report", () =>
    Effect.gen(function* () {
      const where = yield* workspace
      const simulator = yield* Simulator.make({ symbols: ["btcusdt"], rate: 30 })
      const collector = yield* startNode([dyingProgram(where.folder)], {
        cwd: where.folder,
        env: environment(where, { MARKETS: "binance:btcusdt", BINANCE_WS_URL: simulator.url() })
      })
      const line = yield* collector.awaitLine(/ status page url=/)
      const url = /url=(\S+?)\/?(\s|$)/.exec(line)?.[1] ?? ""
      yield* collector.awaitLine(/status page died, restarting it/)
      const received = Effect.map(get(`${url}/metrics`), ({ text }) =>
        Array.from(text.matchAll(/^collector_messages_received_total\{.*\} (\d+)$/gm), ([, count]) =>
          Number(count)
        ).reduce((sum, count) => sum + count, 0)
      )
      yield* eventually(
        () => `the status page\n${collector.printed()}`,
        Effect.map(get(`${url}/health`), ({ status }) => status === 200)
      )
      const before = yield* received
      yield* eventually(
        () => `more than ${before} messages\n${collector.printed()}`,
        Effect.map(received, (now) => now > before)
      )
      expect((yield* collector.stop("SIGTERM")).code).toBe(0)
    })
  )
})
