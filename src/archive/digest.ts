import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { Effect } from "effect"

/** Reads a file from start to end. Returns its length in bytes and its SHA-256 as lower-case hex. */
export const fileDigest = <E>(
  path: string,
  failed: (cause: unknown) => E
): Effect.Effect<{ readonly size: number; readonly sha256: string }, E> =>
  Effect.tryPromise({
    try: async (signal) => {
      const hash = createHash("sha256")
      let size = 0
      for await (const chunk of createReadStream(path, { signal, highWaterMark: 262_144 })) {
        hash.update(chunk)
        size += chunk.length
      }
      return { size, sha256: hash.digest("hex") }
    },
    catch: failed
  })
