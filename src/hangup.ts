import { existsSync, readFileSync } from "node:fs"

/**
 * Makes SIGHUP end this process as SIGTERM does, so that what is queued is committed when its terminal closes; a second SIGHUP,
 * which the shell sends, changes nothing. If it was ignored when the process was started, it stays ignored.
 */
export const handleHangup = (): void => {
  process.on("SIGHUP", wasIgnored() ? () => {} : () => process.emit("SIGTERM", "SIGTERM"))
}

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
