import { stat, statfs } from "node:fs/promises"
import { dirname } from "node:path"
import { Effect } from "effect"

/** Bytes of a file; 0 if it is not there. */
export const sizeOf = (path: string): Effect.Effect<number> =>
  Effect.tryPromise(() => stat(path)).pipe(
    Effect.map(({ size }) => size),
    Effect.orElseSucceed(() => 0)
  )

/** Bytes of the disk that a file lies on: what is free for us, and all. Fails where its folder is not there. */
export const diskSpace = (
  path: string
): Effect.Effect<{ readonly free: number; readonly size: number }, unknown> =>
  Effect.map(
    Effect.tryPromise(() => statfs(dirname(path))),
    ({ bavail, blocks, bsize }) => ({ free: bavail * bsize, size: blocks * bsize })
  )
