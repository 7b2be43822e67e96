import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { Effect, Stream } from "effect"

/** Identifies bytes by their length and their SHA-256. */
export interface Digest {
  /** Bytes. */
  readonly size: number
  /** Lower-case hex. */
  readonly sha256: string
}

export const sameDigest = (a: Digest, b: Digest): boolean => a.size === b.size && a.sha256 === b.sha256

/** Returns the SHA-256 of a text or of bytes as lower-case hex. */
export const sha256Hex = (content: string | Uint8Array): string =>
  createHash("sha256").update(content).digest("hex")

/** Reads a file from start to end, or its bytes from `start` to `end`, both inclusive. */
export const fileDigest = <E>(
  path: string,
  failed: (cause: unknown) => E,
  range: { readonly start?: number; readonly end?: number } = {}
): Effect.Effect<Digest, E> =>
  Effect.tryPromise({
    try: async (signal) => {
      const hash = createHash("sha256")
      let size = 0
      for await (const chunk of createReadStream(path, { ...range, signal, highWaterMark: 262_144 })) {
        hash.update(chunk)
        size += chunk.length
      }
      return { size, sha256: hash.digest("hex") }
    },
    catch: failed
  })

/** Reads bytes to their end without keeping them. */
export const streamDigest = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Effect.Effect<Digest, E, R> =>
  digesting(bytes, Stream.runDrain)

/** Takes the digest of bytes while something else consumes them. */
export const digesting = <E, R, E2, R2>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  consume: (bytes: Stream.Stream<Uint8Array, E, R>) => Effect.Effect<void, E2, R2>
): Effect.Effect<Digest, E2, R2> =>
  Effect.suspend(() => {
    const hash = createHash("sha256")
    let size = 0
    const tapped = Stream.tap(bytes, (chunk) =>
      Effect.sync(() => {
        hash.update(chunk)
        size += chunk.length
      })
    )
    return Effect.map(consume(tapped), () => ({ size, sha256: hash.digest("hex") }))
  })
