import { spawn } from "node:child_process"
import * as NodeFs from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import * as NodePath from "node:path"
import { Deferred, Duration, Effect, Schedule, type Scope } from "effect"
import { patience } from "./pace.ts"

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that was started by a test. */
export interface Child {
  readonly pid: number
  /** What it has printed up to now. */
  readonly stdout: () => string
  readonly stderr: () => string
  /** The end of both, for messages about what went wrong. */
  readonly printed: () => string
  readonly isRunning: () => boolean
  readonly ended: Effect.Effect<Ended>
  /** Nothing happens if it has ended. */
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits for so many lines on stdout that fit, 1 unless given, and returns the last of these. Dies with what it printed. */
  readonly awaitLine: (pattern: RegExp, count?: number) => Effect.Effect<string>
  /** Sends the signal and waits for the end. */
  readonly stop: (signal?: NodeJS.Signals) => Effect.Effect<Ended>
}

export interface StartOptions {
  readonly cwd: string
  /** Its whole environment besides PATH. */
  readonly env: Readonly<Record<string, string>>
  /** What runs instead of Node, with the arguments that come before Node's. */
  readonly command?: readonly [program: string, ...args: ReadonlyArray<string>]
}

/** Runs this version of Node with these arguments. What still runs when the scope closes is killed. */
export const startNode = (
  args: ReadonlyArray<string>,
  options: StartOptions
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(Deferred.make<Ended>(), (ended) => launch(args, options, ended)),
    ({ ended, signal }) => Effect.zipRight(signal("SIGKILL"), ended)
  )

/** Runs it to its end; dies after `within`, by default `patience`. */
export const runNode = (
  args: ReadonlyArray<string>,
  options: StartOptions & { readonly within?: Duration.DurationInput }
): Effect.Effect<Ended & { readonly stdout: string; readonly stderr: string }> =>
  Effect.gen(function* () {
    const child = yield* startNode(args, options)
    const ended = yield* orDieAfter(
      child.ended,
      options.within ?? patience,
      () => `it did not end\n${child.printed()}`
    )
    return { ...ended, stdout: child.stdout(), stderr: child.stderr() }
  }).pipe(Effect.scoped)

/** A folder that is removed with the scope. */
export const makeFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => NodeFs.mkdtempSync(NodePath.join(tmpdir(), "crypto-collector-e2e-"))),
  (folder) => Effect.sync(() => NodeFs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
)

/** A port of 127.0.0.1 that is free at this moment. */
export const freePort: Effect.Effect<number> = Effect.async((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = address === null || typeof address === "string" ? 0 : address.port
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** Asks again and again until the answer is yes. Dies after `patience` unless given, with what was waited for. */
export const eventually = <E, R>(
  what: string | (() => string),
  holds: Effect.Effect<boolean, E, R>,
  within: Duration.DurationInput = patience
): Effect.Effect<void, E, R> =>
  orDieAfter(
    holds.pipe(
      Effect.repeat({ until: (yes) => yes, schedule: Schedule.spaced("100 millis") }),
      Effect.asVoid
    ),
    within,
    () => `waited in vain: ${typeof what === "string" ? what : what()}`
  )

const orDieAfter = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  within: Duration.DurationInput,
  message: () => string
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.timeoutOption(effect, within), (result) =>
    result._tag === "Some"
      ? Effect.succeed(result.value)
      : Effect.dieMessage(`${message()}\n(after ${Duration.format(Duration.decode(within))})`)
  )

/** Those that still run: they end with this process, however it ends, as long as it can say so. */
const running = new Set<() => void>()
process.once("exit", () => {
  for (const kill of running) kill()
})

const launch = (
  args: ReadonlyArray<string>,
  { command: [command, ...before] = [process.execPath], cwd, env }: StartOptions,
  ended: Deferred.Deferred<Ended>
): Child => {
  const spawned = spawn(command, [...before, ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const kill = () => void spawned.kill("SIGKILL")
  let stdout = ""
  let stderr = ""
  let isRunning = true
  running.add(kill)
  spawned.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
  })
  spawned.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  spawned.once("exit", () => {
    isRunning = false
    running.delete(kill)
  })
  // Later than "exit": when all that it printed was read.
  spawned.once("close", (code, signal) => Deferred.unsafeDone(ended, Effect.succeed({ code, signal })))
  spawned.once("error", (error) => Deferred.unsafeDone(ended, Effect.die(error)))

  const signal = (name: NodeJS.Signals) =>
    Effect.sync(() => {
      if (isRunning) spawned.kill(name)
    })
  const child: Child = {
    pid: spawned.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    printed: () =>
      `--- process ${spawned.pid}, stdout:\n${stdout.slice(-6000)}\n--- stderr:\n${stderr.slice(-3000)}\n---`,
    isRunning: () => isRunning,
    ended: Deferred.await(ended),
    signal,
    awaitLine: (pattern, count = 1) => {
      const matching = () => stdout.split("\n").filter((line) => pattern.test(line))
      return eventually(
        () => `${count} lines like ${pattern}\n${child.printed()}`,
        Effect.suspend(() =>
          matching().length >= count
            ? Effect.succeed(true)
            : isRunning
              ? Effect.succeed(false)
              : Effect.dieMessage(`it ended before ${count} lines like ${pattern}\n${child.printed()}`)
        ),
        patience
      ).pipe(Effect.map(() => matching()[count - 1] ?? ""))
    },
    stop: (name = "SIGTERM") =>
      Effect.zipRight(
        signal(name),
        orDieAfter(Deferred.await(ended), patience, () => `it did not end after ${name}\n${child.printed()}`)
      )
  }
  return child
}
