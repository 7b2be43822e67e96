import * as NodeFs from "node:fs"
import { Writable } from "node:stream"
import { Either } from "effect"
import { codeOf } from "../../domain/codeOf.ts"
import type { Output } from "./Stdout.ts"

/**
 * Standard output that never holds up the thread that writes to it, where possible. Node writes to terminals and pipes
 * synchronously, so that a stopped terminal (Ctrl-S, a hung ssh), or a reader that no longer reads, would stop whatever logs.
 * On Linux they are reopened in non-blocking mode, and what they do not accept is retried; other programs that have them open
 * do not notice. Files, sockets and other systems are left to Node.
 */
export const nonBlockingStdout = (): Output => {
  const opened = Either.try(() => {
    const stats = NodeFs.fstatSync(stdout)
    const canBlock = process.platform === "linux" && (stats.isFIFO() || stats.isCharacterDevice())
    return canBlock ? NodeFs.openSync(`/proc/self/fd/${stdout}`, flags) : undefined
  })
  const fd = Either.getOrUndefined(opened)
  if (fd === undefined) return process.stdout
  return Object.assign(writableOf(fd), { isTTY: process.stdout.isTTY ?? false })
}

const stdout = 1
const { O_APPEND, O_NOCTTY, O_NONBLOCK, O_WRONLY } = NodeFs.constants
const flags = O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK

const writableOf = (fd: number): Writable =>
  new Writable({
    write: (chunk: Buffer, _, done) => {
      const attempt = (from: number): void => {
        const written = Either.try(() => NodeFs.writeSync(fd, chunk, from))
        if (Either.isLeft(written)) {
          const error = written.left
          if (codeOf(error) === "EAGAIN") setTimeout(attempt, retryMillis, from).unref()
          else done(error instanceof Error ? error : new Error(String(error)))
        } else if (from + written.right < chunk.length) attempt(from + written.right)
        else done()
      }
      attempt(0)
    },
    destroy: (error, done) => NodeFs.close(fd, () => done(error))
  })

const retryMillis = 100
