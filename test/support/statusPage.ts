import { spawnSync } from "node:child_process"
import { Effect, Schema } from "effect"
import type { Child } from "./process.ts"

/** Where a collector's status page is, from what it printed. */
export const statusPageOf = (collector: Child): Effect.Effect<string> =>
  Effect.map(collector.awaitLine(/ status page url=/), (line) => /url=(\S+)/.exec(line)?.[1] ?? "")

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** Asks, once more if the connection that was kept is closed just then. Dies if there is no answer. */
export const get = (url: string, init: RequestInit = {}): Effect.Effect<Answer> =>
  Effect.tryPromise(async (signal) => {
    const response = await fetch(url, { signal, ...init })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }).pipe(Effect.retry({ times: 1 }), Effect.orDie)

export interface Health {
  readonly code: number
  readonly status: string
  readonly reasons: ReadonlyArray<string>
}

export const healthOf = (page: string): Effect.Effect<Health> =>
  Effect.map(get(`${page}/health`), ({ status: code, text }) => ({ code, ...decodeHealth(text) }))

const decodeHealth = Schema.decodeUnknownSync(
  Schema.parseJson(Schema.Struct({ status: Schema.String, reasons: Schema.Array(Schema.String) }))
)

/** Whether a program is on this machine. */
export const hasProgram = (name: string): boolean =>
  spawnSync("sh", ["-c", `command -v ${name}`]).status === 0

/** Runs a program to its end. */
export const runProgram = (
  name: string,
  args: ReadonlyArray<string>,
  input = ""
): { readonly code: number | null; readonly output: string } => {
  const { status, stderr, stdout } = spawnSync(name, args, { input, encoding: "utf8", timeout: 60_000 })
  return { code: status, output: `${stdout}${stderr}` }
}
