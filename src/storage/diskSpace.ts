import { stat, statfs } from "node:fs/promises"
import { dirname } from "node:path"
import { Effect } from "effect"

/** Returns the size of a file in bytes; 0 if it does not exist. */
export const fileSize = (path: string): Effect.Effect<number> =>
  Effect.tryPromise(() => stat(path)).pipe(
    Effect.map(({ size }) => size),
    Effect.orElseSucceed(() => 0)
  )

/**
 * Returns the space of the disk that a file is on, bytes: what is available to us, and the total. Fails if its folder does not
 * exist.
 */
export const diskSpace = (
  path: string
): Effect.Effect<{ readonly free: number; readonly size: number }, unknown> =>
  Effect.map(
    Effect.tryPromise(() => statfs(dirname(path))),
    ({ bavail, blocks, bsize }) => ({ free: bavail * bsize, size: blocks * bsize })
  )
