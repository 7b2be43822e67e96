import { existsSync, readFileSync } from "node:fs"
import { Effect, type Scope } from "effect"

/** What SIGHUP means to this process: nothing, its end, or that its settings file is to be read again. */
export type Hangup = "ignored" | "ends" | "reloads"

/**
 * Decides what SIGHUP means. If it was ignored when the process was started, it stays ignored. A collector with a settings file
 * reads it again (`reloads`), from `hangups` on; before that it is nothing. Any other process ends as with SIGTERM, so that what is
 * queued is committed when its terminal closes; a second SIGHUP, which the shell sends, changes nothing.
 */
export const handleHangup = (isCollector: boolean): Hangup => {
  const hasFile = isCollector && (process.env.CONFIG_PATH ?? "").trim() !== ""
  const hangup = wasIgnored() ? "ignored" : hasFile ? "reloads" : "ends"
  process.on("SIGHUP", hangup === "ends" ? () => process.emit("SIGTERM", "SIGTERM") : () => {})
  return hangup
}

/** Returns when the next SIGHUP has arrived, of those that come while the scope is open. Several at once count as one. */
export const makeHangups: Effect.Effect<Effect.Effect<void>, never, Scope.Scope> = Effect.gen(function* () {
  const arrived = yield* Effect.makeLatch(false)
  const listener = () => void arrived.unsafeOpen()
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("SIGHUP", listener)),
    () => Effect.sync(() => process.off("SIGHUP", listener))
  )
  return Effect.zipRight(arrived.await, arrived.close)
})

/**
 * Node resets the signals that it was started with to their defaults before any code of ours runs, so that only traces are left:
 * `_`, in which shells put the program that they run, if that is nohup; standard input made by nohup, which can only be written;
 * a parent that ignores the signal, which it passes on, as a shell after `trap '' HUP` does.
 */
const wasIgnored = (): boolean =>
  /(^|\/)nohup$/.test(process.env._ ?? "") ||
  isWriteOnly(lineOf("/proc/self/fdinfo/0", /^flags:\s*(\d+)$/m)) ||
  ignoresHangup(lineOf("/proc/self/status", sigIgn)) ||
  ignoresHangup(lineOf(`/proc/${process.ppid}/status`, sigIgn))

const sigIgn = /^SigIgn:\s*([0-9a-f]+)$/m

/** Returns the matching part of a file in `/proc`; empty if there is no such file. */
const lineOf = (file: string, line: RegExp): string =>
  existsSync(file) ? (line.exec(readFileSync(file, "utf8"))?.[1] ?? "") : ""

const isWriteOnly = (flags: string): boolean => (Number.parseInt(flags, 8) & 3) === 1

/** SIGHUP is the first signal, and the lowest bit. */
const ignoresHangup = (mask: string): boolean => (Number.parseInt(mask.slice(-1), 16) & 1) === 1
