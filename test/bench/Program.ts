import { type ChildProcess, spawn } from "node:child_process"
import { Either, Schema } from "effect"
import { ownProcesses } from "./Machine.ts"

/** A child process with a channel for messages. */
export interface Program {
  readonly pid: number
  /** The next message of this shape; others that came before it are dropped. */
  readonly expect: <A, I>(schema: Schema.Schema<A, I>, seconds: number) => Promise<A>
  /** The first match in what it has printed. */
  readonly awaitLine: (pattern: RegExp, seconds: number) => Promise<RegExpExecArray>
  readonly tell: (message: string) => void
  readonly stdout: () => string
  /** Sends SIGTERM and waits for the end; kills it if that takes more than 20 s. */
  readonly stop: () => Promise<void>
}

/** Runs a module of this build while `use` runs, then stops it. Nothing that is started here outlives the benchmark. */
export const withProgram = async <A>(
  file: string | URL,
  options: { readonly args?: ReadonlyArray<string>; readonly env?: Readonly<Record<string, string>> },
  use: (program: Program) => Promise<A>
): Promise<A> => {
  const program = start(file, options.args ?? [], options.env ?? {})
  try {
    return await use(program)
  } finally {
    await program.stop()
  }
}

/** One of the programs beside this file; its only argument is JSON. */
export const withOwnProgram = <A>(
  name: string,
  argument: unknown,
  use: (program: Program) => Promise<A>
): Promise<A> =>
  withProgram(new URL(`./programs/${name}.js`, import.meta.url), { args: [JSON.stringify(argument)] }, use)

const running = new Set<ChildProcess>()
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130))

const start = (
  file: string | URL,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>
): Program => {
  const path = typeof file === "string" ? file : file.pathname
  const child = spawn(process.execPath, [path, ...args], {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe", "ipc"]
  })
  const pid = child.pid ?? 0
  let stdout = ""
  let stderr = ""
  let hasEnded = false
  const messages: Array<unknown> = []
  const waiting = new Set<() => void>()
  const notify = () => {
    for (const check of waiting) check()
  }
  running.add(child)
  ownProcesses.add(pid)
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
    notify()
  })
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  child.on("message", (message) => {
    messages.push(message)
    notify()
  })
  child.once("exit", () => {
    hasEnded = true
    running.delete(child)
    ownProcesses.delete(pid)
    notify()
  })

  const failed = (what: string) =>
    new Error(`${path}: ${what}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}`)

  /** Asks now and after every message, line and end, until there is an answer. */
  const until = <A>(seconds: number, ask: () => A | undefined): Promise<A> =>
    new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer)
        waiting.delete(check)
        settle()
      }
      const check = () => {
        const answer = ask()
        if (answer !== undefined) finish(() => resolve(answer))
        else if (hasEnded) finish(() => reject(failed("it has ended")))
      }
      const timer = setTimeout(
        () => finish(() => reject(failed(`no answer within ${seconds} s`))),
        seconds * 1000
      )
      waiting.add(check)
      check()
    })

  return {
    pid,
    expect: (schema, seconds) => {
      const decode = Schema.decodeUnknownEither(schema)
      return until(seconds, () => {
        while (messages.length > 0) {
          const decoded = decode(messages.shift())
          if (Either.isRight(decoded)) return decoded.right
        }
        return undefined
      })
    },
    awaitLine: (pattern, seconds) => until(seconds, () => pattern.exec(stdout) ?? undefined),
    tell: (message) => void child.send(message),
    stdout: () => stdout,
    stop: async () => {
      if (hasEnded) return
      child.kill("SIGTERM")
      const timer = setTimeout(() => child.kill("SIGKILL"), 20_000)
      await until(30, () => (hasEnded ? true : undefined))
      clearTimeout(timer)
    }
  }
}
