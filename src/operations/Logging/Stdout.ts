import type { Writable } from "node:stream"
import { Effect, type Scope } from "effect"

/** A stream for people: `process.stdout`, or a test's. */
export type Output = Writable & { readonly isTTY?: boolean }

/**
 * Writes to the output while it accepts anything: once it has failed (its reader is gone, its disk is full) it is left alone. A
 * reader that stalls does not make the process hold more than `maxWaiting` characters: what comes meanwhile is dropped.
 */
export const makeStdout = (output: Output): Effect.Effect<(line: string) => void, never, Scope.Scope> =>
  Effect.gen(function* () {
    let failed = false
    const onError = () => {
      failed = true
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => output.on("error", onError)),
      () =>
        Effect.zipRight(
          settled(output),
          Effect.sync(() => output.off("error", onError))
        )
    )
    return (line) => {
      if (!failed && output.writable && output.writableLength < maxWaiting) output.write(line)
    }
  })

const maxWaiting = 1_000_000

/**
 * Waits until what was written has gone out or failed, for at most a second of real time: an unhandled error of the stream
 * would end the process.
 */
const settled = (output: Output): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const timer = setTimeout(() => resume(Effect.void), 1000)
    const done = () => {
      clearTimeout(timer)
      setImmediate(() => resume(Effect.void))
    }
    if (output.writable) output.write("", done)
    else done()
  })
