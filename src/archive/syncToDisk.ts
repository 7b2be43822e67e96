import * as NodeFs from "node:fs/promises"
import { Effect } from "effect"

/** Makes renames, links and removals in a directory survive a power cut. */
export const syncDirectory = <E>(directory: string, failed: (cause: unknown) => E): Effect.Effect<void, E> =>
  syncPath(directory, failed)

/** Makes a file's content survive a power cut. */
export const syncFile = <E>(path: string, failed: (cause: unknown) => E): Effect.Effect<void, E> =>
  syncPath(path, failed)

const syncPath = <E>(path: string, failed: (cause: unknown) => E): Effect.Effect<void, E> =>
  Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => NodeFs.open(path, "r"), catch: failed }),
    (handle) => Effect.uninterruptible(Effect.tryPromise({ try: () => handle.sync(), catch: failed })),
    (handle) => Effect.ignore(Effect.tryPromise(() => handle.close()))
  )
